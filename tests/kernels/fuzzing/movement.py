"""Operators that move, select and order elements."""

import math

import numpy as np

from tests.kernels.fuzzing.draw import Case, Draw, draws, int64

ANY = (np.float32, np.float32, np.int64, np.int32, np.uint8, np.float64, np.bool_)


@draws("Concat")
def concat(draw: Draw) -> Case:
    shape, dtype = list(draw.shape(1, 4)), draw.pick(*ANY)
    axis = draw.axis(len(shape))
    tensors = []
    for _ in range(draw.integer(1, 4)):
        shape[axis] = draw.integer(0, 4)
        tensors.append(draw.tensor(shape, dtype))
    return Case("Concat", tuple(tensors), {"axis": axis}, draw.pick(11, 13))


@draws("Split")
def split(draw: Draw) -> Case:
    opset, shape = draw.pick(7, 11, 13, 18), list(draw.shape(1, 4))
    axis = draw.integer(0, len(shape) - 1)
    sizes = draw.integers(draw.integer(1, 4), 0 if opset >= 11 else 1, 4)
    shape[axis] = sum(sizes)
    attributes = {"axis": axis - (len(shape) if opset >= 11 and draw.chance(0.3) else 0)}
    x = draw.tensor(shape, draw.pick(np.float32, np.int64))
    if opset < 13:
        return Case("Split", (x,), {**attributes, "split": sizes}, opset, len(sizes))
    if opset == 18 and draw.chance(0.4):
        count = draw.integer(1, max(1, shape[axis]))
        if math.ceil(shape[axis] / count) * (count - 1) < max(shape[axis], 1):
            return Case("Split", (x,), {**attributes, "num_outputs": count}, 18, count)
    return Case("Split", (x, int64(sizes)), attributes, opset, len(sizes))


@draws("Slice")
@draws("Slice again")
def slice_(draw: Draw) -> Case:
    shape, opset = draw.shape(1, 4, 7), draw.pick(7, 10, 11, 13)
    axes = draw.axes(len(shape)) if opset >= 11 else [axis % len(shape) for axis in draw.axes(len(shape))]
    starts, ends = draw.integers(len(axes), -9, 9), draw.integers(len(axes), -9, 9)
    if draw.chance(0.2):
        ends[0] = draw.pick(2**63 - 1, 2**31 - 1)
    x = draw.tensor(shape, draw.pick(np.float32, np.int64))
    if opset == 7:
        return Case("Slice", (x,), {"starts": starts, "ends": ends, "axes": axes}, 7)
    dtype = np.int64 if abs(ends[0]) > 2**31 else draw.pick(np.int64, np.int32)
    steps = [draw.pick(1, 2, 3, -1, -2) for _ in axes]
    if ends[0] > 9:
        steps[0] = abs(steps[0])  # backwards to the largest integer, onnxruntime returns one element
    bounds = (np.array(starts, dtype), np.array(ends, dtype))
    if draw.chance(0.1) and sorted(axes) == list(range(len(shape))):
        return Case("Slice", (x, *bounds), {}, opset)
    return Case("Slice", (x, *bounds, np.array(axes, dtype), np.array(steps, dtype)), {}, opset)


@draws("Pad")
@draws("Pad again")
def pad(draw: Draw) -> Case:
    opset = draw.pick(7, 11, 13, 18, 19)
    mode = draw.pick("constant", "reflect", "edge", "wrap") if opset >= 19 else draw.pick("constant", "reflect", "edge")
    shape = tuple(draw.integers(draw.integer(1, 4), 3, 6))
    negative = -1 if mode == "constant" or draw.chance(0.2) else 0
    axes = draw.axes(len(shape)) if opset >= 18 and draw.chance(0.4) else list(range(len(shape)))
    pads = draw.integers(2 * len(axes), negative, 2)
    if opset < 11:
        attributes = {"pads": pads, "mode": mode, "value": draw.number(-1, 1)}
        return Case("Pad", (draw.tensor(shape),), attributes, opset)
    dtype = np.float32 if opset < 13 else draw.pick(np.float32, np.int64, np.int32, np.float64)
    value = draw.tensor((), dtype) if mode == "constant" and draw.chance(0.6) else None
    listed = int64(axes) if len(axes) < len(shape) or (opset >= 18 and draw.chance(0.3)) else None
    inputs = (draw.tensor(shape, dtype), int64(pads), value) + ((listed,) if listed is not None else ())
    return Case("Pad", inputs, {"mode": mode}, opset)


@draws("Transpose")
def transpose(draw: Draw) -> Case:
    shape = draw.shape(0, 5)
    attributes = {"perm": draw.generator.permutation(len(shape)).tolist()} if draw.chance(0.8) and shape else {}
    return Case("Transpose", (draw.tensor(shape, draw.pick(*ANY)),), attributes, 13)


