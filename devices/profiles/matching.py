"""Profile rows -> operators of a graph, and what could not be matched.

Names come first, then order and type. A device that fuses operators books their time on one of them: the others have
no row, or one of 0. They join the operator that has the time: first in the groups that the unit is known to run as one
kernel, then in any chain of a product and what follows it, for without a row of its own an operator ran with another.
One with a row of 0 else joins the next operator that has a time, for there it must have gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from partita.devices.fusion import fuses, is_chain
from partita.devices.profiles.alignment import aligned
from partita.devices.profiles.kinds import is_alike, kind_named, kind_of
from partita.devices.profiles.names import Names
from partita.devices.profiles.profile import Profile, Row
from partita.devices.soc import Unit
from partita.graph.ir import Graph, Node
from partita.graph.match import Match
from partita.graph.op_class import FREE, class_of

LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Operators of the graph that ran as one, and their time."""

    nodes: tuple[str, ...]
    """In the graph's order."""
    rows: tuple[int, ...]
    """Positions of the rows that tell the time."""
    latency_us: float
    low_us: float
    high_us: float
    by_name: bool
    """Whether the row's name says so; else its order and type do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Which rows are which operators."""

    timings: tuple[Timing, ...]
    unmatched_rows: tuple[Row, ...]
    """Rows with a time that are no operator of the graph: what the runtime adds, or what no rule recognises."""
    unmatched_nodes: tuple[str, ...]
    """Operators that do something and of which no row tells the time."""
    elsewhere: tuple[Row, ...]
    """Rows that say that they ran on another kind of unit."""

    @property
    def matched_us(self) -> float:
        return sum(timing.latency_us for timing in self.timings)

    @property
    def unmatched_us(self) -> float:
        return sum(row.duration_us or 0.0 for row in self.unmatched_rows)


@dataclass(slots=True)
class _Timed:
    """A group of operators while it grows."""

    nodes: list[str]
    rows: list[Row]
    by_name: bool

    @property
    def us(self) -> float:
        return sum(row.duration_us or 0.0 for row in self.rows)


def match_rows(graph: Graph, profile: Profile, unit: Unit, dtype: str, matches: Sequence[Match]) -> Matching:
    """The rows of a profile that ran on `unit`, as operators of `graph` and groups of them."""
    here = [row for row in profile.rows if row.unit in (None, unit.kind)]
    elsewhere = tuple(row for row in profile.rows if row.unit not in (None, unit.kind))
    matcher = _Matcher(graph, here)
    matcher.by_name()
    matcher.by_order()
    matcher.join_sinks()
    matcher.join_matches([m for m in matches if fuses(unit, m.pattern, dtype)])
    matcher.join_matches([m for m in matches if is_chain(m.pattern)])
    matcher.join_zeros()
    used = {row.order for group in matcher.groups for row in group.rows}
    covered = {name for group in matcher.groups if group.us > 0 for name in group.nodes}
    return Matching(
        timings=tuple(matcher.timing(group) for group in matcher.groups if group.us > 0),
        unmatched_rows=tuple(row for row in here if row.order not in used and row.duration_us),
        unmatched_nodes=tuple(
            node.name for node in graph.nodes if node.name not in covered and class_of(graph, node) != FREE
        ),
        elsewhere=elsewhere,
    )


