"""Plans and timelines for the tests of reports, built straight from the dataclasses."""

import json
from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from partita.graph.ir import FUSED_DOMAIN, Graph, Node, Source, Value
from partita.graph.plan import Baseline, Cost, Location, PlacedOperator, Plan, Proof, Refusal, Segment, Transfer
from partita.simulator.timeline import HOST_TRACK, Counter, Span, Timeline
from partita.units import ns

DTYPES = {"cpu": "float32", "gpu": "float16", "npu": "float16"}
SOC_JSON = json.dumps(
    {
        "name": "toy-qnn",
        "chip": "Toy 8 Gen 3",
        "runtime": "QNN 2.26",
        "units": [
            {"name": "cpu", "kind": "cpu", "title": "Kryo, four threads"},
            {"name": "gpu", "kind": "gpu", "title": "Adreno 750"},
            {"name": "npu", "kind": "npu", "title": "Hexagon v75"},
        ],
    }
)
SEGMENT_CALL_US = {"cpu": 4.0, "gpu": 120.0, "npu": 60.0}
INFERENCE_US = 80.0
SHAPE = (1, 32, 56, 56)
SIZE_BYTES = 32 * 56 * 56 * 2

Layer = tuple[str, str, str, float]
"""(op, its unit, reason of a refusal by the NPU or "", microseconds)."""


def cost(latency_us: float, *, memory: bool = False, evidence: str = "roofline") -> Cost:
    return Cost(
        latency_us=latency_us,
        low_us=latency_us * 0.8,
        high_us=latency_us * 1.3,
        dispatch_us=min(1.0, latency_us / 4),
        compute_us=latency_us * (0.4 if memory else 0.75),
        memory_us=latency_us * (0.75 if memory else 0.4),
        dram_bytes=int(latency_us * 12_000),
        evidence=evidence if latency_us else "free",
    )


def mobile_layers() -> list[Layer]:
    """A small convolutional network: an NPU that lacks two operator types, and a GPU that draws the result."""
    layers: list[Layer] = [("Conv", "npu", "", 210.0)]
    for block in range(12):
        layers += [("Conv", "npu", "", 95.0 + 7 * block), ("Relu", "npu", "", 11.0), ("Conv", "npu", "", 60.0)]
        layers += [("Add", "npu", "", 9.0)] if block % 2 else []
        if block == 7:
            layers += [("GridSample", "cpu", "GridSample is not in the list of HTP v75", 1450.0)]
            layers += [("Mul", "cpu", "", 240.0)]
    layers += [("Transpose", "cpu", "Transpose of rank 6: at most rank 5", 820.0), ("Reshape", "cpu", "", 0.0)]
    layers += [("Resize", "gpu", "", 400.0), ("Conv", "gpu", "", 520.0), ("Softmax", "gpu", "", 90.0)]
    return layers


def long_layers(count: int) -> list[Layer]:
    """Many small operators, every ninety-seventh of them on the CPU."""
    ops = ("Conv", "Relu", "MatMul", "Add", "LayerNormalization")
    return [
        ("Einsum", "cpu", "Einsum with three inputs: at most two", 31.0)
        if i % 97 == 96
        else (ops[i % 5], "npu", "", 3.0 + 2 * (i * 7 % 11))
        for i in range(count)
    ]


