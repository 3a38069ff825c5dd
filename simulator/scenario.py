"""Scenarios: what is asked of a phone over time. A small TOML file, checked strictly, and the arrivals it describes."""

import json
import random
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from partita.devices.number import Strict
from partita.devices.power import Governor
from partita.devices.soc import Soc, explain
from partita.errors import SimulationError
from partita.units import MS_PER_S, NS_PER_US, US_PER_MS, US_PER_S

FORMAT = "partita-scenario/1"
LARGEST_FILE_BYTES = 1_000_000
LONGEST_S = 24 * 3600.0
MOST_QUERIES = 20_000_000
Mode = Literal["single_stream", "multi_stream", "offline", "server", "periodic"]


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError(f"must be above 0, is {value:g}")
    return value


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError(f"must not be below 0, is {value:g}")
    return value


Above0 = Annotated[float, AfterValidator(_positive)]
AtLeast0 = Annotated[float, AfterValidator(_not_negative)]
Count = Annotated[int, Field(ge=1, le=MOST_QUERIES)]


class Stream(Strict):
    """One model that is asked for again and again.

    `single_stream` asks anew when it has its answer, `multi_stream` for several samples at once, `offline` for all at
    the start, `server` at random times (Poisson), `periodic` like a camera. The first four are MLPerf's.
    """

    name: str = ""
    plan: str | None = None
    """A plan file, seen from the scenario's folder; without it, the plans of the command line in their order."""
    mode: Mode
    period_ms: Above0 | None = None
    jitter_ms: AtLeast0 = 0.0
    """Standard deviation of a periodic query's delay, cut off at a third of the period either way."""
    offset_ms: AtLeast0 = 0.0
    rate_per_s: Above0 | None = None
    samples: Count = 1
    """Inferences in one query of a multi_stream."""
    queries: Count | None = None
    """No more than these; without a limit, as many as fit into the scenario's duration."""
    priority: int = 0
    """A busy unit takes the waiting work of the highest priority first; work that runs is not interrupted."""
    deadline_ms: Above0 | None = None
    """From the arrival of a query to its answer; also the latency bound of a server."""
    execution: Literal["sequential", "overlap"] = "sequential"
    """Whether the units of one inference take turns, as runtimes do, or run side by side where the plan allows it."""
    in_flight: Count = 1
    """Inferences of this stream that may be under way at the same time: 2 or more pipeline frames across units."""
    waiting: int | None = Field(default=None, ge=0)
    """Queries that may wait for their turn; further ones are dropped. No limit if not given."""
    variation: AtLeast0 = 0.0
    """Coefficient of variation of the time an inference takes (gamma distribution): 1 is exponential."""

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        needs = {"periodic": "period_ms", "server": "rate_per_s"}.get(self.mode)
        for field in ("period_ms", "rate_per_s"):
            given = getattr(self, field) is not None
            if given != (field == needs):
                raise ValueError(f"{field} {'does not go' if given else 'is missing: it goes'} with mode {self.mode!r}")
        if self.samples > 1 and self.mode != "multi_stream":
            raise ValueError(f"samples goes with mode 'multi_stream', not {self.mode!r}")
        if self.jitter_ms and self.mode != "periodic":
            raise ValueError(f"jitter_ms goes with mode 'periodic', not {self.mode!r}")
        if self.mode == "offline" and self.queries is None:
            raise ValueError("queries is missing: it goes with mode 'offline'")
        return self


class Background(Strict):
    """Something else that uses the phone: a share of a unit, or memory traffic, for a while or all the time."""

    unit: str | None = None
    share: Annotated[float, Field(gt=0, le=0.95)] | None = None
    dram_gb_per_s: Above0 | None = None
    start_s: AtLeast0 = 0.0
    end_s: Above0 | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.unit is None) != (self.share is None):
            raise ValueError("unit and share must be given together")
        if (self.unit is None) == (self.dram_gb_per_s is None):
            raise ValueError("give either unit and share, or dram_gb_per_s")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s ({self.end_s:g}) must be after start_s ({self.start_s:g})")
        return self


class Window(Strict):
    """The stretch whose every interval is kept, for the picture and the trace."""

    start_s: AtLeast0 = 0.0
    length_s: Above0


