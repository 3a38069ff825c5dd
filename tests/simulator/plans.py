"""Plans for tests: random ones for laws, and small ones written by hand. Times are multiples of a quarter of a ns."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from partita.graph.ir import Graph, Node, Value
from partita.graph.plan import Cost, Location, PlacedOperator, Plan, Proof, Segment, Transfer
from partita.simulator.memory import Machine, MemoryLimits

UNITS = ("cpu", "gpu", "npu")
LINKS = ("cpu->gpu", "gpu->cpu", "cpu->npu", "npu->cpu")
HOST = Location("cpu", "float32")
SHAPE = (1, 8)
QUARTER_NS_US = 0.25e-3
ROOMY = MemoryLimits(one_gb_per_s=1e6, several_gb_per_s=1e9)
"""No stream of these tests comes near it."""
TIGHT = MemoryLimits(
    one_gb_per_s=40.0,
    several_gb_per_s=50.0,
    alone_gb_per_s={"cpu": 20.0, "gpu": 40.0, "npu": 40.0},
    weight_of={"npu": 1.2},
)


def machine(memory: MemoryLimits = ROOMY, units: tuple[str, ...] = UNITS) -> Machine:
    return Machine(name="toy", units=units, links=LINKS, memory=memory)


def cost(latency_us: float, *, dispatch_us: float = 0.0, dram_bytes: int = 0) -> Cost:
    """An operator bound by memory if it moves anything, else by computing."""
    work_us = latency_us - dispatch_us
    return Cost(
        latency_us=latency_us,
        low_us=latency_us,
        high_us=latency_us,
        dispatch_us=dispatch_us,
        compute_us=work_us / 2 if dram_bytes else work_us,
        memory_us=work_us if dram_bytes else work_us / 2,
        dram_bytes=dram_bytes,
        evidence="roofline",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An operator of a plan in the making. It is named after its output; inputs are names of steps, or "x"."""

    name: str
    location: Location
    inputs: tuple[str, ...]
    cost: Cost
    new_segment: bool = False
    """Whether it begins a segment although its unit is that of the step before."""


