"""Convolutions, pooling, and what else slides a window over an image."""

from typing import Any

import numpy as np

from tests.kernels.fuzzing.draw import Case, Draw, Shape, draws, int64

AUTO_PADS = ("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def window(draw: Draw, rank: int, *, dilated: bool = True) -> tuple[Shape, dict[str, Any]]:
    """A kernel shape, and strides, dilations and padding for it; each attribute may be left out."""
    kernel = tuple(draw.integers(rank, 1, 4))
    attributes: dict[str, Any] = {}
    if draw.chance(0.7):
        attributes["strides"] = draw.integers(rank, 1, 3)
    if dilated and draw.chance(0.4):
        attributes["dilations"] = draw.integers(rank, 1, 3)
    auto_pad = draw.pick(*AUTO_PADS)
    if auto_pad != "NOTSET":
        attributes["auto_pad"] = auto_pad
        if auto_pad.startswith("SAME"):  # onnxruntime refuses dilations here, and crops if strides leave gaps
            attributes.pop("dilations", None)
            if any(s > k for s, k in zip(attributes.get("strides", kernel), kernel, strict=True)):
                attributes.pop("strides")
    elif draw.chance(0.7):
        attributes["pads"] = [
            min(pad, size - 1) for pad, size in zip(draw.integers(2 * rank, 0, 2), kernel * 2, strict=True)
        ]
    return kernel, attributes


def image(draw: Draw, rank: int, channels: int) -> Shape:
    """(batch, channels, *rank sizes), big enough for the windows."""
    largest = {1: 40, 2: 17, 3: 11}[rank]
    return (draw.integer(1, 3), channels, *draw.integers(rank, 10, largest))


def _grouped(draw: Draw) -> tuple[int, int, int]:
    """Groups, channels and filters."""
    group = draw.pick(1, 1, 1, 2, 3, 8)
    multiplier = draw.pick(1, 1, 2, 3, 5)
    per_group = 1 if group > 1 and draw.chance() else draw.integer(1, 9)
    return group, group * per_group, group * multiplier


@draws("Conv")
@draws("Conv again")
@draws("Conv once more")
@draws("Conv the fourth")
def conv(draw: Draw) -> Case:
    rank = draw.pick(1, 2, 2, 2, 3)
    kernel, attributes = window(draw, rank)
    group, channels, filters = _grouped(draw)
    if draw.chance(0.2):
        kernel = (draw.pick(1, 3, 5),) * rank
        if "pads" in attributes:
            attributes["pads"] = [kernel[0] // 2] * (2 * rank)
    if draw.chance(0.2):
        channels, filters, group = (n := draw.integer(1, 40)), n, n
    x, w = draw.tensor(image(draw, rank, channels)), draw.tensor((filters, channels // group, *kernel))
    bias = (draw.tensor((filters,)),) if draw.chance() else ()
    if draw.chance():
        attributes["kernel_shape"] = kernel
    return Case("Conv", (x, w, *bias), {**attributes, "group": group}, draw.pick(7, 11))


@draws("Conv of real sizes")
def conv_of_real_size(draw: Draw) -> Case:
    """Shapes as in CNNs, at which other schedules are chosen than at small ones."""
    kernel, stride, dilation = draw.pick(1, 3, 3, 5, 7), draw.pick(1, 1, 2), draw.pick(1, 1, 1, 2)
    channels, size = draw.pick(3, 16, 24, 64, 96, 128), draw.pick(7, 14, 28, 56, 30)
    is_depthwise = draw.chance(0.4) and channels > 3
    filters = channels if is_depthwise else draw.pick(8, 16, 40, 64)
    pad = dilation * (kernel // 2) if draw.chance(0.8) else draw.integer(0, 1)
    attributes = {
        "pads": [pad] * 4,
        "strides": [stride] * 2,
        "dilations": [dilation] * 2,
        "group": channels if is_depthwise else draw.pick(1, 1, 1, 8) if channels % 8 == 0 else 1,
    }
    x = draw.tensor((draw.pick(1, 1, 2), channels, size, draw.pick(size, size + 3)))
    w = draw.tensor((filters, channels // attributes["group"], kernel, kernel))
    return Case("Conv", (x, w, draw.tensor((filters,))), attributes, 11, tolerance=3e-5)


@draws("ConvTranspose")
@draws("ConvTranspose again")
def conv_transpose(draw: Draw) -> Case:
    rank = draw.pick(1, 2, 2, 3)
    kernel, attributes = window(draw, rank)
    group, channels, filters = _grouped(draw)
    x = draw.tensor((draw.integer(1, 2), channels, *draw.integers(rank, 1, 6)))
    w = draw.tensor((channels, filters // group, *kernel))
    strides = attributes.get("strides", [1] * rank)
    if draw.chance(0.4):
        attributes["output_padding"] = [draw.integer(0, stride - 1) for stride in strides]
    elif draw.chance(0.3) and "auto_pad" not in attributes:
        attributes.pop("pads", None)
        dilations = attributes.get("dilations", [1] * rank)
        full = [
            s * (n - 1) + (k - 1) * d + 1 for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True)
        ]
        attributes["output_shape"] = [max(1, size - draw.integer(0, 2)) for size in full]
    bias = (draw.tensor((filters,)),) if draw.chance() else ()
    return Case("ConvTranspose", (x, w, *bias), {**attributes, "group": group}, 11)


@draws("MaxPool")
@draws("MaxPool again")
def max_pool(draw: Draw) -> Case:
    rank, opset = draw.pick(1, 2, 2, 3), draw.pick(7, 8, 10, 11, 12)
    kernel, attributes = window(draw, rank, dilated=opset >= 10)
    if opset >= 10 and draw.chance(0.4):
        attributes["ceil_mode"] = 1
    outputs = 1 if opset < 8 else draw.integer(1, 2)
    if outputs == 2 and draw.chance(0.3):
        attributes["storage_order"] = 1
    dtype = draw.pick(np.float32, np.float32, np.uint8, np.int8, np.float64) if opset >= 12 else np.float32
    x = draw.tensor(image(draw, rank, draw.integer(1, 5)), dtype, -99, 99)
    return Case("MaxPool", (x,), {**attributes, "kernel_shape": kernel}, opset, outputs)


@draws("AveragePool, LpPool")
@draws("AveragePool, LpPool again")
def average_pool(draw: Draw) -> Case:
    op, opset = draw.pick("AveragePool", "AveragePool", "LpPool"), draw.pick(7, 10, 11, 18, 19)
    rank = draw.pick(1, 2, 2, 3)
    kernel, attributes = window(draw, rank, dilated=opset >= (19 if op == "AveragePool" else 18))
    if draw.chance(0.4) and opset >= (10 if op == "AveragePool" else 18):
        attributes["ceil_mode"] = 1
    if op == "LpPool":
        attributes["p"] = draw.integer(1, 4)
    else:
        attributes["count_include_pad"] = draw.integer(0, 1)
    x = draw.tensor(image(draw, rank, draw.integer(1, 5)))
    return Case(op, (x,), {**attributes, "kernel_shape": kernel}, opset)


@draws("global pooling")
def global_pool(draw: Draw) -> Case:
    op = draw.pick("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    attributes = {"p": draw.integer(1, 3)} if op == "GlobalLpPool" else {}
    return Case(op, (draw.tensor(image(draw, draw.integer(1, 3), draw.integer(1, 9))),), attributes, 9)


@draws("MaxUnpool")
def max_unpool(draw: Draw) -> Case:
    n, c, h, w = draw.integers(4, 1, 4)
    kernel, strides = [2, 2], [2, 2]
    places = draw.generator.permutation(n * c * h * w * 4)[: n * c * h * w].reshape(n, c, h, w)
    return Case("MaxUnpool", (draw.tensor((n, c, h, w)), places), {"kernel_shape": kernel, "strides": strides}, 11)


@draws("Col2Im")
def col_to_image(draw: Draw) -> Case:
    rank = 2  # in one and three dimensions onnxruntime differs from the standard's ReferenceEvaluator
    kernel, attributes = window(draw, rank)
    attributes.pop("auto_pad", None)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * (2 * rank))
    size = [draw.integer((k - 1) * d + 1, 10) for k, d in zip(kernel, dilations, strict=True)]
    places = 1
    for i in range(rank):
        places *= (size[i] + pads[i] + pads[rank + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
    x = draw.tensor((draw.integer(1, 2), draw.integer(1, 3) * int(np.prod(kernel)), places))
    return Case("Col2Im", (x, int64(size), int64(kernel)), attributes, 18)


@draws("DeformConv")
def deform_conv(draw: Draw) -> Case:
    kernel, attributes = window(draw, 2)
    attributes.pop("auto_pad", None)
    group, channels, filters = _grouped(draw)
    shape = image(draw, 2, channels)
    stride, dilation = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    pads = attributes.setdefault("pads", [0] * 4)
    out = [(shape[2 + i] + pads[i] + pads[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    if min(out) < 1:
        return conv(draw)
    offset_group = draw.pick(1, channels)
    taps = kernel[0] * kernel[1] * offset_group
    offset = draw.tensor((shape[0], 2 * taps, *out), low=-2, high=2)
    bias = draw.tensor((filters,)) if draw.chance() else None
    mask = (draw.tensor((shape[0], taps, *out)),) if draw.chance() else ()
    w = draw.tensor((filters, channels // group, *kernel))
    attributes |= {"group": group, "offset_group": offset_group}
    return Case("DeformConv", (draw.tensor(shape), w, offset, bias, *mask), attributes, 19, tolerance=1e-4)


@draws("LRN")
def local_response(draw: Draw) -> Case:
    attributes: dict[str, Any] = {"size": draw.pick(1, 3, 5, 7, 4)}
    attributes |= {k: draw.number(0.1, 1) for k in ("alpha", "beta", "bias") if draw.chance()}
    return Case("LRN", (draw.tensor(image(draw, 2, draw.integer(1, 9))),), attributes, 13)
