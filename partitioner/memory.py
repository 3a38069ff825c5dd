"""What lies at a unit over the run of an inference: activations while they are needed, weights all the time.

Steps are the operators in their order, and one more at the end, when the outputs go to the host. The account is on the
safe side: a tensor lies at every location that makes or wants it from its producer's step on (copies arrive when the
segment that reads them begins, which may be that early) until no kernel that reads it could still run. What is made
and read inside one fused kernel lies nowhere. Weights are held once at every location whose kernels read them, however
many do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partita.partitioner.extra import Column, Extra, Term
from partita.partitioner.problem import HOST, Candidate, Problem, Tensor, locations_of_choice, transfers_of


@dataclass(frozen=True, slots=True)
class Life:
    """The first and the last step at which a tensor lies somewhere."""

    made: int
    last: int


def life_of(problem: Problem, tensor: Tensor) -> Life:
    end = problem.operators
    if tensor.stays:
        return Life(0, end)
    readers = [i for i in tensor.consumers if i != HOST]
    sinks = [problem.candidates[c].operators[-1] for i in readers for c in problem.covering[i]]
    return Life(
        made=max(tensor.producer, 0),
        last=end if HOST in tensor.consumers else max(sinks),
    )


def peak_bytes(problem: Problem, chosen: Sequence[int]) -> tuple[int, ...]:
    """Per unit, the most that lies there at any step."""
    location_of = locations_of_choice(problem, chosen)
    change = [[0] * (problem.operators + 2) for _ in problem.call_us]
    for tensor, inside in zip(problem.tensors, _kept_inside(problem, chosen), strict=True):
        if inside or not tensor.size_bytes:
            continue
        life = life_of(problem, tensor)
        source = problem.host if tensor.producer == HOST else location_of[tensor.producer]
        _lies(problem, change, source, (life.made, life.last), tensor.size_bytes[source])
        for a, b in transfers_of(problem, tensor, location_of):
            if is_copy(problem, tensor, a, b):
                _lies(problem, change, b, (life.made, life.last), tensor.size_bytes[b])
    weights = weights_bytes(problem, chosen)
    return tuple(weights[u] + max(_running(steps)) for u, steps in enumerate(change))


def weights_bytes(problem: Problem, chosen: Sequence[int]) -> tuple[int, ...]:
    """Per unit, what the weights take that its chosen kernels read."""
    found = [0] * len(problem.call_us)
    held = {(w, problem.candidates[c].location) for c in chosen for w in problem.candidates[c].weights}
    for weight, location in held:
        found[problem.unit_of_location[location]] += problem.weight_bytes[weight][location]
    return tuple(found)


def is_copy(problem: Problem, tensor: Tensor, source: int, target: int) -> bool:
    """Whether a transfer makes a second tensor: not if it only gives an integer another location's name."""
    crosses = problem.unit_of_location[source] != problem.unit_of_location[target]
    return crosses or tensor.transfer_us[source][target] > 0


def _lies(problem: Problem, change: list[list[int]], location: int, steps: tuple[int, int], size_bytes: int) -> None:
    unit = problem.unit_of_location[location]
    change[unit][steps[0]] += size_bytes
    change[unit][steps[1] + 1] -= size_bytes


def _running(changes: Sequence[int]) -> Iterator[int]:
    total = 0
    for change in changes:
        total += change
        yield total


def _kept_inside(problem: Problem, chosen: Sequence[int]) -> list[bool]:
    """Per tensor, whether one chosen kernel makes it and reads it, and nothing else does."""
    kernel_of = {i: problem.candidates[c] for c in chosen for i in problem.candidates[c].operators}
    return [t.producer != HOST and is_inside(t, kernel_of[t.producer]) for t in problem.tensors]


def is_inside(tensor: Tensor, candidate: Candidate) -> bool:
    return len(candidate.operators) > 1 and {tensor.producer, *tensor.consumers} <= set(candidate.operators)


def memory_rows(problem: Problem, unit: int, extra: Extra, limit: float) -> Iterator[tuple[list[Term], float]]:
    """Sums of bytes at `unit` and their constant parts, one for each step that could need more than `limit`."""
    weights, most_weights = _weight_terms(problem, unit, extra)
    lying = [_Lying(problem, t, tensor, unit) for t, tensor in enumerate(problem.tensors) if tensor.size_bytes]
    for step in _crowded_steps(problem.operators, lying):
        here = [tensor for tensor in lying if tensor.life.made <= step <= tensor.life.last]
        if most_weights + sum(tensor.most_bytes for tensor in here) <= limit:
            continue
        terms = [term for tensor in here for term in tensor.terms]
        yield [*weights, *terms], float(sum(tensor.given_bytes for tensor in here))


class _Lying:
    """One tensor at one unit, as terms of the program."""

    def __init__(self, problem: Problem, number: int, tensor: Tensor, unit: int) -> None:
        self.life = life_of(problem, tensor)
        at = [a for a, u in enumerate(problem.unit_of_location) if u == unit]
        self.given_bytes = tensor.size_bytes[problem.host] if tensor.producer == HOST and problem.host in at else 0
        made = () if tensor.producer == HOST else problem.covering[tensor.producer]
        source: list[Term] = [
            (("z", c), float(tensor.size_bytes[problem.candidates[c].location]))
            for c in made
            if problem.candidates[c].location in at and not is_inside(tensor, problem.candidates[c])
        ]
        copies: list[Term] = [
            (("w", number, a, b), float(tensor.size_bytes[b]))
            for b in at
            for a in range(len(problem.unit_of_location))
            if a != b and is_copy(problem, tensor, a, b)
        ]
        self.terms = [*source, *copies]
        self.most_bytes = len(at) * max((tensor.size_bytes[a] for a in at), default=0)


def _crowded_steps(end: int, lying: Sequence[_Lying]) -> Iterator[int]:
    """The steps at which some tensor's life ends: nothing lies at another that does not lie at the next of these."""
    ends = {tensor.life.last for tensor in lying} or {end}
    yield from (step for step in range(end + 1) if step in ends)


def _weight_terms(problem: Problem, unit: int, extra: Extra) -> tuple[list[Term], float]:
    """What the weights take at a unit, and what all of them together would."""
    users: dict[tuple[int, int], list[int]] = {}
    for c, candidate in enumerate(problem.candidates):
        if problem.unit_of_location[candidate.location] == unit:
            for weight in candidate.weights:
                users.setdefault((weight, candidate.location), []).append(c)
    terms: list[Term] = []
    most = 0.0
    for (weight, location), candidates in users.items():
        size_bytes = float(problem.weight_bytes[weight][location])
        most += size_bytes
        shared = set.intersection(*(set(problem.candidates[c].operators) for c in candidates))
        if shared:  # at most one of them is chosen
            terms += [(("z", c), size_bytes) for c in candidates]
            continue
        held = extra.own("weight", weight, location, column=Column(high=1.0))
        for c in candidates:
            extra.at_most([(("z", c), 1.0), (held, -1.0)], 0.0)
        terms.append((held, size_bytes))
    return terms, most
