"""A profile: what a tool measured of one model on one device, operator by operator, whatever the tool's format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from partita.errors import SocError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a profile: usually an operator, sometimes several that ran as one, sometimes a tool's own."""

    name: str
    """As the tool writes it; may be empty."""
    op: str
    """The type that the tool names, in its own words; empty if it names none."""
    order: int
    """Position in the order of execution."""
    unit: str | None = None
    """Kind of unit that ran it ("cpu", "gpu", "npu"), if told."""
    duration_us: float | None = None
    """Of one inference, the median over the runs; None if the tool gives no time."""
    low_us: float | None = None
    high_us: float | None = None
    """Least and most over the runs, if there were several."""
    cycles: float | None = None
    """Of one inference, where the tool counts clocks instead of time."""
    calls: int = 1
    """How often it ran in one inference."""
    covers: tuple[str, ...] = ()
    """Names of the model's operators that it stands for, if the tool says so itself."""
    shape: tuple[int, ...] | None = None
    """Of the first output, if told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rows of a profile, in the order of execution."""

    format: str
    rows: tuple[Row, ...]
    total_us: float | None = None
    """Time of one whole inference as the tool measured it apart from the rows."""
    runs: int = 1
    is_relative: bool = False
    """Whether the rows tell the operators' shares only: their sum is far from the time of a real inference."""
    notes: tuple[str, ...] = ()
    """What a reader has to know about the numbers, as sentences."""

    @property
    def sum_us(self) -> float:
        return sum(row.duration_us or 0.0 for row in self.rows)


Read = Callable[[str, str], Profile]
"""(text of the file, how to call the file in a message) -> profile; SocError if the text is no such profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFormat:
    """How one tool writes its profiles."""

    name: str
    title: str
    recognises: Callable[[str], bool]
    """Whether a text is of this format, which may still be broken."""
    read: Read


FORMATS: dict[str, ProfileFormat] = {}
"""Formats by name, in the order in which a text is tried against them."""


def profile_format(name: str, title: str, recognises: Callable[[str], bool]) -> Callable[[Read], Read]:
    """Registers a reader; a second one of the same name is an error of the programmer."""

    def register(read: Read) -> Read:
        if name in FORMATS:
            raise ValueError(f"profile format {name!r} is registered twice")
        FORMATS[name] = ProfileFormat(name=name, title=title, recognises=recognises, read=read)
        return read

    return register


def in_real_time(profile: Profile) -> Profile:
    """A profile whose rows tell shares only, scaled so that they add up to the time of a real inference.

    Qualcomm AI Hub profiles operator by operator without the overlap of a real run: the rows of two published profiles
    of MobileNetV2 add up to 2.6 and 2.8 times the latency that the same files give. Rows that add up to less than the
    inference are left as they are: what is missing is no operator's.
    """
    if not profile.is_relative:
        return profile
    if profile.total_us is None or profile.sum_us <= 0:
        return replace(
            profile,
            notes=(*profile.notes, "the rows tell shares only and the file gives no whole time to scale them to"),
        )
    if profile.sum_us <= profile.total_us:
        note = f"rows explain {profile.sum_us:.0f} us of {profile.total_us:.0f} us of an inference"
        return replace(profile, notes=(*profile.notes, note))
    factor = profile.total_us / profile.sum_us
    note = (
        f"rows add up to {profile.sum_us:.0f} us, a real inference takes {profile.total_us:.0f} us: "
        f"times multiplied by {factor:.3f}"
    )
    rows = tuple(_scaled(row, factor) for row in profile.rows)
    return replace(profile, rows=rows, is_relative=False, notes=(*profile.notes, note))


def _scaled(row: Row, factor: float) -> Row:
    """The row with its time multiplied; as much as it was before stays possible."""
    if row.duration_us is None:
        return row
    most_us = max(row.duration_us, row.high_us or 0.0)
    return replace(row, duration_us=row.duration_us * factor, low_us=row.duration_us * factor, high_us=most_us)


def with_clock(profile: Profile, clock_mhz: float, note: str) -> Profile:
    """The profile with cycles turned into time where a row has no time."""
    rows = tuple(
        replace(row, duration_us=row.cycles / clock_mhz) if row.duration_us is None and row.cycles is not None else row
        for row in profile.rows
    )
    return replace(profile, rows=rows, notes=(*profile.notes, note))


def needs_clock(profile: Profile) -> bool:
    """Whether the profile counts clocks and nothing says how long one takes."""
    return any(row.cycles is not None for row in profile.rows) and not profile.sum_us


def number(cells: Mapping[str, object], key: str, where: str) -> float | None:
    """A number of a record, None if it is absent, empty or null; SocError, naming the place, for anything else."""
    value = cells.get(key)
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none", "nan", "null")):
        return None
    try:
        found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        found = None
    if found is None or not 0 <= found < float("inf"):
        raise SocError(f"{where}: {key} is {str(value)[:40]!r}; a number from 0 up was expected")
    return found
