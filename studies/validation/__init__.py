"""Predictions beside measurements: tables of what phones took, read as they were published, and how far off we are."""

from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.summary import Group, Summary, summarise
from partita.studies.validation.table import Table
from partita.studies.validation.tables import TABLES
from partita.studies.validation.validate import Validation, validate

__all__ = [
    "TABLES", "Group", "Prediction", "Row", "Summary", "Table", "Unpredicted", "Validation", "summarise", "validate",
]  # fmt: skip
