"""Which estimated numbers of the Soc a placement hangs on: within their range another placement would be quicker.

The plan and the simpler rules that it was compared with are priced again with each estimated number at the low and at
the high end of its range, all others at their value. Nothing is solved again, so a placement that no rule proposes is
not found; a number that is named here does change the order, one that is not named may still move operators.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from partita.devices import Number, Soc, Unit, operator_cost
from partita.devices.soc import DEFAULT, Link
from partita.errors import SocError
from partita.graph.ir import Graph, Node, Value
from partita.graph.match import fused_node
from partita.graph.plan import Location, Plan
from partita.graph.work import work_of
from partita.partitioner import Wishes
from partita.partitioner.baselines import Simple, all_baselines
from partita.partitioner.candidates import Formulation, formulate
from partita.partitioner.exchange import cost_of_transfer
from partita.partitioner.place import behind
from partita.partitioner.problem import Problem, evaluate, locations_of_choice, reordered, transfers_of
from partita.passes.find_matches import find_matches
from partita.reports.wording import count_text
from partita.units import ms

TIMES = ("call_us", "dispatch_us", "sync_us")
"""Numbers that cost more the higher they are; all others are rates, shares and sizes, which cost less."""
OF_TRANSFERS = ("dispatch_us", "layout_gb_per_s", "cast_gb_per_s")
"""Numbers of a unit that moving a tensor to it depends on too."""
NEUTRAL = ("spread", "memory_bytes")
"""Numbers that no predicted time depends on."""
LEAST_SAVING = 1e-3
"""An alternative must be quicker by this share of the plan to count."""

SHOWN = 4
"""Numbers that the line names."""

Choice = tuple[int, ...]
Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimated number at an end of its range, and what would be quicker there. Times in microseconds."""

    path: str
    """As `partita soc show` prints it."""
    value: float
    end: float
    source: str
    alternative: str
    """The name of the simpler rule that would be quicker."""
    plan_us: float
    alternative_us: float


@dataclass(frozen=True, slots=True)
class _Knob:
    """Where an estimated number stands: in a unit or a link, in a field, perhaps under a key."""

    owner: Unit | Link
    field: str
    key: str
    number: Number

    @property
    def path(self) -> str:
        if isinstance(self.owner, Unit):
            table = f"units.{self.owner.name}"
        else:
            table = f"links.{self.owner.source}->{self.owner.target}"
        return ".".join(part for part in (table, self.field, self.key) if part)

    def at(self, soc: Soc, end: float) -> Soc:
        """The Soc with the number at that value."""
        number = self.number.model_copy(update={"value": end, "low": None, "high": None})
        old = getattr(self.owner, self.field)
        owner = self.owner.model_copy(update={self.field: {**old, self.key: number} if self.key else number})
        if isinstance(owner, Unit):
            return soc.model_copy(update={"units": tuple(owner if u is self.owner else u for u in soc.units)})
        return soc.model_copy(update={"links": tuple(owner if each is self.owner else each for each in soc.links)})


def estimates_of(plan: Plan) -> tuple[Estimate, ...]:
    """The estimated numbers within whose range a simpler rule beats the plan, those that lose most first.

    None for a plan whose user said where operators go, or that has another objective than the latency.
    """
    is_ruled = any(plan.options.get(option) for option in ("pin", "ban", "split"))
    if plan.proof.objective != "latency" or not plan.operators or is_ruled:
        return ()
    try:
        soc = Soc.from_json(plan.soc_json)
    except SocError:
        return ()  # a plan of another version, whose Soc cannot be priced again
    pricing = _Pricing(plan, soc)
    if not pricing.alternatives:
        return ()
    found = [each for knob in _knobs(soc) for each in _ends(pricing, knob)]
    return tuple(sorted(found, key=lambda each: each.alternative_us / each.plan_us))


def _ends(pricing: "_Pricing", knob: _Knob) -> Iterator[Estimate]:
    for end in dict.fromkeys((knob.number.least, knob.number.most)):
        if end == knob.number.value or (end == 0 and knob.field not in TIMES):
            continue
        price = pricing.with_number(knob.at(pricing.soc, end), knob)
        plan_us = price(pricing.plan)
        limit_us = plan_us * (1 - LEAST_SAVING)
        hopeful = [rule for rule in pricing.alternatives if rule.least_us < limit_us]
        name, best_us = min(
            ((rule.title, price(rule)) for rule in hopeful), key=lambda pair: pair[1], default=("", plan_us)
        )
        if best_us < limit_us:
            yield Estimate(
                path=knob.path, value=knob.number.value, end=end, source=knob.number.source, alternative=name,
                plan_us=plan_us, alternative_us=best_us,
            )  # fmt: skip


