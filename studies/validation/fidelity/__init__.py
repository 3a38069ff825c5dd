"""The page docs/fidelity.md, made from tables of measurements: `python -m partita.studies.validation.fidelity`."""
