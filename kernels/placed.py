"""Runs a placed graph segment by segment: tensors lie where and as the Plan says, and really move at boundaries."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Condition
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from partita.errors import PlanError
from partita.graph.dtypes import is_floating
from partita.graph.ir import Array, Node
from partita.graph.plan import Location, PlacedOperator, Plan, Segment, Transfer
from partita.graph.plan_check import misplaced_tensors
from partita.graph.quantisation import SCHEMES, Range
from partita.kernels.arena import keep_freed_memory
from partita.kernels.blas import on_one_thread
from partita.kernels.calibration import calibrate
from partita.kernels.executor import checked_feeds
from partita.kernels.program import read_only
from partita.kernels.quantised import Quantised
from partita.kernels.shared import Halves
from partita.kernels.storage import FloatStorage, Storage, storage_of
from partita.kernels.threads import kept_apart
from partita.units import NS_PER_US

Key = tuple[str, Location]
"""A tensor's name and a location at which it lies."""
Clock = Callable[[], int]
"""Nanoseconds from some moment on."""
OUTSIDE = -1
"""The segment of a transfer of a model output to the host."""


@dataclass(frozen=True, slots=True)
class OperatorRun:
    """When one kernel call ran on this machine, in ns from the start of the execution."""

    node: str
    unit: str
    segment: int
    start_ns: int
    end_ns: int

    @property
    def wall_us(self) -> float:
        return (self.end_ns - self.start_ns) / NS_PER_US


@dataclass(frozen=True, slots=True)
class TransferRun:
    """When one tensor moved, in ns from the start of the execution, and how many bytes arrived."""

    tensor: str
    source: str
    target: str
    """Units; the same one for a conversion."""
    segment: int
    """The one that waited for it; -1 for a model output."""
    start_ns: int
    end_ns: int
    size_bytes: int


@dataclass(frozen=True, eq=False, slots=True)
class Execution:
    """Outputs in the model's own dtypes, and what was done to get them, in the order of the plan."""

    outputs: Mapping[str, Any]
    operators: tuple[OperatorRun, ...]
    moves: tuple[TransferRun, ...]

    @property
    def transfers(self) -> int:
        return len(self.moves)

    @property
    def transferred_bytes(self) -> int:
        return sum(move.size_bytes for move in self.moves)


def is_quantised(plan: Plan) -> bool:
    """Whether some operator computes in integers, so that ranges are needed to run the plan."""
    return any(operator.dtype in SCHEMES for operator in plan.operators)


def execute(
    plan: Plan,
    feeds: Mapping[str, Any],
    ranges: Mapping[str, Range] | None = None,
    *,
    concurrent: bool = False,
    clock: Clock = time.perf_counter_ns,
) -> Execution:
    """Runs the plan on `feeds`; float tensors take the dtype of the location at which they lie.

    Segments run one after the other; if `concurrent`, each unit has a thread that runs its segments in the plan's
    order, each as soon as its tensors are there. The outputs are the same, to the bit. Quantised locations need the
    `ranges` of their tensors (see `calibrate`); if none are given, they are those that the tensors take on these very
    feeds. By another `clock`, such as the thread's own time, other programs' work does not count. Raises ModelError if
    weights are missing or the feeds do not fit.
    """
    keep_freed_memory()
    given = checked_feeds(plan.graph, feeds)
    if ranges is None:
        ranges = calibrate(plan.graph, [feeds]) if is_quantised(plan) else {}
    for flaw in misplaced_tensors(plan):  # a thread would wait for ever
        raise PlanError(f"the plan cannot run: {flaw}; place it again")
    run = _Run(plan, given, ranges, clock)
    with on_one_thread():
        if concurrent:
            _run_side_by_side(run)
        else:
            run.segments(plan.segments)
    for transfer in plan.transfers_before.get("", ()):
        run.move(transfer, OUTSIDE)
    return run.execution()


def _run_side_by_side(run: "_Run") -> None:
    """One thread per unit, on which its kernels run. An error anywhere ends all of them, and is raised."""
    units = dict.fromkeys(segment.unit for segment in run.plan.segments)
    with kept_apart() if len(units) > 1 else nullcontext(), ThreadPoolExecutor(max(1, len(units)), "unit") as pool:
        futures = [pool.submit(run.segments, [s for s in run.plan.segments if s.unit == unit]) for unit in units]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        errors = [future.exception() for future in futures if future in done and future.exception() is not None]
        if errors:
            run.tensors.give_up()
    failed = [error for future in futures if (error := future.exception()) and not isinstance(error, _GivenUpError)]
    if failed:
        raise failed[0]


class _GivenUpError(Exception):
    """Another thread has failed, so that the tensor waited for will never come."""


class _Tensors:
    """The tensors that lie somewhere. Each is dropped after its last use; taking one waits until it is there."""

    def __init__(self, uses: Counter[Key]) -> None:
        self._uses = uses
        self._held: dict[Key, Any] = {}
        self._changed = Condition()
        self._is_given_up = False

    def put(self, key: Key, tensor: Any) -> None:
        with self._changed:
            if self._uses[key]:
                self._held[key] = tensor
                self._changed.notify_all()

    def take(self, key: Key) -> Any:
        """The tensor for one of its uses."""
        with self._changed:
            self._changed.wait_for(lambda: key in self._held or self._is_given_up)
            if key not in self._held:
                raise _GivenUpError(f"tensor {key[0]!r} at {key[1]}")
            self._uses[key] -= 1
            return self._held[key] if self._uses[key] else self._held.pop(key)

    def give_up(self) -> None:
        with self._changed:
            self._is_given_up = True
            self._changed.notify_all()