class Scenario(Strict):
    """What happens, on one phone."""

    format: Literal["partita-scenario/1"]
    name: str = Field(min_length=1)
    description: str = ""
    duration_s: Annotated[float, Field(gt=0, le=LONGEST_S)] | None = None
    """No query arrives after this; those under way are ended. Without it the streams' `queries` set the end."""
    seed: int = 0
    governor: Governor | None = None
    """The Soc's own if not given. `performance`: top clocks; `schedutil`: clocks follow the load; `fixed`."""
    clocks_mhz: dict[str, Above0] = Field(default_factory=dict)
    """With the governor `fixed`, by unit: its nearest step is taken, and heat does not lower it."""
    heat: bool = True
    """Whether the phone warms up; it needs a Soc with [thermal]."""
    ambient_c: float | None = Field(default=None, ge=-40, le=85)
    completion: Literal["interrupt", "poll"] = "interrupt"
    """How the host learns that a unit is done: woken from its sleep, or by a core that spins all the while."""
    policy: Literal["priority", "fifo", "edf"] = "priority"
    """What a unit takes first: the highest priority, what came first, or the earliest deadline."""
    streams: tuple[Stream, ...] = Field(min_length=1)
    background: tuple[Background, ...] = ()
    window: Window | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        names = [stream.name for stream in self.streams if stream.name]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"streams: the name {name!r} occurs twice")
        for index, stream in enumerate(self.streams):
            if self.duration_s is None and stream.queries is None:
                raise ValueError(f"duration_s is missing, and streams[{index}] has no limit of queries: it never ends")
        if (self.governor == "fixed") != bool(self.clocks_mhz):
            raise ValueError('clocks_mhz and governor = "fixed" go together')
        return self

    @property
    def duration_ns(self) -> int | None:
        return None if self.duration_s is None else round(self.duration_s * US_PER_S * NS_PER_US)


def load_scenario(path: str | Path) -> Scenario:
    """The scenario in a TOML file; SimulationError says what is wrong with it and where."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise SimulationError(f"{path}: has more than {LARGEST_FILE_BYTES} bytes; this is no scenario")
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SimulationError(f"{path}: byte {error.start} is not UTF-8; a scenario is a TOML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SimulationError(f"{path}: cannot be read: {reason.lower()}") from None
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SimulationError(f"{path}: not a TOML file: {error}") from None
    return scenario_from(content, str(path))


def scenario_from(content: Mapping[str, Any], where: str = "scenario") -> Scenario:
    """A scenario from the content of a file."""
    try:
        return Scenario.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise SimulationError(f"{where}: {explain(error, content)}") from None


def check_units(scenario: Scenario, soc: Soc) -> None:
    """SimulationError if the scenario asks for something that the Soc does not have."""
    names = [unit.name for unit in soc.units]
    for index, load in enumerate(scenario.background):
        if load.unit is not None and load.unit not in names:
            raise SimulationError(f"background[{index}].unit is {load.unit!r}; {soc.name} has: {', '.join(names)}")
        peak = soc.dram.peak_gb_per_s.value * soc.dram.share_of_several.value
        if load.dram_gb_per_s is not None and load.dram_gb_per_s >= peak:
            raise SimulationError(
                f"background[{index}].dram_gb_per_s is {load.dram_gb_per_s:g}: nothing would be left of the "
                f"{peak:g} GB/s that {soc.name} gives to several"
            )
    for name in scenario.clocks_mhz:
        if name not in names:
            raise SimulationError(f"clocks_mhz.{name} is no unit of {soc.name}; it has: {', '.join(names)}")
    if soc.power is None and (scenario.governor is not None or scenario.clocks_mhz):
        raise SimulationError(f"governor: {soc.name} has no [power], so its clocks are not known; leave it out")


def arrivals_ns(stream: Stream, duration_ns: int | None, seed: str) -> Iterator[int]:
    """When the queries of a server or periodic stream arrive, in order."""
    dice = random.Random(seed)
    end = duration_ns if duration_ns is not None else None
    now_ms, count, last_ns = stream.offset_ms, 0, 0
    while stream.queries is None or count < stream.queries:
        if stream.mode == "server":
            assert stream.rate_per_s is not None, "checked with the scenario"
            now_ms += dice.expovariate(stream.rate_per_s) * MS_PER_S
            at_ms = now_ms
        else:
            assert stream.period_ms is not None, "checked with the scenario"
            furthest = stream.period_ms / 3
            delay = dice.gauss(0.0, stream.jitter_ms) if stream.jitter_ms else 0.0
            at_ms = max(0.0, stream.offset_ms + count * stream.period_ms + max(-furthest, min(furthest, delay)))
        at_ns = max(last_ns, round(at_ms * US_PER_MS * NS_PER_US))
        if end is not None and at_ns >= end:
            return
        yield at_ns
        last_ns = at_ns
        count += 1