def step(name: str, where: str, inputs: str, time_us: float, *, dram_bytes: int = 0, dispatch_us: float = 0.0) -> Step:
    """`where` is a unit or "unit:dtype", `inputs` names with spaces between."""
    unit, _, dtype = where.partition(":")
    price = cost(time_us, dispatch_us=dispatch_us, dram_bytes=dram_bytes)
    return Step(name=name, location=Location(unit, dtype or "float32"), inputs=tuple(inputs.split()), cost=price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What a plan costs beside its operators."""

    inference_us: float = 0.0
    call_us: float = 0.0
    sync_us: float = 0.0
    copy_us: float = 0.0
    convert_us: float = 0.0
    """Of a conversion inside one unit."""
    dram_bytes: int = 0
    """Of a transfer."""


def make_plan(steps: Sequence[Step], outputs: Sequence[str], fees: Fees = Fees()) -> Plan:
    """A plan that runs `steps` in their order, with every transfer that they need and the latency of taking turns."""
    segments = _segments(steps, fees)
    segment_of = {name: segment.index for segment in segments for name in segment.operators}
    transfers = _transfers(steps, outputs, fees)
    latency_us = fees.inference_us + sum(s.call_us for s in segments) + sum(s.cost.latency_us for s in steps)
    latency_us += sum(transfer.latency_us for transfer in transfers)
    operators = tuple(
        PlacedOperator(node=s.name, covers=(s.name,), unit=s.location.unit, dtype=s.location.dtype, kernel="Concat",
                       segment=segment_of[s.name], cost=s.cost)
        for s in steps
    )  # fmt: skip
    return Plan(
        graph=_graph(steps, outputs),
        graph_digest="toy",
        soc_name="toy",
        soc_digest="toy",
        soc_json="{}",
        host=HOST,
        inference_us=fees.inference_us,
        operators=operators,
        segments=tuple(segments),
        transfers=tuple(transfers),
        proof=Proof(objective="latency", value=latency_us, bound=latency_us, unit="us", status="optimal", solver="hand",
                    solve_s=0.0),
    )  # fmt: skip


def _graph(steps: Sequence[Step], outputs: Sequence[str]) -> Graph:
    nodes = tuple(Node(s.name, "Concat", s.inputs, (s.name,), {"axis": 0}) for s in steps)
    values = {name: Value("float32", SHAPE) for name in ("x", *(s.name for s in steps))}
    return Graph("toy model", nodes, ("x",), tuple(outputs), values)


def _segments(steps: Sequence[Step], fees: Fees) -> list[Segment]:
    groups: list[list[Step]] = []
    for s in steps:
        if not groups or s.new_segment or groups[-1][-1].location.unit != s.location.unit:
            groups.append([])
        groups[-1].append(s)
    return [
        Segment(index=i, unit=g[0].location.unit, call_us=fees.call_us, operators=tuple(s.name for s in g))
        for i, g in enumerate(groups)
    ]


def _transfers(steps: Sequence[Step], outputs: Sequence[str], fees: Fees) -> list[Transfer]:
    home = {"x": HOST, **{s.name: s.location for s in steps}}
    found: dict[tuple[str, Location], Transfer] = {}
    wanted = [(name, s.location, s.name) for s in steps for name in s.inputs]
    for name, target, before in [*wanted, *((name, HOST, "") for name in outputs)]:
        source = home[name]
        if target == source or (name, target) in found:
            continue
        crosses = source.unit != target.unit
        found[name, target] = Transfer(
            tensor=name,
            source=source,
            target=target,
            size_bytes=32,
            sync_us=fees.sync_us if crosses else 0.0,
            copy_us=fees.copy_us if crosses else 0.0,
            convert_us=0.0 if crosses else fees.convert_us,
            dram_bytes=fees.dram_bytes,
            layout="any",
            before=before,
        )
    return list(found.values())


def times_us(most_ns: int = 2_000) -> st.SearchStrategy[float]:
    """Also zero, and times that are no whole ns."""
    return st.integers(0, 4 * most_ns).map(lambda quarters: quarters * QUARTER_NS_US)


@st.composite
def costs(draw: st.DrawFn, most_gb_per_s: int) -> Cost:
    """An operator that moves at most what `most_gb_per_s` allows in its time."""
    latency_us = draw(st.one_of(st.just(0.0), times_us()))
    dispatch_us = min(draw(times_us(100)), latency_us)
    work_ns = round((latency_us - dispatch_us) * 1000)
    return cost(latency_us, dispatch_us=dispatch_us, dram_bytes=draw(st.integers(0, most_gb_per_s * max(work_ns, 0))))


@st.composite
def plans(draw: st.DrawFn, most_operators: int = 10, most_gb_per_s: int = 60) -> Plan:
    """Any graph on three units, in two dtypes, cut into segments anywhere, with any fees, free operators among them."""
    names = [f"n{i}" for i in range(draw(st.integers(0, most_operators)))]
    steps: list[Step] = []
    for index, name in enumerate(names):
        known = ("x", *names[:index])
        steps.append(
            Step(
                name=name,
                location=Location(draw(st.sampled_from(UNITS)), draw(st.sampled_from(("float32", "float16")))),
                inputs=tuple(draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))),
                cost=draw(costs(most_gb_per_s)),
                new_segment=draw(st.booleans()),
            )
        )
    outputs = draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) if names else []
    fees = Fees(
        inference_us=draw(times_us()),
        call_us=draw(times_us(200)),
        sync_us=draw(times_us(200)),
        copy_us=draw(times_us(400)),
        convert_us=draw(times_us(200)),
        dram_bytes=draw(st.integers(0, 4_000)),
    )
    return make_plan(steps, outputs, fees)
