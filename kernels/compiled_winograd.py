"""Winograd's transforms of one tile as LLVM vector code. Imported only where numba is installed; see `winograd`."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from partita.kernels.compiled_blocks import LONG, LONG_BYTES, Code, Grid, over_columns
from partita.kernels.winograd import Matrices

INPUT = ("input", "row_step", "column_step", "output", "plane_step", "columns")
"""Where the tile begins, how far apart its rows and columns are, where the first of its planes goes, the channels."""
OUTPUT = (
    "input", "plane_step", "bias", "addend", "addend_cells", "output", "output_cells", "columns", "low", "high",
)  # fmt: skip
"""Where the tile lies in the first plane of products; the cells are offsets of its positions, below 0 for none."""


def _combined(code: Code, factors: Sequence[float], vectors: Sequence[ir.Value]) -> ir.Value:
    """The sum of factors times vectors; a factor of 1 comes first if there is one, for it costs nothing."""
    pairs = sorted(((f, x) for f, x in zip(factors, vectors, strict=True) if f), key=lambda pair: pair[0] != 1)
    total = pairs[0][1] if pairs[0][0] == 1 else code.b.fmul(code.constant(pairs[0][0]), pairs[0][1])
    for factor, x in pairs[1:]:
        if factor == 1:
            total = code.b.fadd(total, x)
        elif factor == -1:
            total = code.b.fsub(total, x)
        else:
            total = code.multiply_add(code.constant(factor), x, total)
    return total


def _both_ways(code: Code, matrix: Sequence[Sequence[float]], tile: Grid) -> Grid:
    """matrix @ tile @ matrix^T."""
    columns = list(zip(*tile, strict=True))
    across = [[_combined(code, factors, column) for column in columns] for factors in matrix]
    return [[_combined(code, factors, row) for factors in matrix] for row in across]


def input_block(matrices: Matrices) -> Any:
    """Transform one tile of all channels and write each of its elements to a plane of its own."""
    size = len(matrices.input)

    def generate(code: Code) -> None:
        at, b = code.at, code.b

        def channels(column: ir.Value) -> None:
            rows = [b.add(code.step(at["input"], LONG(i), at["row_step"]), column) for i in range(size)]
            tile = [[code.vector(code.step(row, LONG(j), at["column_step"])) for j in range(size)] for row in rows]
            for i, row in enumerate(_both_ways(code, matrices.input, tile)):
                for j, x in enumerate(row):
                    place = code.step(at["output"], LONG(size * i + j), at["plane_step"])
                    code.store(x, b.add(place, column))

        over_columns(code, channels)

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        generate(Code(builder, INPUT, arguments))
        return context.get_dummy_value()

    def declare(
        typing: Any, input: Any, row_step: Any, column_step: Any, output: Any, plane_step: Any, columns: Any
    ) -> Any:
        return types.void(*(types.intp,) * 6), build

    return intrinsic(declare)


def output_block(matrices: Matrices) -> Any:
    """Transform one tile of all filters back and write those of its positions that exist, ended as in a product."""
    size = len(matrices.input)

    def generate(code: Code) -> None:
        at, b = code.at, code.b

        def filters(column: ir.Value) -> None:
            places = [code.step(at["input"], LONG(t), at["plane_step"]) for t in range(size * size)]
            planes = [code.vector(b.add(place, column)) for place in places]
            tile = [planes[size * i : size * i + size] for i in range(size)]
            bias = code.vector(b.add(at["bias"], column))
            results = _both_ways(code, matrices.output, tile)
            for cell, x in enumerate(x for row in results for x in row):
                _write(code, cell, b.fadd(x, bias), column)

        over_columns(code, filters)

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        generate(Code(builder, OUTPUT, arguments))
        return context.get_dummy_value()

    def declare(
        typing: Any, input: Any, plane_step: Any, bias: Any, addend: Any, addend_cells: Any, output: Any,
        output_cells: Any, columns: Any, low: Any, high: Any,
    ) -> Any:  # fmt: skip
        return types.void(*(types.intp,) * 8, types.float32, types.float32), build

    return intrinsic(declare)


def _write(code: Code, cell: int, x: ir.Value, column: ir.Value) -> None:
    at, b = code.at, code.b
    offset = code.load(code.plus(at["output_cells"], LONG_BYTES * cell), LONG)
    with b.if_then(b.icmp_signed(">=", offset, LONG(0))):

        def added() -> Grid:
            place = code.load(code.plus(at["addend_cells"], LONG_BYTES * cell), LONG)
            return [[b.fadd(x, code.vector(b.add(b.add(at["addend"], place), column)))]]

        ((ended,),) = code.choose("addend", added, lambda: [[x]])
        code.store(code.limited(ended), b.add(b.add(at["output"], offset), column))
