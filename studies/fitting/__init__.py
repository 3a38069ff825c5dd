"""Parameters of presets from measurements: deterministic fits, their errors cross-validated by model.

The trees of phone CPUs and GPUs need the extra [fit] to be fitted; using them needs numpy alone.
"""
