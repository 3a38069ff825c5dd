"""Attention of float32 heads as one job of compiled code, worked out once for each arrangement of its tensors."""

from functools import lru_cache

import numpy as np

from partita.kernels import compiled, threads
from partita.kernels.arrays import Array
from partita.kernels.jobs import (
    ATTENTION,
    FLOAT_BYTES,
    Heads,
    address_of,
    even_rows,
    grid,
    pieces_of_depth,
    rows_at_once,
    table_of,
)
from partita.kernels.native import loops

LEAST_QUERIES = 16
"""With fewer, to bring the keys into the order of weights costs more than the product."""
SCORE_BYTES = 1 << 18
"""Scores that are worked on together, a quarter of a second-level cache of 1 MiB."""
Q, K, V, MASK, OUT, SCRATCH = range(1, 7)
Arrangement = tuple[tuple[int, ...], tuple[int, ...]]
"""Shape and steps in bytes."""


def suits(q: Array, k: Array, v: Array, mask: Array | None) -> bool:
    """Whether compiled code can take these heads (batch, heads, length, size), and a mask that broadcasts to scores."""
    if not compiled.is_available() or any(x.dtype != np.float32 or x.size == 0 for x in (q, k, v)):
        return False
    if any(x.strides[-1] != FLOAT_BYTES or x.shape[-1] % loops().lanes for x in (q, k, v)):
        return False
    if q.shape[2] < LEAST_QUERIES or q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3] or k.shape[:3] != v.shape[:3]:
        return False
    scores = (q.shape[2], k.shape[2])
    return mask is None or (mask.dtype == np.float32 and mask.shape[-2:] == scores and mask.strides[-1] == FLOAT_BYTES)


def attend(q: Array, k: Array, v: Array, mask: Array | None, factor: np.float32, out: Array) -> None:
    """Write softmax(factor Q K^T + mask) V to `out`, whose last axis is contiguous; see `suits`."""
    wide = None if mask is None else np.broadcast_to(mask, (*q.shape[:3], k.shape[2]))
    tensors = [(x.shape, x.strides) for x in (q, k, v, out)]
    plan = _plan(tuple(tensors), None if wide is None else wide.strides, threads.threads())
    scratch = np.empty(plan.scratch_floats, np.float32)
    begin = [0 if x is None else address_of(x) for x in (q, k, v, wide, out, scratch)]
    limits = np.array([(factor, 0)], np.float32)
    work = q.size * k.shape[2]
    compiled.run_table(
        plan.table, limits, np.array([0, *begin], np.int64), plan.threads if work > compiled.LEAST_WORK else 1
    )


class _Plan:
    def __init__(self, tensors: tuple[Arrangement, ...], mask_steps: tuple[int, ...] | None, count: int) -> None:
        (shape, q_steps), (k_shape, k_steps), (v_shape, v_steps), (_, out_steps) = tensors
        (batch, heads, queries, depth), keys, values = shape, k_shape[2], v_shape[3]
        of_keys = np.arange(heads) // (heads // k_shape[1])
        width, lanes, tile = loops().width, loops().lanes, loops().rows
        score_step = FLOAT_BYTES * (-(-keys // lanes) * lanes)
        at_once = min(rows_at_once(score_step, tile, SCORE_BYTES), -(-queries // tile) * tile)
        packed_floats = -(-keys // width) * width * depth
        scratch_bytes = FLOAT_BYTES * packed_floats + score_step * at_once
        self.threads, self.scratch_floats = count, count * scratch_bytes // FLOAT_BYTES
        masks = (0, 0, 0) if mask_steps is None else mask_steps
        q_heads, out_heads, mask_heads = (grid((batch, heads), each[:2]) for each in (q_steps, out_steps, masks))
        k_heads, v_heads = (
            np.add.outer(np.arange(batch) * step[0], of_keys * step[1]).reshape(-1) for step in (k_steps, v_steps)
        )
        lists = {
            "q_heads": q_heads, "k_heads": k_heads, "v_heads": v_heads, "mask_heads": mask_heads,
            "out_heads": out_heads, "q_rows": even_rows(queries, q_steps[2]),
            "out_rows": even_rows(queries, out_steps[2]), "score_rows": even_rows(at_once + 1, score_step),
            "pieces": pieces_of_depth(depth), "key_pieces": pieces_of_depth(keys), "tap": np.zeros(1, np.int64),
            "no_bias": np.zeros(max(keys, values) + width, np.float32),
        }  # fmt: skip
        self._kept = {name: np.ascontiguousarray(each) for name, each in lists.items()}
        job = Heads(
            kind=ATTENTION, rows=batch * heads, columns=values, depth=depth, queries=queries, keys=keys,
            at_once=at_once, q_slot=Q, k_slot=K, v_slot=V, mask_slot=MASK, out_slot=OUT, scratch_slot=SCRATCH,
            k_step=k_steps[2], v_step=v_steps[2], mask_step=masks[2], scratch_bytes=scratch_bytes,
            piece_count=len(self._kept["pieces"]), key_piece_count=len(self._kept["key_pieces"]),
            **{name: address_of(each) for name, each in self._kept.items()},
        )  # fmt: skip
        self.table = table_of([job])


@lru_cache(maxsize=256)
def _plan(tensors: tuple[Arrangement, ...], mask_steps: tuple[int, ...] | None, count: int) -> _Plan:
    return _Plan(tensors, mask_steps, count)
