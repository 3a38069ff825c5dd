"""A sample of published measurements that ships with the project, so that fidelity can be looked at anywhere."""

from pathlib import Path

SAMPLE = Path(__file__).resolve().parent / "sample"
SAMPLE_MODELS = Path(__file__).resolve().parents[2] / "examples" / "models"
"""Graphs of the sample's networks, in a copy of the project; an installed package has none."""
