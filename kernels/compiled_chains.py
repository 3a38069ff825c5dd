"""Chains over one row as LLVM vector code: Gelu, softmax, layer normalisation, and a transposed tile.

Imported only where numba is installed. Sums over a row are in lanes, then over the lanes by halves, so that they do not
depend on who computes the row.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partita.kernels.compiled_blocks import FLOAT, FLOAT_BYTES, INT, LONG, TILE, VECTOR, Code, over_columns
from partita.kernels.functions import ERF_LIMIT, ERF_POLYNOMIAL

LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.693359375, -2.12194440054690583e-4
"""ln 2 in two parts, the first exact in 10 bits, so that n times it is exact for every n that occurs."""
EXP = tuple(1 / d for d in (1, 1, 2, 6, 24, 120, 720))
"""Taylor's series of exp: for |x| <= ln(2) / 2 the first term left out, x^7 / 5040, is below 2e-7 of the result."""
LEAST_EXPONENT, GREATEST_EXPONENT = -127, 128
WHOLE = 1.5 * 2.0**23
"""A float32 plus this has no bits below 1: to add and subtract it rounds a smaller one to a whole number."""


def _polynomial(code: Code, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
    total = code.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = code.multiply_add(total, x, code.constant(coefficient))
    return total


def _exp(code: Code, x: ir.Value) -> ir.Value:
    """exp of each lane, 0 where it would not be normal, infinite where it would overflow; NaN stays.

    2^n exp(x - n ln 2), with n the nearest whole number to x / ln 2 and 2^n made of an exponent's bits.
    """
    b = code.b
    wanted = b.fmul(x, code.constant(LOG2_E))
    least, greatest = code.constant(LEAST_EXPONENT), code.constant(GREATEST_EXPONENT)
    n = b.select(b.fcmp_ordered(">", wanted, least), wanted, least)
    n = b.select(b.fcmp_ordered("<", n, greatest), n, greatest)
    n = b.fsub(b.fadd(n, code.constant(WHOLE)), code.constant(WHOLE))
    r = code.multiply_add(n, code.constant(-LN2_HIGH), x)
    r = code.multiply_add(n, code.constant(-LN2_LOW), r)
    too_small = b.fcmp_ordered("<", wanted, code.constant(LEAST_EXPONENT + 0.5))
    too_large = b.fcmp_ordered(">=", wanted, code.constant(GREATEST_EXPONENT - 0.5))
    r = b.select(b.or_(too_small, too_large), code.constant(0), r)
    whole = ir.VectorType(INT, TILE.lanes)
    bits = b.shl(b.add(b.fptosi(n, whole), whole([127] * TILE.lanes)), whole([23] * TILE.lanes))
    return b.fmul(_polynomial(code, r, EXP), b.bitcast(bits, VECTOR))


def _gelu(code: Code, x: ir.Value) -> ir.Value:
    """x (1 + erf(x / sqrt 2)) / 2: erf(z) is tanh(z P(z^2)), and (1 + tanh u) / 2 is 1 / (1 + exp(-2 u))."""
    b, least, greatest = code.b, code.constant(-ERF_LIMIT), code.constant(ERF_LIMIT)
    z = b.fmul(x, code.constant(0.5**0.5))
    z = b.select(b.fcmp_ordered(">", z, greatest), greatest, z)
    z = b.select(b.fcmp_ordered("<", z, least), least, z)
    u = b.fmul(z, _polynomial(code, b.fmul(z, z), ERF_POLYNOMIAL))
    one = code.constant(1)
    share = b.fdiv(one, b.fadd(one, _exp(code, b.fmul(u, code.constant(-2)))))
    return b.fmul(x, b.select(b.fcmp_ordered("<=", z, least), code.constant(0), share))


class _Gathered:
    """A vector that is carried over the columns of a row, and then one number."""

    def __init__(self, code: Code, start: float, join: Callable[[ir.Value, ir.Value], ir.Value]) -> None:
        self._code, self._start, self._join = code, start, join
        self._place = cgutils.alloca_once(code.b, VECTOR)
        code.b.store(code.constant(start), self._place)

    def take(self, x: ir.Value) -> None:
        """Join a vector of the row, but for lanes behind its end."""
        code, mask = self._code, self._code.masks[0]
        x = x if mask is None else code.b.select(mask, x, code.constant(self._start))
        code.b.store(self._join(code.b.load(self._place), x), self._place)

    def number(self) -> ir.Value:
        x, lanes = self._code.b.load(self._place), TILE.lanes
        while lanes > 1:
            lanes //= 2
            half = ir.VectorType(INT, TILE.lanes)([(i + lanes) % TILE.lanes for i in range(TILE.lanes)])
            x = self._join(x, self._code.b.shuffle_vector(x, VECTOR(ir.Undefined), half))
        return self._code.b.extract_element(x, INT(0))


def _largest(code: Code) -> _Gathered:
    """Of a row without NaN; with NaN any element, for the row's sum will be NaN anyway."""
    return _Gathered(code, float("-inf"), lambda a, b: code.b.select(code.b.fcmp_ordered(">", b, a), b, a))


def _gelu_row(code: Code) -> None:
    def change(column: ir.Value) -> None:
        place = code.b.add(code.at["row"], column)
        code.store(_gelu(code, code.vector(place)), place)

    over_columns(code, change)


def _softmax_row(code: Code) -> None:
    at, b = code.at, code.b
    largest, total = _largest(code), _Gathered(code, 0, code.b.fadd)

    def score(column: ir.Value) -> None:
        x = b.fmul(code.vector(b.add(at["input"], column)), code.splat(at["factor"]))
        ((x,),) = code.choose("addend", lambda: [[b.fadd(x, code.vector(b.add(at["addend"], column)))]], lambda: [[x]])
        code.store(x, b.add(at["output"], column))
        largest.take(x)

    over_columns(code, score)
    shift, hides = largest.number(), b.icmp_signed("!=", at["hides"], LONG(0))
    is_hidden = b.and_(hides, b.fcmp_ordered("==", shift, FLOAT(float("-inf"))))
    shift = code.splat(b.select(is_hidden, FLOAT(0), shift))

    def exponential(column: ir.Value) -> None:
        place = b.add(at["output"], column)
        x = _exp(code, b.fsub(code.vector(place), shift))
        code.store(x, place)
        total.take(x)

    over_columns(code, exponential)
    divisor = b.select(is_hidden, FLOAT(1), total.number())
    factor = code.splat(b.fdiv(FLOAT(1), divisor))

    def scale(column: ir.Value) -> None:
        place = b.add(at["output"], column)
        code.store(b.fmul(code.vector(place), factor), place)

    over_columns(code, scale)


def _normal_row(code: Code) -> None:
    at, b = code.at, code.b
    total, squares = _Gathered(code, 0, b.fadd), _Gathered(code, 0, b.fadd)
    over_columns(code, lambda column: total.take(code.vector(b.add(at["input"], column))))
    count = b.sitofp(at["columns"], FLOAT)
    mean = b.fdiv(total.number(), count)
    wide = code.splat(mean)

    def square(column: ir.Value) -> None:
        x = b.fsub(code.vector(b.add(at["input"], column)), wide)
        squares.take(b.fmul(x, x))

    over_columns(code, square)
    root = code.function("llvm.sqrt.f32", FLOAT, FLOAT)
    inverse = b.fdiv(FLOAT(1), b.call(root, [b.fadd(b.fdiv(squares.number(), count), at["epsilon"])]))
    factor = code.splat(inverse)

    def normalise(column: ir.Value) -> None:
        x = b.fmul(b.fsub(code.vector(b.add(at["input"], column)), wide), factor)
        scale, shift = (code.vector(b.add(at[name], column)) for name in ("scale", "shift"))
        code.store(code.multiply_add(x, scale, shift), b.add(at["output"], column))

    over_columns(code, normalise)
    for number, name in ((mean, "mean"), (inverse, "inverse")):
        b.store(number, code.pointer(at[name], FLOAT))


def _dots(code: Code, rows: int) -> None:
    at, b = code.at, code.b
    places = [code.step(at["rows"], LONG(i), at["row_step"]) for i in range(rows)]
    sums = [_Gathered(code, 0, b.fadd) for _ in places]

    def multiply(column: ir.Value) -> None:
        x = code.vector(b.add(at["input"], column))
        for place, total in zip(places, sums, strict=True):
            total.take(b.fmul(x, code.vector(b.add(place, column))))

    over_columns(code, multiply)
    for i, total in enumerate(sums):
        b.store(total.number(), code.pointer(code.plus(at["output"], FLOAT_BYTES * i), FLOAT))


def _transposed_tile(code: Code) -> None:
    """As many rows as a vector has lanes, where the last that there is stands for those behind it."""
    at, b, lanes = code.at, code.b, TILE.lanes
    last = b.sub(at["rows"], LONG(1))
    tile = []
    for i in range(lanes):
        row = b.select(b.icmp_signed("<", LONG(i), last), LONG(i), last)
        tile.append(code.vector(code.step(at["input"], row, at["row_step"])))
    step = 1
    while step < lanes:
        for i in (i for i in range(lanes) if not i & step):
            tile[i], tile[i + step] = _swapped(code, tile[i], tile[i + step], step)
        step *= 2
    for i, x in enumerate(tile):
        code.store(x, code.step(at["output"], LONG(i), at["output_step"]))


def _swapped(code: Code, a: ir.Value, b: ir.Value, step: int) -> tuple[ir.Value, ir.Value]:
    """Two vectors whose off-diagonal blocks of `step` lanes have changed places."""
    lanes = TILE.lanes
    numbers = ir.VectorType(INT, lanes)
    low = numbers([i if not i & step else lanes + i - step for i in range(lanes)])
    high = numbers([i + step if not i & step else lanes + i for i in range(lanes)])
    return code.b.shuffle_vector(a, b, low), code.b.shuffle_vector(a, b, high)


def _row_code(names: Sequence[str], generate: Callable[[Code], None]) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        generate(Code(builder, names, arguments))
        return context.get_dummy_value()

    return build


def _declare_gelu(typing: Any, row: Any, columns: Any) -> Any:
    return types.void(types.intp, types.intp), _row_code(("row", "columns"), _gelu_row)


def _declare_softmax(typing: Any, input: Any, output: Any, addend: Any, columns: Any, hides: Any, factor: Any) -> Any:
    names = ("input", "output", "addend", "columns", "hides", "factor")
    return types.void(*(types.intp,) * 5, types.float32), _row_code(names, _softmax_row)


def _declare_normal(
    typing: Any, input: Any, scale: Any, shift: Any, output: Any, mean: Any, inverse: Any, columns: Any, epsilon: Any
) -> Any:
    names = ("input", "scale", "shift", "output", "mean", "inverse", "columns", "epsilon")
    return types.void(*(types.intp,) * 7, types.float32), _row_code(names, _normal_row)


def _dot_block(rows: int) -> Any:
    def declare(typing: Any, input: Any, rows: Any, row_step: Any, output: Any, columns: Any) -> Any:
        return types.void(*(types.intp,) * 5), _row_code(names, lambda code: _dots(code, count))

    count, names = rows, ("input", "rows", "row_step", "output", "columns")
    return intrinsic(declare)


def _declare_tile(typing: Any, input: Any, row_step: Any, rows: Any, output: Any, output_step: Any) -> Any:
    names = ("input", "row_step", "rows", "output", "output_step")
    return types.void(*(types.intp,) * 5), _row_code(names, _transposed_tile)


gelu_row: Any = intrinsic(_declare_gelu)
"""Gelu in place: (row, columns)."""
softmax_row: Any = intrinsic(_declare_softmax)
"""A distribution of `factor` times the input plus an addend (0 for none); `hides`: a row of -inf becomes zeros."""
normal_row: Any = intrinsic(_declare_normal)
"""Mean 0 and variance 1, times `scale`, plus `shift`; the mean and the inverse deviation go where told."""
dot_4, dot_1 = _dot_block(4), _dot_block(1)
"""A row times each of some rows: (row, rows, their step, where the numbers go, columns)."""
transposed_tile: Any = intrinsic(_declare_tile)
"""A square tile of `rows` rows, transposed; the addresses of input and output, and the steps of their rows."""