@draws("Reshape")
def reshape(draw: Draw) -> Case:
    shape, opset = draw.shape(0, 5), draw.pick(7, 13, 14)
    cut = draw.integer(0, len(shape))
    target = [*shape[:cut], math.prod(shape[cut:])]
    if 0 not in shape:
        target[-1] = -1 if draw.chance() else target[-1]
        target = [0 if axis < cut and draw.chance(0.3) else size for axis, size in enumerate(target)]
    attributes = {"allowzero": 1} if 0 in shape and opset == 14 else {}
    return Case("Reshape", (draw.tensor(shape), int64(target)), attributes, opset)


@draws("shapes")
def shapes(draw: Draw) -> Case:
    op, shape = draw.pick("Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile", "Shape", "Size"), draw.shape(1, 4, 4)
    opset = draw.pick(11, 13, 15)
    if op == "Flatten":
        return Case(op, (draw.tensor(shape),), {"axis": draw.integer(-len(shape), len(shape))}, opset)
    if op == "Shape":
        limits = {name: draw.integer(-5, 5) for name in ("start", "end") if opset == 15 and draw.chance()}
        return Case(op, (draw.tensor(shape),), limits, opset)
    if op == "Size":
        return Case(op, (draw.tensor(shape),), {}, opset)
    if op == "Expand":
        return Case(op, (draw.tensor(draw.broadcastable(shape)), int64(shape)), {}, opset)
    if op == "Tile":
        return Case(op, (draw.tensor(shape), int64(draw.integers(len(shape), 0, 3))), {}, opset)
    if op == "Unsqueeze":
        axes = [axis % (len(shape) + 2) for axis in draw.axes(len(shape) + 2)[:2]]
        axes = axes if len(axes) == 2 else [draw.axis(len(shape) + 1)]
    else:
        shape = tuple(1 if draw.chance() else size for size in shape)
        axes = [axis for axis in range(len(shape)) if shape[axis] == 1]
    x = draw.tensor(shape)
    if op == "Squeeze" and (not axes or draw.chance(0.3)):
        return Case(op, (x,), {}, opset)
    return Case(op, (x,), {"axes": axes}, opset) if opset < 13 else Case(op, (x, int64(axes)), {}, opset)


def _indices(draw: Draw, shape: tuple[int, ...], size: int) -> np.ndarray:
    return draw.generator.integers(-size, size, shape) if size else np.zeros((0,), np.int64)


@draws("Gather")
def gather(draw: Draw) -> Case:
    shape = draw.shape(1, 4)
    axis = draw.axis(len(shape))
    indices = _indices(draw, draw.shape(0, 3, 4), shape[axis]).astype(draw.pick(np.int64, np.int32))
    return Case("Gather", (draw.tensor(shape, draw.pick(*ANY)), indices), {"axis": axis}, draw.pick(11, 13))


@draws("GatherElements")
def gather_elements(draw: Draw) -> Case:
    shape = tuple(max(size, 1) for size in draw.shape(1, 4))
    axis = draw.axis(len(shape))
    smaller = [draw.integer(1, size) for size in shape]
    smaller[axis] = draw.integer(1, 6)
    indices = _indices(draw, tuple(smaller), shape[axis])
    return Case("GatherElements", (draw.tensor(shape, draw.pick(*ANY)), indices), {"axis": axis}, draw.pick(11, 13))


@draws("GatherND")
def gather_nd(draw: Draw) -> Case:
    shape = tuple(draw.integers(draw.integer(1, 5), 1, 5))
    batch = draw.integer(0, min(len(shape) - 1, 2))
    depth = draw.integer(1, len(shape) - batch)
    outer = (*shape[:batch], *draw.integers(draw.integer(0, 2), 1, 4))
    indices = np.stack([_indices(draw, outer, shape[batch + i]) for i in range(depth)], axis=-1)
    return Case("GatherND", (draw.tensor(shape), indices), {"batch_dims": batch}, draw.pick(12, 13))


@draws("ScatterElements")
def scatter_elements(draw: Draw) -> Case:
    shape = tuple(draw.integers(draw.integer(1, 4), 1, 5))
    axis, opset = draw.axis(len(shape)), draw.pick(11, 13, 16, 18)
    reductions = {16: ("none", "add", "mul"), 18: ("none", "add", "mul", "max", "min")}.get(opset, ("none",))
    reduction = draw.pick(*reductions)
    smaller = [draw.integer(1, size) for size in shape]
    indices = _indices(draw, tuple(smaller), shape[axis])
    if reduction == "none":  # which of two updates of one place wins is not defined
        order = np.argsort(draw.generator.random((*shape[: axis % len(shape)], *shape[axis % len(shape) :])), axis=axis)
        indices = order[tuple(slice(0, size) for size in smaller)]
    dtype = draw.pick(np.float32, np.int64)
    inputs = (draw.tensor(shape, dtype), indices, draw.tensor(smaller, dtype))
    attributes = {"axis": axis, "reduction": reduction} if reduction != "none" else {"axis": axis}
    return Case("ScatterElements", inputs, attributes, opset)


