"""Random small placement problems, for properties."""

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
