"""The published tables that can be validated; a new one is a module here and a line in `TABLES`."""

from partita.studies.validation.table import Table
from partita.studies.validation.tables.aihub import TABLE as AIHUB
from partita.studies.validation.tables.qed_models import TABLE as QED_MODELS
from partita.studies.validation.tables.qed_ops import TABLE as QED_OPS
from partita.studies.validation.tables.rknn import TABLE as RKNN

TABLES: tuple[Table, ...] = (QED_MODELS, QED_OPS, AIHUB, RKNN)
