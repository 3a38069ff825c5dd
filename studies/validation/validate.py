"""validate(table): every row predicted that can be, the others counted by reason."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from partita.errors import StudyError
from partita.studies.validation.baseline import with_baselines
from partita.studies.validation.prediction import Prediction, Unpredicted
from partita.studies.validation.table import Progress, Records, Table, read_records
from partita.studies.validation.tables import TABLES


@dataclass(frozen=True, slots=True)
class Validation:
    """A table with its predictions."""

    path: Path
    table: Table
    predictions: tuple[Prediction, ...]
    unpredicted: dict[str, int]
    """Reason -> rows that could not be predicted for it, the most frequent first."""

    @property
    def rows(self) -> int:
        return len(self.predictions) + sum(self.unpredicted.values())


def validate(path: str | Path, models: str | Path | None = None, progress: Progress = lambda text: None) -> Validation:
    """Predicts the rows of a published table, with graphs from the folder `models`. StudyError for an unknown table."""
    folder = Path(models) if models is not None else None
    if folder is not None and not folder.is_dir():
        raise StudyError(f"{folder}: is no folder; --models takes the folder where NAME.onnx of the table's models lie")
    records = read_records(path)
    table = recognise(records)
    rows = list(table.read(records, folder, progress))
    predictions = [row for row in rows if isinstance(row, Prediction)]
    reasons = Counter(row.reason for row in rows if isinstance(row, Unpredicted))
    return Validation(records.path, table, with_baselines(predictions), dict(reasons.most_common()))


def recognise(records: Records) -> Table:
    """The table whose columns the header holds and whose runtime a row is of, the one with most columns if several."""
    fitting = [table for table in TABLES if table.is_in(records)]
    alike = [table.name for table in TABLES if table.columns.issubset(records.columns)]
    if not fitting and alike:
        raise StudyError(
            f"{records.path}: has the columns of {' and '.join(alike)}, but no row is of what that measures; nothing "
            "is predicted of other runtimes in this form"
        )
    if not fitting:
        known = "; ".join(f"{table.name} ({', '.join(sorted(table.columns))})" for table in TABLES)
        raise StudyError(f"{records.path}: its columns are those of no known table; known are: {known}")
    return max(fitting, key=lambda table: len(table.columns))
