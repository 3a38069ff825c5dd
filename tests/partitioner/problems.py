"""Random small placement problems, for properties."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import strategies as st

from partita.partitioner.problem import HOST, Candidate, Problem, Tensor

MICROSECONDS = st.integers(0, 40).map(lambda quarter: quarter / 4)


@st.composite
def problems(draw: st.DrawFn, most_operators: int = 7, most_units: int = 3) -> Problem:
    """A random order, random tensors, fused candidates that overlap, and operators that some locations refuse."""
    n = draw(st.integers(1, most_operators))
    units = draw(st.integers(1, most_units))
    unit_of_location = tuple(range(units)) + tuple(draw(st.lists(st.integers(0, units - 1), max_size=1)))
    locations = len(unit_of_location)
    candidates = []
    for i in range(n):
        allowed = draw(st.sets(st.integers(0, locations - 1), min_size=1))
        candidates += [Candidate((i,), a, draw(MICROSECONDS)) for a in sorted(allowed)]
    for _ in range(draw(st.integers(0, 4)) if n > 1 else 0):
        members = tuple(sorted(draw(st.sets(st.integers(0, n - 1), min_size=2, max_size=3))))
        candidates.append(Candidate(members, draw(st.integers(0, locations - 1)), draw(MICROSECONDS)))
    tensors = []
    for producer in range(HOST, n):
        later = st.integers(producer + 1, n - 1) if producer + 1 < n else st.nothing()
        consumers = draw(st.sets(later, max_size=3)) if producer + 1 < n else set()
        if producer != HOST and draw(st.booleans()):
            consumers = {HOST, *consumers}
        if consumers:
            transfer = tuple(
                tuple(0.0 if a == b else draw(MICROSECONDS) for b in range(locations)) for a in range(locations)
            )
            tensors.append(Tensor(producer, tuple(sorted(consumers)), transfer))
    call_us = tuple(draw(MICROSECONDS) for _ in range(units))
    return Problem(
        n, unit_of_location, draw(st.integers(0, locations - 1)), call_us, 1.5, tuple(candidates), tuple(tensors)
    )


@st.composite
def full_problems(draw: st.DrawFn, most_operators: int = 6, most_units: int = 3) -> Problem:
    """The same with energies, noise, sizes and weights, some of which several operators share."""
    problem = draw(problems(most_operators, most_units))
    locations = len(problem.unit_of_location)
    sizes = st.integers(0, 8)
    weights = draw(st.integers(1, 3))
    candidates = tuple(
        replace(
            candidate,
            energy_mj=draw(MICROSECONDS),
            noise=draw(st.integers(0, 3)) / 1000,
            weights=tuple(sorted(draw(st.sets(st.integers(0, weights - 1), max_size=2)))),
        )
        for candidate in problem.candidates
    )
    tensors = tuple(
        replace(
            tensor,
            transfer_mj=tuple(
                tuple(0.0 if a == b else draw(MICROSECONDS) for b in range(locations)) for a in range(locations)
            ),
            size_bytes=tuple(draw(sizes) for _ in range(locations)),
        )
        for tensor in problem.tensors
    )
    return replace(
        problem,
        candidates=candidates,
        tensors=tensors,
        call_mj=tuple(draw(MICROSECONDS) for _ in problem.call_us),
        fixed_mj=0.5,
        weight_bytes=tuple(tuple(draw(sizes) for _ in range(locations)) for _ in range(weights)),
    )


def choices(problem: Problem) -> Iterator[tuple[int, ...]]:
    """Every choice of candidates that covers each operator once."""

    def covering(operator: int, chosen: tuple[int, ...], covered: frozenset[int]) -> Iterator[tuple[int, ...]]:
        if operator == problem.operators:
            yield chosen
        elif operator in covered:
            yield from covering(operator + 1, chosen, covered)
        else:
            for c in problem.covering[operator]:
                members = frozenset(problem.candidates[c].operators)
                if not members & covered:
                    yield from covering(operator + 1, (*chosen, c), covered | members)

    return covering(0, (), frozenset())