class _Matcher:
    def __init__(self, graph: Graph, rows: Sequence[Row]) -> None:
        self.graph, self.rows = graph, rows
        self.position = {node.name: index for index, node in enumerate(graph.nodes)}
        self.kinds = {node.name: kind_of(graph, node) for node in graph.nodes}
        self.groups: list[_Timed] = []
        self.group_of: dict[str, _Timed] = {}

    def _add(self, nodes: Sequence[str], row: Row, *, by_name: bool) -> None:
        known = {id(group): group for name in nodes if (group := self.group_of.get(name)) is not None}
        if known:
            group = next(iter(known.values()))
            group.rows.append(row)
        else:
            group = _Timed([], [row], by_name)
            self.groups.append(group)
        self._extend(group, nodes)

    def _extend(self, group: _Timed, nodes: Sequence[str]) -> None:
        """Puts operators into a group; what was a group of one of them, without a time, is taken over."""
        for name in nodes:
            old = self.group_of.get(name)
            if old is group:
                continue
            if old is not None:
                group.rows.extend(old.rows)
                group.nodes.extend(other for other in old.nodes if other not in group.nodes)
                for other in old.nodes:
                    self.group_of[other] = group
                self.groups.remove(old)
            elif name not in group.nodes:
                group.nodes.append(name)
            self.group_of[name] = group

    def by_name(self) -> None:
        """Rows whose names mean operators; rows of one name go to the operators of that name in turn."""
        names = Names(self.graph)
        meant = {row.order: names.meant_by(row) for row in self.rows}
        same: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            parts = meant[row.order]
            if len(parts) == 1:
                same.setdefault(self._fitting(row, parts[0]), []).append(row)
            elif parts:
                self._add([part[0] for part in parts], row, by_name=True)
        for candidates, rows in same.items():
            self._in_turn(candidates, rows)

    def _fitting(self, row: Row, candidates: tuple[str, ...]) -> tuple[str, ...]:
        """The candidates of the row's type, if some are: a name may have more than one meaning."""
        kind = kind_named(row.op)
        fitting = tuple(name for name in candidates if kind is not None and is_alike(kind, self.kinds[name]))
        return fitting or candidates

    def _in_turn(self, candidates: tuple[str, ...], rows: Sequence[Row]) -> None:
        if len(rows) <= len(candidates):
            for name, row in zip(candidates, rows, strict=False):
                self._add([name], row, by_name=True)
            return
        if len(candidates) > 1 or not _adjacent(rows):
            alike = [row for row in rows if self._is_alike(row, candidates[0])]
            if len(candidates) > 1 or len(alike) != 1:
                return  # left to order and type
            rows = alike
        for row in rows:
            self._add([candidates[0]], row, by_name=True)

    def _is_alike(self, row: Row, name: str) -> bool:
        kind = kind_named(row.op)
        return kind is not None and is_alike(kind, self.kinds[name])

    def by_order(self) -> None:
        """The other rows, between those that are recognised."""
        named = {row.order: group.nodes[-1] for group in self.groups for row in group.rows}
        grouped = {name for group in self.groups for name in group.nodes}
        anchors = set(named.values())
        nodes = [node for node in self.graph.nodes if node.name in anchors or node.name not in grouped]
        by_order = {row.order: row for row in self.rows}
        for order, name in aligned(self.graph, nodes, self.rows, named).items():
            self._add([name], by_order[order], by_name=False)

    def join_sinks(self) -> None:
        """A group that is named after its last operator, while its type is that of the first: Conv, named as a Relu."""
        for group in list(self.groups):
            kind = kind_named(group.rows[0].op)
            if len(group.nodes) != 1 or kind is None or group.us <= 0 or is_alike(kind, self.kinds[group.nodes[0]]):
                continue
            chain = self._back_to(self.graph.node_named[group.nodes[0]], kind)
            if chain:
                self._extend(group, chain)

    def _back_to(self, sink: Node, kind: str) -> list[str]:
        """The operators before `sink`, up to one of that kind, if nothing else reads what they make."""
        chain: list[str] = []
        frontier = [sink]
        for _ in range(LONGEST_CHAIN):
            before = [p for node in frontier for p in self._producers(node) if p.name not in self.group_of]
            found = [node.name for node in before if is_alike(kind, self.kinds[node.name])]
            if found:
                return [*chain, found[0]]
            chain += [node.name for node in before]
            frontier = before
        return []

    def _producers(self, node: Node) -> list[Node]:
        """Of what it reads, those that work for it alone, or for operators on the way to it."""
        producers = (self.graph.producer_of.get(name) for name in self.graph.activations(node))
        return [p for p in producers if p is not None and self._readers(p) <= 2]

    def _readers(self, node: Node) -> int:
        return sum(len(self.graph.consumers_of.get(name, ())) for name in node.present_outputs)

    def join_matches(self, matches: Sequence[Match]) -> None:
        """Operators without a time join the one of their kernel that has one; long kernels first."""
        for match in sorted(matches, key=lambda m: (-len(m.nodes), self.position[m.nodes[-1]])):
            timed = {id(g): g for name in match.nodes if (g := self.group_of.get(name)) is not None and g.us > 0}
            if len(timed) != 1:
                continue
            group = next(iter(timed.values()))
            if set(group.nodes) <= set(match.nodes) and not set(match.nodes) <= set(group.nodes):
                self._extend(group, match.nodes)

    def join_zeros(self) -> None:
        """A row of 0 whose operator is in no kernel known: its time was booked on what comes after, or before."""
        for group in list(self.groups):
            if group.us > 0 or not any(row.duration_us == 0 for row in group.rows):
                continue
            name = group.nodes[-1]
            target = self._timed_neighbour(self.graph.node_named[name])
            if target is not None:
                self._extend(target, [name])

    def _timed_neighbour(self, node: Node) -> _Timed | None:
        after, before = [node], [node]
        for _ in range(LONGEST_CHAIN):
            after = [c for n in after for out in n.present_outputs for c in self.graph.consumers_of.get(out, ())][:4]
            found = [g for n in after if (g := self.group_of.get(n.name)) is not None and g.us > 0]
            if found:
                return found[0]
        for _ in range(LONGEST_CHAIN):
            before = [
                p for n in before for name in self.graph.activations(n) if (p := self.graph.producer_of.get(name))
            ][:4]
            found = [g for n in before if (g := self.group_of.get(n.name)) is not None and g.us > 0]
            if found:
                return found[0]
        return None

    def timing(self, group: _Timed) -> Timing:
        return Timing(
            nodes=tuple(sorted(group.nodes, key=lambda name: self.position[name])),
            rows=tuple(row.order for row in group.rows),
            latency_us=group.us,
            low_us=sum(_end(row.low_us, row.duration_us) for row in group.rows),
            high_us=sum(_end(row.high_us, row.duration_us) for row in group.rows),
            by_name=group.by_name,
        )


def _end(end_us: float | None, duration_us: float | None) -> float:
    return (duration_us or 0.0) if end_us is None else end_us


def _adjacent(rows: Sequence[Row]) -> bool:
    orders = [row.order for row in rows]
    return max(orders) - min(orders) == len(orders) - 1


def shares_of(matching: Matching) -> Mapping[str, float]:
    """Share of the profile's time that is matched, and that is not."""
    whole = matching.matched_us + matching.unmatched_us
    if whole <= 0:
        return {"matched": 0.0, "unmatched": 0.0}
    return {"matched": matching.matched_us / whole, "unmatched": matching.unmatched_us / whole}