def _knobs(soc: Soc) -> Iterator[_Knob]:
    owners: tuple[Unit | Link, ...] = (*soc.units, *soc.links)
    for owner in owners:
        for field in type(owner).model_fields:
            content = getattr(owner, field)
            if field in NEUTRAL:
                continue
            numbers = content.items() if isinstance(content, Mapping) else (("", content),)
            for key, number in numbers:
                if isinstance(number, Number) and number.kind == "estimated" and number.least < number.most:
                    yield _Knob(owner, field, key, number)


@dataclass(frozen=True, slots=True)
class _Priced:
    """A choice of candidates at the Soc's own numbers."""

    title: str
    chosen: Choice
    ways: tuple[tuple[int, int, int], ...]
    """The transfers: a tensor's number, the location it leaves and the one it goes to."""
    total_us: float
    least_us: float
    """It cannot take less whatever the numbers are within their ranges: its kernels alone, all at their quickest."""
    calls: Mapping[int, int]
    """Segments per unit."""


class _Pricing:
    """The plan and the simpler rules as choices of one problem, and what they take on a changed Soc."""

    def __init__(self, plan: Plan, soc: Soc) -> None:
        self.soc = soc
        self.formulation, rules = _problem_of(plan, soc)
        chosen = _choice_of(plan, self.formulation)
        self.alternatives: tuple[_Priced, ...] = ()
        if not chosen:
            return
        position = {node.name: i for i, node in enumerate(self.formulation.graph.nodes)}
        order = tuple(position[node.name] for node in _primitives(plan.graph).nodes)
        ours = self.formulation.problem
        in_order = ours if order == tuple(range(len(order))) else reordered(ours, order)
        self.plan = self._priced(plan.proof.objective, in_order, chosen)
        others = [(rule, theirs) for rule, theirs in rules if rule.order or set(rule.chosen) != set(chosen)]
        self.alternatives = tuple(self._priced(rule.title, theirs, rule.chosen) for rule, theirs in others)
        used = sorted({index for each in (self.plan, *self.alternatives) for index in each.chosen})
        self.nodes = {index: _node_of(self.formulation, index) for index in used}
        graph = self.formulation.graph
        self.classes = {index: work_of(graph, node, "float32").op_class for index, node in self.nodes.items()}

    def _priced(self, title: str, problem: Problem, chosen: Choice) -> _Priced:
        """`problem` is in the order in which the choice runs."""
        costs = self.formulation.costs
        found = evaluate(problem, chosen)
        location_of = locations_of_choice(problem, chosen)
        ways = [
            (t, a, b) for t, each in enumerate(problem.tensors) for a, b in transfers_of(problem, each, location_of)
        ]
        return _Priced(
            title=title,
            chosen=chosen,
            ways=tuple(ways),
            total_us=found.total_us,
            least_us=sum(min(costs[index].low_us, costs[index].latency_us) for index in chosen),
            calls=Counter(unit for unit, _ in found.segments),
        )

    def with_number(self, soc: Soc, knob: _Knob) -> Callable[[_Priced], float]:
        """What a choice takes on `soc`, on which that number is another. Only what depends on it is priced again."""
        problem = self.formulation.problem
        touched = frozenset(self._touched(knob))
        calls_us = tuple(unit.call_us.value for unit in soc.units)
        new_us: dict[int, float] = {}
        moves = isinstance(knob.owner, Link) or knob.field in OF_TRANSFERS
        moved = _moved(self.formulation, soc) if moves else None

        def kernel_us(index: int) -> float:
            if index not in new_us:
                location = self.formulation.locations[problem.candidates[index].location]
                unit = soc.unit_named(location.unit)
                new_us[index] = operator_cost(
                    self.formulation.graph, self.nodes[index], unit, location.dtype
                ).latency_us
            return new_us[index]

        def price(choice: _Priced) -> float:
            changed_us = sum(kernel_us(i) - problem.candidates[i].cost_us for i in choice.chosen if i in touched)
            called_us = sum(count * (calls_us[u] - problem.call_us[u]) for u, count in choice.calls.items())
            moved_us = 0.0
            if moved is not None:
                tables = ((moved[t], problem.tensors[t].transfer_us, a, b) for t, a, b in choice.ways)
                moved_us = sum(new[a][b] - old[a][b] for new, old, a, b in tables)
            return choice.total_us + changed_us + called_us + moved_us

        return price

    def _touched(self, knob: _Knob) -> Iterator[int]:
        """The candidates whose cost depends on a number."""
        unit = knob.owner
        if isinstance(unit, Link) or knob.field == "call_us":
            return
        for index in self.nodes:
            if self.formulation.locations[self.formulation.problem.candidates[index].location].unit != unit.name:
                continue
            op_class = self.classes[index]
            if knob.field != "utilisation" or knob.key == (op_class if op_class in unit.utilisation else DEFAULT):
                yield index


