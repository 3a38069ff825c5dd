"""The RKNN zoo's frames per second as times of the RK3588's NPU alone."""

from partita.studies.validation.table import Records, number, where
from partita.studies.validation.tables.rknn import DTYPE_OF, file_of, why_not
from partita.units import US_PER_MS


def zoo_us(records: Records) -> dict[tuple[str, str], float]:
    """(name of the graph, dtype) -> time of one inference on one core; of several rows the last."""
    found = {}
    for line, record in records:
        if not why_not(record):
            latency_ms = number(record, "latency_ms", where(records, line))
            found[file_of(record["model"]), DTYPE_OF[record["precision"]]] = latency_ms * US_PER_MS
    return found
