"""Depthwise convolutions of 3x3 in compiled code: some outputs side by side share the inputs that they load.

Imported only where numba is installed. Other depthwise windows run by `compiled_blocks.depthwise_block`.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from partita.kernels.compiled_blocks import LONG, LONG_BYTES, Code, over_columns
from partita.kernels.compiled_products import compiled
from partita.kernels.jobs import SIDE

ARGUMENTS = (
    "input", "input_rows", "taps", "column_step", "weights", "weights_step", "bias", "addend", "addend_rows", "output",
    "output_rows", "columns", "low", "high",
)  # fmt: skip
"""As those of `compiled_blocks`, for the first output; `taps` are those of column 0 of the window, and `column_step`
leads from an input to the next beside it.
"""
LineArguments = tuple[int, int, int, int, int, int, int, int, int, int, int, int, Any, Any]


def _line_block(count: int, stride: int) -> Any:
    """All channels of `count` outputs that lie side by side."""

    def generate(code: Code) -> None:
        at, b = code.at, code.b
        (begin,), outputs = code.rows_of("input", 1), code.rows_of("output", count)
        lines = [b.add(begin, code.load(code.plus(at["taps"], LONG_BYTES * i), LONG)) for i in range(SIDE)]
        steps = [b.mul(LONG(j), at["column_step"]) for j in range((count - 1) * stride + SIDE)]

        def channels(column: ir.Value) -> None:
            sums = [code.vector(b.add(at["bias"], column))] * count
            for i, line in enumerate(lines):
                inputs = [code.vector(b.add(b.add(line, step), column)) for step in steps]
                for j in range(SIDE):
                    place = code.step(at["weights"], LONG(SIDE * i + j), at["weights_step"])
                    factors = code.vector(b.add(place, column))
                    sums = [code.multiply_add(inputs[stride * t + j], factors, x) for t, x in enumerate(sums)]
            code.finish([[x] for x in sums], outputs, column)

        over_columns(code, channels)

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        generate(Code(builder, ARGUMENTS, arguments))
        return context.get_dummy_value()

    def declare(
        typing: Any, input: Any, input_rows: Any, taps: Any, column_step: Any, weights: Any, weights_step: Any,
        bias: Any, addend: Any, addend_rows: Any, output: Any, output_rows: Any, columns: Any, low: Any, high: Any,
    ) -> Any:  # fmt: skip
        return types.void(*(types.intp,) * 12, types.float32, types.float32), build

    return intrinsic(declare)


_eight_1, _seven_1, _four_1 = (_line_block(count, 1) for count in (8, 7, 4))
_eight_2, _seven_2, _four_2 = (_line_block(count, 2) for count in (8, 7, 4))


@compiled
def _run(count: int, stride: int, given: LineArguments) -> None:
    if stride == 1:
        if count == 8:
            _eight_1(*given)
        elif count == 7:
            _seven_1(*given)
        else:
            _four_1(*given)
    elif count == 8:
        _eight_2(*given)
    elif count == 7:
        _seven_2(*given)
    else:
        _four_2(*given)


@compiled
def run_lines(count: int, stride: int, line: int, given: LineArguments, first: int, last: int) -> None:
    """Outputs from `first` up to `last`, in whole lines of so many, `count` (at most a line) at a time.

    Where that does not divide a line, its last outputs are computed with some of those before them again.
    """
    x, x_rows, taps, column_step, w, w_step, bias, addend, z_rows, out, y_rows, n, low, high = given
    for begin in range(first, last, line):
        for j in range(0, line, count):
            column = min(j, line - count)
            skip = 8 * (begin + column)
            at = (x, x_rows + 8 * column, taps + 8 * SIDE * (begin // line), column_step, w, w_step, bias, addend,
                  z_rows + skip, out, y_rows + skip, n, low, high)  # fmt: skip
            _run(count, stride, at)
