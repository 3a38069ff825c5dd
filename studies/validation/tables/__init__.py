"""The published tables that can be validated; a new one is a module here and a line in `TABLES`."""

from partita.studies.validation.table import Table
from partita.studies.validation.tables.aihub import TABLE as AIHUB
from partita.studies.validation.tables.aihub_llm import TABLE as AIHUB_LLM
from partita.studies.validation.tables.canonical import TABLE as CANONICAL
from partita.studies.validation.tables.codl import TABLE as CODL
from partita.studies.validation.tables.contention_pairs import TABLE as CONTENTION_PAIRS
from partita.studies.validation.tables.haxconn import TABLE as HAXCONN
from partita.studies.validation.tables.nnmeter_blocks import TABLE as NNMETER_BLOCKS
from partita.studies.validation.tables.pccs import TABLE as PCCS
from partita.studies.validation.tables.qed_models import TABLE as QED_MODELS
from partita.studies.validation.tables.qed_ops import TABLE as QED_OPS
from partita.studies.validation.tables.rknn import TABLE as RKNN

TABLES: tuple[Table, ...] = (
    QED_MODELS, QED_OPS, AIHUB, AIHUB_LLM, RKNN, PCCS, CONTENTION_PAIRS, CODL, HAXCONN, NNMETER_BLOCKS, CANONICAL,
)  # fmt: skip