def plan_of(layers: list[Layer], *, name: str = "mobile", prefix: str = "/features", fused: bool = False) -> Plan:
    """A chain of layers, placed as they say; with `fused`, every Relu right after a Conv is part of its kernel."""
    nodes = [Node(f"{prefix}/{i}/{op}", op, (f"t{i}",), (f"t{i + 1}",)) for i, (op, _, _, _) in enumerate(layers)]
    values = {f"t{i}": Value("float32", SHAPE) for i in range(len(layers) + 1)}
    graph = Graph(name, tuple(nodes), ("t0",), (f"t{len(layers)}",), values, source=Source(f"{name}.onnx", (), False))
    segments, operators = _segments(layers, nodes)
    transfers = _transfers(layers, nodes)
    refusals = tuple(
        Refusal(
            node=n.name, op=n.op, unit="npu", verdict="unsupported", reason=r, source="QNN op package, HTP v75, 2.26"
        )
        for n, (_, _, r, _) in zip(nodes, layers, strict=True)
        if r
    )
    total = INFERENCE_US + sum(s.call_us for s in segments) + sum(o.cost.latency_us for o in operators)
    total += sum(t.latency_us for t in transfers)
    plan = Plan(
        graph=graph, graph_digest="0f" * 32, soc_name="toy-qnn", soc_digest="a1" * 32, soc_json=SOC_JSON,
        host=Location("cpu", "float32"), inference_us=INFERENCE_US, operators=tuple(operators),
        segments=tuple(segments), transfers=tuple(transfers), refusals=refusals, baselines=_baselines(total),
        proof=Proof(
            objective="latency", value=total, bound=total * 0.9993, unit="us", status="optimal", solver="HiGHS 1.11",
            solve_s=0.84,
        ),
    )  # fmt: skip
    return _with_fused_relu(plan) if fused else plan


def _segments(layers: list[Layer], nodes: list[Node]) -> tuple[list[Segment], list[PlacedOperator]]:
    operators: list[PlacedOperator] = []
    members: list[list[str]] = []
    for i, ((op, unit, _, latency_us), node) in enumerate(zip(layers, nodes, strict=True)):
        if not operators or operators[-1].unit != unit:
            members.append([])
        members[-1].append(node.name)
        predicted = cost(latency_us, memory=op in ("Add", "Relu", "Transpose"), evidence=_evidence(op, i))
        operators.append(
            PlacedOperator(
                node=node.name, covers=(node.name,), unit=unit, dtype=DTYPES[unit], kernel=op.lower(),
                segment=len(members) - 1, cost=predicted,
            )
        )  # fmt: skip
    unit_of = {operator.node: operator.unit for operator in operators}
    segments = [
        Segment(index=i, unit=unit_of[names[0]], call_us=SEGMENT_CALL_US[unit_of[names[0]]], operators=tuple(names))
        for i, names in enumerate(members)
    ]
    return segments, operators


def _evidence(op: str, position: int) -> str:
    if op != "Conv":
        return "roofline"
    return "table" if position % 2 else "fitted"


def _transfers(layers: list[Layer], nodes: list[Node]) -> list[Transfer]:
    units = ["cpu", *(unit for _, unit, _, _ in layers), "cpu"]
    before = [*(node.name for node in nodes), ""]
    return [
        Transfer(
            tensor=f"t{i}", source=Location(a, DTYPES[a]), target=Location(b, DTYPES[b]), size_bytes=SIZE_BYTES,
            sync_us=35.0, copy_us=22.0, convert_us=14.0, dram_bytes=2 * SIZE_BYTES, layout="NCHW", before=before[i],
        )
        for i, (a, b) in enumerate(pairwise(units))
        if a != b
    ]  # fmt: skip


def _baselines(total_us: float) -> tuple[Baseline, ...]:
    return (
        Baseline(
            name="cpu_only",
            title="Kryo, four threads alone",
            latency_us=total_us * 2.9,
            segments=1,
            value=None,
            breaks=(),
        ),
        Baseline(
            name="gpu_with_fallback",
            title="Adreno 750, cpu fallback",
            latency_us=total_us * 1.6,
            segments=5,
            value=None,
            breaks=(),
        ),
        Baseline(
            name="npu_with_fallback",
            title="Hexagon v75, cpu fallback",
            latency_us=total_us * 1.12,
            segments=5,
            value=None,
            breaks=(),
        ),
        Baseline(
            name="largest_partition_npu",
            title="Largest partition on Hexagon v75",
            latency_us=total_us * 1.21,
            segments=5,
            value=None,
            breaks=(),
        ),
        Baseline(
            name="fastest_per_operator",
            title="Fastest unit for each operator",
            latency_us=total_us * 1.34,
            segments=9,
            value=None,
            breaks=(),
        ),
    )


