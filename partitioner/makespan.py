"""A bound on the time of one inference whose units work side by side.

Whatever the order: nothing ends before the runtime's fixed cost and all that one unit or one link has to do, nor before
the longest chain of kernels and transfers. What waits for a segment's call, and what memory shared by several costs, is
left out, so the program with these rows is a relaxation and its bound holds for the simulator's figure.
"""

from partita.partitioner.extra import Extra, Key, Term
from partita.partitioner.loads import load_terms
from partita.partitioner.problem import HOST, Problem


def bound_makespan(problem: Problem, extra: Extra) -> Key:
    """The variable that is at least every load and every chain."""
    makespan = extra.own("makespan")
    extra.at_most([(makespan, -1.0)], -problem.fixed_us)
    for terms in load_terms(problem).values():
        extra.at_most([*terms, (makespan, -1.0)], -problem.fixed_us)
    ends = [extra.own("end", i) for i in range(problem.operators)]
    for i, end in enumerate(ends):
        extra.at_most([*_kernel_terms(problem, i, HOST), (end, -1.0)], -problem.fixed_us)
    for t, tensor in enumerate(problem.tensors):
        for reader in tensor.consumers:
            _add_edge(problem, extra, t, reader, ends, makespan)
    return makespan


def _add_edge(problem: Problem, extra: Extra, t: int, reader: int, ends: list[Key], makespan: Key) -> None:
    """The reader ends no sooner than the producer, the tensor's way and its own kernel take one after another."""
    tensor = problem.tensors[t]
    way: list[Term] = [
        (("y", t, reader, a, b), us)
        for a, row in enumerate(tensor.transfer_us)
        for b, us in enumerate(row)
        if a != b and us
    ]
    end, kernel = (makespan, []) if reader == HOST else (ends[reader], _kernel_terms(problem, reader, tensor.producer))
    if tensor.producer == HOST:
        extra.at_most([*way, *kernel, (end, -1.0)], -problem.fixed_us)
    else:
        extra.at_most([(ends[tensor.producer], 1.0), *way, *kernel, (end, -1.0)], 0.0)


def _kernel_terms(problem: Problem, operator: int, apart_from: int) -> list[Term]:
    """The time of the kernel that runs an operator, nothing if it runs `apart_from` too."""
    return [
        (("z", c), problem.candidates[c].cost_us)
        for c in problem.covering[operator]
        if apart_from not in problem.candidates[c].operators
    ]
