"""One model on one Soc while somebody changes the Soc: what a change does not touch is worked out once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property

from partita.devices import Soc
from partita.errors import PartitaError, SocError, StudioError
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.partitioner.wishes import Wishes
from partita.reports.account import Account
from partita.reports.graph_view import COLUMN, SLOT, GraphView
from partita.simulator.run import simulate
from partita.simulator.timeline import Timeline
from partita.studies.change import changed
from partita.studies.placer import Placer, Watch
from partita.studies.study_file import ModelEntry
from partita.studio.settings import Settings

Heed = Callable[[str], None]
PLACERS_KEPT = 6
"""One for each objective and set of types that were asked for lately."""
SOLVED_KEPT = 24


@dataclass(frozen=True, eq=False)
class Solved:
    """A placement for some settings."""

    settings: Settings
    soc: Soc
    plan: Plan
    timeline: Timeline

    @cached_property
    def account(self) -> Account:
        return Account(self.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A type of operator in the model, and how many of its kind a unit refuses."""

    op: str
    unit: str
    count: int
    refused: int
    reason: str
    """Why the first is refused; empty if none is."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Where each operator of the model is drawn, whatever becomes of it, and the arrows between them."""

    x: tuple[int, ...]
    y: tuple[int, ...]
    row: tuple[int, ...]
    arrows: tuple[tuple[int, int], ...]


def _heedless(_: str) -> None:
    """Goes on."""


class Session:
    """Solves settings one after the other; not to be called by two threads at once."""

    def __init__(self, model: ModelEntry, graph: Graph, soc: Soc, soc_name: str, time_limit_s: float) -> None:
        """`soc_name` is the preset or the file that `soc` came from, `model` the file of `graph`."""
        self.model, self.graph, self.soc, self.soc_name = model, graph, soc, soc_name
        self.time_limit_s = time_limit_s
        self._placers: OrderedDict[Wishes, Placer] = OrderedDict()
        self._solved: OrderedDict[Hashable, Solved] = OrderedDict()

    def solve(
        self, settings: Settings, heed: Heed = _heedless, first: Callable[[Solved], None] | None = None
    ) -> Solved:
        """The best placement under some settings; a PartitaError says why there is none.

        `heed` is told what comes next and may raise to stop there. `first` is given a placement without proof if the
        best takes its time.
        """
        key = settings.to_json()
        if key in self._solved:
            self._solved.move_to_end(key)
            return self._solved[key]
        settings.checked(self.soc)
        soc = self._changed(settings)
        wishes = settings.wishes(self.time_limit_s)

        def solved_by(plan: Plan) -> Solved:
            return Solved(settings, soc, plan, simulate(plan, soc))

        watch = Watch(heed, (lambda plan: first(solved_by(plan))) if first is not None else None)
        plan = self._placer(wishes).place(soc, watch, compare=True)
        heed("simulating")
        solved = solved_by(plan)
        self._solved[key] = solved
        if len(self._solved) > SOLVED_KEPT:
            self._solved.popitem(last=False)
        return solved

    def _changed(self, settings: Settings) -> Soc:
        """The Soc with the settings; the page shows them beside an error, which therefore leaves them out."""
        try:
            return changed(self.soc, settings.change)
        except SocError as error:
            raise StudioError(str(error).removeprefix(f"{self.soc.name} with {settings.change.to_json()}: ")) from None

    def _placer(self, wishes: Wishes) -> Placer:
        if wishes not in self._placers:
            self._placers[wishes] = Placer(self.graph, wishes)
            if len(self._placers) > PLACERS_KEPT:
                self._placers.popitem(last=False)
        self._placers.move_to_end(wishes)
        return self._placers[wishes]

    @cached_property
    def preset(self) -> Solved:
        """The placement on the Soc as it is in its file."""
        return self.solve(Settings())

    def reference(self, settings: Settings) -> Solved | None:
        """The Soc as it is under the same objective; None if it cannot be placed for that."""
        try:
            return self.solve(Settings(objective=settings.objective))
        except PartitaError:
            return None

    def known_reference(self, settings: Settings) -> Solved | None:
        """The same if it has been solved already."""
        return self._solved.get(Settings(objective=settings.objective).to_json())

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """For every unit but the host, the types of operators in the model: those it refuses first, then by count."""
        counts: dict[str, int] = {}
        for node in self.graph.nodes:
            counts[node.op] = counts.get(node.op, 0) + 1
        reasons: dict[tuple[str, str], list[str]] = {}
        for refusal in self.preset.plan.refusals:
            reasons.setdefault((refusal.unit, refusal.op), []).append(refusal.reason)
        found = []
        for unit in self.soc.units:
            if unit.name != self.soc.host:
                for op, count in counts.items():
                    why = reasons.get((unit.name, op), [])
                    offer = Offer(op=op, unit=unit.name, count=count, refused=len(why), reason=next(iter(why), ""))
                    found.append(offer)
        return tuple(sorted(found, key=lambda offer: (not offer.refused, -offer.count, offer.op)))

    @cached_property
    def drawing(self) -> Drawing:
        """Of the operators in the order of the graph, so that they stay where they are when kernels fuse others."""
        view = GraphView(Account(_one_by_one(self.graph, self.preset.plan)))
        places = view.places
        return Drawing(
            x=tuple(place.column * COLUMN for place in places),
            y=tuple(view.tops[place.row] + place.slot * SLOT for place in places),
            row=tuple(place.row for place in places),
            arrows=view.arrows,
        )


def _one_by_one(graph: Graph, plan: Plan) -> Plan:
    """The plan with every operator of the model by itself: what is needed to lay them out, no more."""
    call_of = {name: operator for operator in plan.operators for name in operator.covers}
    single = tuple(replace(call_of[node.name], node=node.name, covers=(node.name,)) for node in graph.nodes)
    return replace(plan, graph=graph, operators=single)