def _with_fused_relu(plan: Plan) -> Plan:
    """Fuses each Conv with the Relu that follows it; the Relu is the sink and gives its name."""
    nodes: list[Node] = []
    operators: list[PlacedOperator] = []
    for node, operator in zip(plan.graph.nodes, plan.operators, strict=True):
        if node.op == "Relu" and nodes and nodes[-1].op == "Conv":
            conv, first = nodes.pop(), operators.pop()
            body = Graph("Conv+Relu", (conv, node), conv.inputs, node.outputs, {})
            node = Node(node.name, "Conv+Relu", conv.inputs, node.outputs, {"body": body}, FUSED_DOMAIN, 1)
            merged = cost(first.cost.latency_us + operator.cost.latency_us)
            operator = replace(operator, covers=(*first.covers, *operator.covers), kernel="conv+relu", cost=merged)
        nodes.append(node)
        operators.append(operator)
    kept = {operator.node for operator in operators}
    segments = tuple(replace(s, operators=tuple(o for o in s.operators if o in kept)) for s in plan.segments)
    sink_of = {name: operator.node for operator in operators for name in operator.covers}
    transfers = tuple(replace(t, before=sink_of.get(t.before, "")) for t in plan.transfers)
    graph = replace(plan.graph, nodes=tuple(nodes))
    return replace(plan, graph=graph, operators=tuple(operators), segments=segments, transfers=transfers)


def timeline_of(plan: Plan) -> Timeline:
    """The plan played in order, units taking turns; memory traffic as a counter."""
    spans: list[Span] = []
    points: list[tuple[int, float]] = []
    clock_us = 0.0

    def add(track: str, kind: str, name: str, latency_us: float, segment: int, dram_bytes: int = 0) -> None:
        nonlocal clock_us
        start, end = ns(clock_us), ns(clock_us + latency_us)
        spans.append(
            Span(track=track, kind=kind, name=name, start_ns=start, end_ns=end, segment=segment, dram_bytes=dram_bytes)
        )
        points.append((start, dram_bytes / (end - start) if end > start else 0.0))
        clock_us += latency_us

    add(HOST_TRACK, "inference", "inference", plan.inference_us, -1)
    for segment in plan.segments:
        for name in segment.operators:
            for t in plan.transfers_before.get(name, ()):
                add(
                    f"{t.source.unit}->{t.target.unit}", "transfer", t.tensor, t.latency_us, segment.index, t.dram_bytes
                )
        add(segment.unit, "call", f"segment {segment.index}", segment.call_us, segment.index)
        for name in segment.operators:
            cost_of = plan.placed[name].cost
            add(segment.unit, "operator", name, cost_of.latency_us, segment.index, cost_of.dram_bytes)
    for t in plan.transfers_before.get("", ()):
        add(f"{t.source.unit}->{t.target.unit}", "transfer", t.tensor, t.latency_us, -1, t.dram_bytes)
    units = ("cpu", "gpu", "npu")
    links = tuple(f"{a}->{b}" for a in units for b in units if a != b)
    return Timeline(
        soc_name=plan.soc_name, model_name=plan.graph.name, graph_digest=plan.graph_digest, scenario="sequential",
        tracks=(HOST_TRACK, *units, *links), spans=tuple(spans),
        counters=(Counter(name="dram", unit="GB/s", points=(*points, (ns(clock_us), 0.0))),),
    )  # fmt: skip


def mobile_plan() -> Plan:
    return plan_of(mobile_layers(), fused=True)


def long_plan(count: int = 5_000) -> Plan:
    return plan_of(long_layers(count), name="long", prefix="/model/decoder/layers/attention/self", fused=True)


def layers() -> st.SearchStrategy[list[Layer]]:
    """Random chains, empty ones and operators without time too."""
    layer = st.tuples(
        st.sampled_from(("Conv", "Relu", "Add", "Resize")),
        st.sampled_from(("cpu", "gpu", "npu")),
        st.sampled_from(("", "", "rank 6: at most rank 5", "not in the list")),
        st.floats(0, 5_000, allow_nan=False),
    )
    return st.lists(layer, max_size=24)
