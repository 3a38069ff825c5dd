"""A sample of published measurements that ships with the project, so that fidelity can be looked at anywhere."""

from pathlib import Path

SAMPLE = Path(__file__).resolve().parent / "sample"
