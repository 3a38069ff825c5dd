"""The verbs: load, soc, partition, execute, simulate, report. They join the folders and hold no logic of their own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partita.devices import Soc, load_soc
from partita.errors import ModelError, PlanError
from partita.files import write_atomically
from partita.graph.ir import Graph, Source
from partita.graph.match import fuse
from partita.graph.onnx_import import read_onnx
from partita.graph.plan import Location, Plan
from partita.graph.plan_file import PlanFile, to_json
from partita.graph.quantisation import Range
from partita.kernels.calibration import calibrate as observe_ranges
from partita.kernels.placed import Execution
from partita.kernels.placed import execute as run_placed
from partita.partitioner import OfUnit, Rule, Wishes
from partita.partitioner.place import explained
from partita.partitioner.why import Why
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.passes.random_weights import fill_missing
from partita.simulator.outcome import Outcome
from partita.simulator.run import simulate as run_simulation
from partita.simulator.scenario import Scenario, load_scenario
from partita.simulator.scenario_run import simulate_scenario as run_scenario
from partita.simulator.timeline import Timeline

if TYPE_CHECKING:
    from partita.reports.report import Report


def load(
    path: str | Path, shapes: Mapping[str, int | tuple[int, ...]] | None = None, *, random_weights: bool = False
) -> Graph:
    """The model in an ONNX file, every shape known, ready to be placed.

    `shapes` sizes open dimensions by name (`{"batch": 1}`) or whole inputs (`{"tokens": (1, 128)}`). Weights that are
    not there stay unknown, which is enough to place and simulate; `random_weights` makes some up, so that it can run.
    """
    graph = read_onnx(path, shapes)
    if random_weights:
        graph = fill_missing(graph)
    source = Source(str(path), tuple(sorted((shapes or {}).items())), random_weights)
    return replace(prepare(graph), source=source)


def soc(name_or_path: str | Path) -> Soc:
    """A preset by name, or a Soc file by path."""
    return load_soc(name_or_path)


def partition(  # noqa: PLR0913  (one keyword for each wish)
    graph: Graph,
    soc: Soc,
    *,
    objective: str = "latency",
    pins: Sequence[Rule] = (),
    bans: Sequence[Rule] = (),
    together: Sequence[str] = (),
    allow: Sequence[Location] = (),
    states: Sequence[str] = (),
    deadline_ms: float | None = None,
    memory: Sequence[OfUnit] = (),
    max_segments: Sequence[OfUnit] = (),
    min_segment: Sequence[OfUnit] = (),
    min_snr_db: float | None = None,
    split: bool = False,
    explain_all: bool = False,
    gap: float | None = None,
    time_limit_s: float = 60.0,
) -> Plan:
    """The best placement of `graph` on `soc`, with its proof; `partita.partitioner.Wishes` tells what they mean."""
    wishes = Wishes(
        objective=objective,
        pins=tuple(pins),
        bans=tuple(bans),
        together=tuple(together),
        allow=tuple(allow),
        states=tuple(states),
        deadline_ms=deadline_ms,
        memory=tuple(memory),
        max_segments=tuple(max_segments),
        min_segment=tuple(min_segment),
        min_snr_db=min_snr_db,
        split=split,
        explain=explain_all,
        gap=gap,
        time_limit_s=time_limit_s,
    )
    return place_as_wished(graph, soc, wishes)


def place_as_wished(graph: Graph, soc: Soc, wishes: Wishes) -> Plan:
    """`partition` with the wishes in one record."""
    return explain(graph, soc, wishes, ())[0]


def explain(graph: Graph, soc: Soc, wishes: Wishes, patterns: Sequence[str]) -> tuple[Plan, tuple[Why, ...]]:
    """`partition`, and why the operators whose name or type is like one of the patterns run where they do."""
    return explained(graph, soc, find_matches(graph), wishes, _overlapped_us, patterns)


def _overlapped_us(plan: Plan) -> float:
    return simulate(plan, overlap=True).latency_us


def calibrate(plan: Plan, samples: Iterable[Mapping[str, Any]]) -> dict[str, Range]:
    """The ranges of a plan's tensors over some inputs, for `execute` of a plan with quantised locations."""
    return observe_ranges(plan.graph, samples)


def execute(
    plan: Plan, feeds: Mapping[str, Any], ranges: Mapping[str, Range] | None = None, *, concurrent: bool = False
) -> Execution:
    """Runs the plan on real data with numpy kernels, each operator in its unit's dtype."""
    return run_placed(plan, feeds, ranges, concurrent=concurrent)


def simulate(plan: Plan, *, overlap: bool = False) -> Timeline:
    """When what runs on which unit; see `partita.simulator.run.simulate`."""
    return run_simulation(plan, Soc.from_json(plan.soc_json), overlap=overlap)


def simulate_scenario(plans: Sequence[Plan], scenario: Scenario | str | Path) -> Outcome:
    """A load over time on one phone, a plan for each stream of the scenario; see docs/simulation.md."""
    asked = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    return run_scenario(plans, Soc.from_json(plans[0].soc_json), asked)


def report(plan: Plan, timeline: Timeline | None = None) -> "Report":
    """A report to save as .html, .md, .json, .png, .svg or .pdf; simulates first if no timeline is given."""
    from partita.reports.report import Report  # matplotlib takes a second to import, and most commands need none of it

    return Report(plan, timeline or simulate(plan))


def save_plan(plan: Plan, path: str | Path) -> None:
    """Writes the plan as JSON; the same plan always gives the same bytes."""
    write_atomically(path, to_json(plan, Path(path).parent).encode())


def load_plan(path: str | Path, *, random_weights: bool = False) -> Plan:
    """A plan from its file, on its model, which is loaded again; PlanError if that has changed since."""
    file = PlanFile(path)
    source, operators = file.source, file.operators
    try:
        graph = load(source.path, dict(source.shapes), random_weights=random_weights or source.random_weights)
    except ModelError as error:
        raise PlanError(f"{path}: its model cannot be loaded: {error}") from None
    if graph.digest != file.graph_digest:
        raise PlanError(f"{path}: the model {source.path} is not the one that was placed; place it again")
    # the plan may run the operators inside a kernel in another order than the model lists them
    wanted = {(operator.kernel, frozenset(operator.covers)) for operator in operators if len(operator.covers) > 1}
    fused = fuse(graph, [m for m in find_matches(graph) if (m.pattern, frozenset(m.nodes)) in wanted])
    if sorted(operator.node for operator in operators) != sorted(fused.node_named):
        raise PlanError(f"{path}: its operators are not those of the model; place it again")
    return file.plan(replace(fused, nodes=tuple(fused.node_named[operator.node] for operator in operators)))
