"""The calls of a chain: a product, the depthwise convolution that reads it, and the product that reads that.

They go over bands of rows, so that the tensors between them, the largest of a network made of inverted residuals, stay
in a cache and are never in memory as a whole. What a band needs of the rows that the band before had is kept; rows that
two threads need each of them computes.
"""

import math
from collections.abc import Iterator, Sequence

from partita.kernels.arrays import Array
from partita.kernels.calls import Call, copy
from partita.kernels.conv_blocks import Operands, aligned, block, depthwise, finished, pointwise, scratch_elements
from partita.kernels.conv_lanes import Chain
from partita.kernels.conv_layout import Convolution
from partita.kernels.places import Cut, Piece, Place
from partita.kernels.products import ALL


def chain_scratch_elements(chain: Chain, piece: Piece) -> int:
    """Numbers of scratch memory for a band."""
    (rows, width, _), channels = piece.shape, len(chain.depthwise.w)
    read = _rows_read(chain.depthwise, rows)
    before = Piece(0, piece.cut, (read, chain.expand.windows.outputs[1], channels))
    band = Piece(0, piece.cut, (rows, width, channels))
    after = math.prod(band.shape) + scratch_elements(chain.project, piece)
    most = max(scratch_elements(chain.expand, before), scratch_elements(chain.depthwise, band), aligned(after))
    return aligned(read * chain.padded_width * channels) + most


def chain_calls(chain: Chain, pieces: Sequence[Piece], given: Operands, scratch: Array) -> Iterator[Call]:
    """What one thread does: its pieces in their order. `given`: the source of the first, the target of the last."""
    expand, middle, project = chain
    windows, channels, stride = middle.windows, len(middle.w), middle.windows.strides[1]
    read = _rows_read(middle, max(piece.shape[0] for piece in pieces))
    memory = scratch[: read * chain.padded_width * channels]
    memory = memory.reshape(1, read, stride, chain.padded_width // stride, channels)
    scratch = scratch[aligned(memory.size) :]
    image: int | slice = -1
    start = known = 0  # padded rows of the image from `start` up to `known` are in memory
    for piece in pieces:
        rows, shape = piece.cut[1], (*piece.shape[:2], channels)
        first = rows.start * windows.strides[0]
        last = first + _rows_read(middle, shape[0])
        place = Place(memory, (windows.begin[0] - first, windows.begin[1]), windows.inputs)
        if piece.cut[0] != image:
            known = first
            yield from place.side_zeros()
        elif known > first:
            yield copy(memory[:, first - start : known - start], memory[:, : known - first])
        image, start, known = piece.cut[0], first, max(known, first)
        yield from _expanded(expand, slice(known, last), windows.begin[0], given.source[image], place, scratch)
        known = last
        results = scratch[: math.prod(shape)].reshape(shape)
        cut: Cut = (0, slice(0, shape[0]), ALL, ALL)
        yield from depthwise(middle, cut, memory, results, scratch[results.size :])
        yield from finished(middle, results, cut, None)
        yield from pointwise(project, piece, results, given, scratch[results.size :])


def _expanded(c: Convolution, padded: slice, top: int, source: Array, place: Place, scratch: Array) -> Iterator[Call]:
    """Some padded rows of the first product, `top` of which are above the image: zeros where they are outside of it."""
    height, width = c.windows.outputs
    begin, end = max(padded.start - top, 0), min(padded.stop - top, height)
    yield from place.row_zeros(padded.start - top, min(0, padded.stop - top))
    yield from place.row_zeros(max(height, padded.start - top), padded.stop - top)
    if begin < end:
        piece = Piece(0, (0, slice(begin, end), ALL, ALL), (end - begin, width, len(c.w)))
        yield from block(c, piece, Operands(source[None], place, None), scratch)


def _rows_read(c: Convolution, rows: int) -> int:
    """Padded rows that so many rows of results are computed from."""
    return (rows - 1) * c.windows.strides[0] + c.windows.extents[0]