def _moved(formulation: Formulation, soc: Soc) -> tuple[Table, ...]:
    """Per tensor, what it costs to move on this Soc."""
    known: dict[Value, Table] = {}
    moved = []
    for name in formulation.tensors:
        value = formulation.graph.value(name)
        if value not in known:
            known[value] = tuple(
                tuple(0.0 if a == b else cost_of_transfer(soc, value, a, b).latency_us for b in formulation.locations)
                for a in formulation.locations
            )
        moved.append(known[value])
    return tuple(moved)


def _problem_of(plan: Plan, soc: Soc) -> tuple[Formulation, tuple[tuple[Simple, Problem], ...]]:
    """The problem that the plan solves, and what simpler rules choose in it, each with the problem in its order."""
    known = behind(plan)
    if known is not None:
        return known.formulation, known.ruled
    graph = _primitives(plan.graph)
    allow = tuple(Location(*text.split(":", 1)) for text in plan.options.get("allow", ()))
    wishes = Wishes(allow=allow, states=plan.options.get("state", ()))
    formulation = formulate(graph, soc, find_matches(graph), wishes)
    problem = formulation.problem
    return formulation, tuple((rule, rule.problem(problem)) for rule in all_baselines(problem, soc))


def _primitives(placed: Graph) -> Graph:
    """The graph as it was before fusion, its operators in the order in which the plan runs them."""
    nodes: list[Node] = []
    values, constants, missing = dict(placed.values), dict(placed.constants), set(placed.missing)
    for node in placed.nodes:
        if node.body is None:
            nodes.append(node)
            continue
        nodes += node.body.nodes
        values.update(node.body.values)
        constants.update(node.body.constants)
        missing.update(node.body.missing)
    return replace(
        placed, nodes=tuple(nodes), values=values, constants=constants, missing=frozenset(missing), source=None
    )


def _choice_of(plan: Plan, formulation: Formulation) -> Choice:
    """The candidates that the plan consists of; empty if they are not all among those of the formulation."""
    names = [node.name for node in formulation.graph.nodes]
    known = {
        (frozenset(names[i] for i in candidate.operators), formulation.locations[candidate.location]): index
        for index, candidate in enumerate(formulation.problem.candidates)
    }
    wanted = [(frozenset(operator.covers), operator.location) for operator in plan.operators]
    return tuple(known[key] for key in wanted) if all(key in known for key in wanted) else ()


def _node_of(formulation: Formulation, index: int) -> Node:
    match = formulation.matches[index]
    if match is not None:
        return fused_node(formulation.graph, match)
    return formulation.graph.nodes[formulation.problem.candidates[index].operators[0]]


def estimates_line(estimates: Sequence[Estimate]) -> str:
    """What the terminal and the page say: the numbers, dearest first, or that none would change the order."""
    if not estimates:
        return (
            "No estimated number of the Soc, alone and within its range, makes a simpler rule quicker than this plan."
        )
    shown = list(dict.fromkeys(estimate.path for estimate in estimates))
    first = estimates[0]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    numbers = f"{count_text(len(shown), 'estimated number')}: {', '.join(shown[:SHOWN])}{more}"
    times = f"{ms(first.alternative_us):.3f} ms, this plan {ms(first.plan_us):.3f} ms"
    return (
        f"This placement hangs on {numbers}. With {first.path} at {first.end:g} (here {first.value:g}) "
        f"{first.alternative} would take {times}."
    )


def estimates_document(estimates: Sequence[Estimate]) -> list[dict[str, Any]]:
    """The field `estimates` of a plan's document."""
    return [
        {
            "path": each.path,
            "value": each.value,
            "at": each.end,
            "source": each.source,
            "quicker": each.alternative,
            "latency_ms": ms(each.plan_us),
            "quicker_ms": ms(each.alternative_us),
        }
        for each in estimates
    ]
