"""Parameters of presets from measurements: deterministic fits with priors, their errors cross-validated by model."""