@draws("ScatterND")
def scatter_nd(draw: Draw) -> Case:
    shape = tuple(draw.integers(draw.integer(1, 4), 2, 5))
    depth, opset = draw.integer(1, len(shape)), draw.pick(11, 13, 16, 18)
    reductions = {16: ("none", "add", "mul"), 18: ("none", "add", "mul", "max", "min")}.get(opset, ("none",))
    reduction = draw.pick(*reductions)
    places = np.stack(np.unravel_index(draw.generator.permutation(math.prod(shape[:depth])), shape[:depth]), axis=-1)
    indices = places[: draw.integer(1, len(places))]
    dtype = draw.pick(np.float32, np.int64)
    updates = draw.tensor((len(indices), *shape[depth:]), dtype)
    attributes = {"reduction": reduction} if reduction != "none" else {}
    return Case("ScatterND", (draw.tensor(shape, dtype), indices, updates), attributes, opset)


@draws("blocks")
def blocks(draw: Draw) -> Case:
    size, opset = draw.integer(1, 3), draw.pick(11, 13)
    n, c, h, w = draw.integers(4, 1, 4)
    if draw.chance():
        mode = draw.pick("DCR", "CRD")
        return Case("DepthToSpace", (draw.tensor((n, c * size**2, h, w)),), {"blocksize": size, "mode": mode}, opset)
    return Case("SpaceToDepth", (draw.tensor((n, c, h * size, w * size)),), {"blocksize": size}, opset)


@draws("ReverseSequence")
def reverse_sequence(draw: Draw) -> Case:
    shape = tuple(draw.integers(draw.integer(2, 4), 1, 5))
    time = draw.integer(0, 1)
    lengths = int64([draw.integer(1, shape[time]) for _ in range(shape[1 - time])])
    return Case("ReverseSequence", (draw.tensor(shape), lengths), {"time_axis": time, "batch_axis": 1 - time}, 10)


@draws("OneHot")
def one_hot(draw: Draw) -> Case:
    shape, depth = draw.shape(0, 3), draw.integer(1, 6)
    values = draw.tensor((2,), draw.pick(np.float32, np.int64))
    axis = draw.axis(len(shape) + 1)
    indices = draw.generator.integers(-depth - 1, depth + 1, shape)
    return Case("OneHot", (indices, np.array(depth, np.int64), values), {"axis": axis}, 11)


@draws("Trilu")
def trilu(draw: Draw) -> Case:
    shape = draw.shape(2, 4)
    k = np.array(draw.integer(-6, 6), np.int64)
    return Case("Trilu", (draw.tensor(shape), k), {"upper": draw.integer(0, 1)}, 14)


@draws("EyeLike")
def eye_like(draw: Draw) -> Case:
    attributes = {"k": draw.integer(-4, 4)} if draw.chance() else {}
    return Case("EyeLike", (draw.tensor(draw.shape(2, 2)),), attributes, 9)


@draws("Compress, NonZero, Unique")
def selection(draw: Draw) -> Case:
    op, shape = draw.pick("Compress", "NonZero", "Unique"), draw.shape(1, 3)
    if op == "NonZero":
        return Case(op, (draw.tensor(shape, draw.pick(np.float32, np.int64, np.bool_, np.int32), -1, 1),), {}, 13)
    axis = draw.axis(len(shape)) if draw.chance(0.6) else None
    attributes = {} if axis is None else {"axis": axis}
    if op == "Unique":
        shape = tuple(max(size, 1) for size in shape)  # onnxruntime 1.32 aborts on an empty tensor
        x = draw.tensor(shape, np.int64, 0, 2).astype(draw.pick(np.float32, np.int64))
        return Case(op, (x,), {**attributes, "sorted": draw.integer(0, 1)}, 11, 4)
    length = math.prod(shape) if axis is None else shape[axis]
    return Case(op, (draw.tensor(shape), draw.tensor((draw.integer(0, length),), np.bool_)), attributes, 11)


@draws("TopK")
def top_k(draw: Draw) -> Case:
    shape, opset = draw.shape(1, 4), draw.pick(10, 11)
    axis = draw.axis(len(shape)) if opset > 10 else draw.integer(0, len(shape) - 1)
    k = int64([draw.integer(0, shape[axis])])
    dtype = np.float32 if opset == 10 else draw.pick(np.float32, np.int64, np.int32, np.float64)
    x = draw.tensor(shape, np.int64, -5, 5).astype(dtype) if draw.chance() else draw.tensor(shape, dtype)
    attributes = {"axis": axis}
    if opset > 10:
        attributes |= {"largest": draw.integer(0, 1), "sorted": 1}
    return Case("TopK", (x, k), attributes, opset, 2)


@draws("Range")
def range_(draw: Draw) -> Case:
    dtype = draw.pick(np.int64, np.int32, np.float32, np.float64)
    step = draw.pick(1, 2, 3, -1, -2)
    return Case("Range", tuple(np.array(x, dtype) for x in (draw.integer(-9, 9), draw.integer(-9, 9), step)), {}, 11)
