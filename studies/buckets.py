"""Placements over a range of sizes: one plan for each bucket, and where between two of them the best one changes.

A model with a moving size (tokens of a prompt, past of a cache) is compiled for a few sizes, the buckets, and inputs
are filled up to the next of them. Buckets are powers of two, as runtimes with static shapes have them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from partita.errors import ModelError
from partita.graph.plan import Plan

MOST_SIZE = 1 << 24
FINE = 8
"""A change is searched for until it is known to an eighth of the size."""

PlaceAt = Callable[[int], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Dimensions that move together, each with what it has beyond the common size: {"past": 0, "mask": 1}."""

    names: Mapping[str, int]
    low: int
    high: int

    @property
    def title(self) -> str:
        return next(iter(self.names))

    def shapes(self, size: int) -> dict[str, int]:
        return {name: size + more for name, more in self.names.items()}

    @property
    def buckets(self) -> tuple[int, ...]:
        """The powers of two from the least size to the greatest, and these two."""
        powers = (1 << i for i in range(self.high.bit_length()))
        return tuple(sorted({self.low, self.high, *(p for p in powers if self.low < p < self.high)}))


def parse_span(text: str) -> Span:
    """`seq=1..2048` or `past,mask+1=128..4096`; ModelError for anything else.

    >>> parse_span("past,mask+1=128..600").shapes(256)
    {'past': 256, 'mask': 257}
    >>> parse_span("seq=1..5").buckets
    (1, 2, 4, 5)
    """
    names, equals, sizes = text.rpartition("=")
    match = re.fullmatch(r"(\d+)\.\.(\d+)", sizes)
    if not equals or match is None:
        raise ModelError(f"--shapes {text!r} is not understood; write NAME=LEAST..MOST, for example seq=1..2048")
    low, high = int(match[1]), int(match[2])
    if not 0 <= low <= high <= MOST_SIZE:
        raise ModelError(f"--shapes {text!r}: sizes go from 0 to {MOST_SIZE}, the smaller one first")
    found: dict[str, int] = {}
    for part in names.split(","):
        name, plus, more = part.rpartition("+")
        if plus and not more.isdecimal():
            raise ModelError(f"--shapes {text!r}: {part!r} is not understood; write NAME or NAME+1")
        found[name if plus else part] = int(more) if plus else 0
    if "" in found:
        raise ModelError(f"--shapes {text!r} names no dimension; write NAME=LEAST..MOST, for example seq=1..2048")
    return Span(names=found, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Operators of one type that run elsewhere from some size on."""

    op: str
    source: str
    target: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Between these two sizes the best placement changes."""

    below: int
    above: int
    moved: tuple[Moved, ...]
    """Most operators first."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Buckets:
    """A plan for each size, and the changes between them."""

    span: Span
    plans: Mapping[int, Plan]
    changes: tuple[Change, ...]


def place_buckets(span: Span, place_at: PlaceAt) -> Iterator[int | Buckets]:
    """Places every bucket, then searches between buckets whose placements differ; yields the sizes as they are done.

    The last thing that it yields is the result. Of several changes between two buckets the first is found.
    """
    plans: dict[int, Plan] = {}
    for size in span.buckets:
        plans[size] = place_at(size)
        yield size
    changes: list[Change] = []
    for low, high in zip(span.buckets, span.buckets[1:], strict=False):
        below, above, plan = low, high, plans[high]
        if not moved_between(plans[low], plan):
            continue
        while above - below > max(1, low // FINE):
            middle = (below + above) // 2
            found = place_at(middle)
            yield middle
            if moved_between(plans[low], found):
                above, plan = middle, found
            else:
                below = middle
        changes.append(Change(below=below, above=above, moved=moved_between(plans[low], plan)))
    yield Buckets(span=span, plans=plans, changes=tuple(changes))


def moved_between(before: Plan, after: Plan) -> tuple[Moved, ...]:
    """The operators of both plans that run on another unit; those that take no time lie where it suits the others."""
    units_after = _unit_of(after)
    ops = {inner.name: inner.op for _, inner in before.graph.walk()}
    counts: dict[tuple[str, str, str], int] = {}
    for name, source in _unit_of(before).items():
        target = units_after.get(name, source)
        if target != source:
            key = ops.get(name, "?"), source, target
            counts[key] = counts.get(key, 0) + 1
    found = [Moved(op=op, source=a, target=b, count=count) for (op, a, b), count in counts.items()]
    return tuple(sorted(found, key=lambda moved: (-moved.count, moved.op, moved.source)))


def _unit_of(plan: Plan) -> dict[str, str]:
    """By the names of the model's operators, those that take time."""
    return {name: o.unit for o in plan.operators if o.cost.latency_us > 0 for name in o.covers}