_WEIGHTS: WeakKeyDictionary[Plan, dict[tuple[str, str], Any]] = WeakKeyDictionary()
"""Constants of each living plan in the dtypes of its locations, so that kernels can keep them in other layouts too."""

_HALVES: WeakKeyDictionary[Plan, dict[Node, Halves]] = WeakKeyDictionary()
"""The parts of operators that two units share, of each living plan."""


class _Run:
    """The tensors of one execution and the account of what was done."""

    def __init__(self, plan: Plan, given: Mapping[str, Any], ranges: Mapping[str, Range], clock: Clock) -> None:
        self.plan = plan
        dtypes = {plan.host.dtype, *(operator.dtype for operator in plan.operators)}
        dtypes.update(operator.shared.dtype for operator in plan.operators if operator.shared is not None)
        self.storages: dict[str, Storage] = {dtype: storage_of(dtype, ranges) for dtype in sorted(dtypes)}
        self.tensors = _Tensors(_uses(plan))
        self._weights = _WEIGHTS.setdefault(plan, {})
        self._halves = _HALVES.setdefault(plan, {})
        self._operators: dict[str, OperatorRun] = {}
        self._moves: dict[Transfer, TransferRun] = {}
        self._clock = clock
        self._began = clock()
        for name, tensor in given.items():
            location = plan.state_location.get(name, plan.host)
            self.tensors.put((name, location), self.storages[location.dtype].stored(name, tensor))

    def segments(self, segments: Iterable[Segment]) -> None:
        """Segments in the plan's order: of each, first what comes from other units, then its operators."""
        for segment in segments:
            waiting = [(name, self.plan.transfers_before.get(name, ())) for name in segment.operators]
            for transfer in (t for _, transfers in waiting for t in transfers if t.crosses_units):
                self.move(transfer, segment.index)
            for name, transfers in waiting:
                for transfer in (t for t in transfers if not t.crosses_units):
                    self.move(transfer, segment.index)
                self.call(self.plan.placed[name])

    def move(self, transfer: Transfer, segment: int) -> None:
        """A copy into the target's dtype and layout."""
        tensor = self.tensors.take((transfer.tensor, transfer.source))
        start = self._now()
        moved = self.storages[transfer.target.dtype].stored(transfer.tensor, tensor)
        if isinstance(moved, np.ndarray):
            moved = _laid_out(moved, transfer.layout)
            moved = moved.copy(order="K") if moved is tensor else moved
        size = moved.nbytes if isinstance(moved, np.ndarray | Quantised) else 0
        source, target = transfer.source.unit, transfer.target.unit
        self._moves[transfer] = TransferRun(transfer.tensor, source, target, segment, start, self._now(), size)
        self.tensors.put((transfer.tensor, transfer.target), moved)

    def call(self, operator: PlacedOperator) -> None:
        node = self.plan.graph.node_named[operator.node]
        known = {name: self._input(name, operator.location) for name in self.plan.graph.reads(node)}
        start = self._now()
        storage = self.storages[operator.dtype]
        if operator.shared is None:
            inputs = [known[name] if name else None for name in node.inputs]
            results = storage.compute(node, inputs, known if _reads_around(node) else None)
        else:
            if node not in self._halves:
                self._halves[node] = Halves(self.plan.graph, node, operator.shared)
            results = (self._halves[node].joined(known, storage, self.storages[operator.shared.dtype]),)
        stored = {n: storage.stored(n, y) for n, y in zip(node.outputs, results, strict=False) if n}
        self._operators[node.name] = OperatorRun(node.name, operator.unit, operator.segment, start, self._now())
        for name, tensor in stored.items():
            self.tensors.put((name, operator.location), tensor)

    def execution(self) -> Execution:
        operators = tuple(self._operators[operator.node] for operator in self.plan.operators)
        return Execution(self._outputs(), operators, tuple(self._moves[t] for t in self.plan.transfers))

    def _now(self) -> int:
        return self._clock() - self._began

    def _input(self, name: str, location: Location) -> Any:
        if not self.plan.graph.is_constant(name):
            return self.tensors.take((name, location))
        key = (name, location.dtype)
        if key not in self._weights:
            self._weights[key] = read_only(self.storages[location.dtype].constant(self.plan.graph.constants[name]))
        return self._weights[key]

    def _outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self.plan.graph.outputs:
            if self.plan.graph.is_constant(name):
                found[name] = self.plan.graph.constants[name]
                continue
            tensor = self.tensors.take((name, self.plan.state_location.get(name, self.plan.host)))
            value = self.plan.graph.values.get(name)
            is_float = value is not None and is_floating(value.dtype)
            found[name] = FloatStorage(value.dtype).constant(tensor) if value is not None and is_float else tensor
        return found


def _reads_around(node: Node) -> bool:
    return bool(node.regions) and node.body is None


def _uses(plan: Plan) -> Counter[Key]:
    """How often each tensor is taken from where it lies: by operators, by transfers and as an output."""
    graph = plan.graph
    uses: Counter[Key] = Counter()
    for operator in plan.operators:
        names = graph.reads(graph.node_named[operator.node])
        uses.update((name, operator.location) for name in names if not graph.is_constant(name))
    uses.update((transfer.tensor, transfer.source) for transfer in plan.transfers)
    outputs = (name for name in graph.outputs if not graph.is_constant(name))
    uses.update((name, plan.state_location.get(name, plan.host)) for name in outputs)
    return uses


def _laid_out(array: Array, layout: str) -> Array:
    """The same tensor, its memory in the given order of axes; "any" leaves it as it is."""
    if array.ndim != 4:
        return array
    if layout == "any":
        return array
    if layout == "NHWC":
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(array)
