"""Inner blocks of compiled products, written as LLVM vector code: they keep a tile of results in registers.

Imported only where numba is installed. The blocks find rows of their input, their output and an addend by offsets (in
bytes), and the elements of a window by offsets from the row. So one block serves matrix products (a row is a row, one
tap) and convolutions of channels-last data (a row is where the window of an output position begins, a tap is where an
element of the window lies from there), with any border around any of the tensors. Blocks begin with the bias or with
what the output already holds, and end with an optional addend and limits that let NaN through.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
FLOAT_BYTES, LONG_BYTES = 4, 8


class Tile(NamedTuple):
    """Sizes of the tile that fits a processor's vector registers."""

    lanes: int
    """float32 numbers per register."""
    rows: int
    vectors: int
    """Registers side by side in one row of the tile."""


def tile_of_host() -> Tile:
    """16 accumulators of 32 registers with AVX-512 or NEON, 12 of 16 with AVX: the operands need some too."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return Tile(16, 8, 2)
    return Tile(8, 6, 2) if features.get("avx") else Tile(4, 8, 2)


TILE = tile_of_host()
VECTOR = ir.VectorType(FLOAT, TILE.lanes)
VECTOR_BYTES = FLOAT_BYTES * TILE.lanes
Grid = list[list[ir.Value]]
ARGUMENTS = (
    "input", "input_rows", "taps", "tap_count", "depth", "weights", "weights_step", "bias", "addend", "addend_rows",
    "output", "output_rows", "begins", "columns", "tiles", "low", "high",
)  # fmt: skip
"""Addresses, counts and steps (in bytes) as integers, then the limits.

`input_rows`, `addend_rows` and `output_rows` are where the offsets of the rows lie, `taps` where those of the taps do.
`depth` counts the inputs per tap; `weights_step` leads from one of them, or from one tap of a depthwise filter, to the
next. The bias counts if `begins` is set; an `addend` at 0 is none; `columns` are as many as are left of the output, and
`tiles` are computed, one below the other.
"""
SIGNATURE = types.void(*(types.intp,) * 15, types.float32, types.float32)
ROW_LISTS = ("input_rows", "addend_rows", "output_rows")


class Code:
    """Vector code under construction. `at` holds the arguments by name."""

    def __init__(self, builder: ir.IRBuilder, names: Sequence[str], arguments: Sequence[ir.Value]) -> None:
        self.b = builder
        self.at = dict(zip(names, arguments, strict=True))
        self.lanes = TILE.lanes
        """Of each vector of a row."""
        self.masks: Sequence[ir.Value | None] = (None,)
        """For each vector of a row which lanes count; None for all."""

    def take_vectors(self, count: int, lanes: int = TILE.lanes) -> None:
        """Let a row have so many whole vectors."""
        self.lanes, self.masks = lanes, (None,) * count

    def mask_columns(self, columns: ir.Value) -> None:
        """Let only the first `columns` lanes of a row's vectors count."""
        wide, kind = self.splat(self.b.trunc(columns, INT), INT), ir.VectorType(INT, self.lanes)
        numbers = [kind([self.lanes * v + i for i in range(self.lanes)]) for v in range(len(self.masks))]
        self.masks = [self.b.icmp_signed("<", each, wide) for each in numbers]

    def function(self, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
        known = self.b.module.globals
        return known.get(name) or ir.Function(self.b.module, ir.FunctionType(result, arguments), name)

    def splat(self, number: ir.Value, element: ir.Type = FLOAT) -> ir.Value:
        kind = ir.VectorType(element, self.lanes)
        one = self.b.insert_element(kind(ir.Undefined), number, INT(0))
        return self.b.shuffle_vector(one, kind(ir.Undefined), ir.VectorType(INT, self.lanes)([0] * self.lanes))

    def constant(self, number: float) -> ir.Value:
        return VECTOR([number] * TILE.lanes)

    def pointer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.inttoptr(address, kind.as_pointer())

    def plus(self, address: ir.Value, offset: int) -> ir.Value:
        return self.b.add(address, LONG(offset))

    def step(self, address: ir.Value, count: ir.Value, size: ir.Value) -> ir.Value:
        return self.b.add(address, self.b.mul(count, size))

    def load(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.load(self.pointer(address, kind), align=FLOAT_BYTES)

    def part(self, row: ir.Value, v: int) -> ir.Value:
        """A pointer to the v-th vector from the address `row` on."""
        return self.pointer(self.plus(row, FLOAT_BYTES * self.lanes * v), ir.VectorType(FLOAT, self.lanes))

    def vector(self, row: ir.Value, v: int = 0) -> ir.Value:
        """The v-th vector from `row` on, with zeros where the columns have ended."""
        place, mask = self.part(row, v), self.masks[v]
        if mask is None:
            return self.b.load(place, align=FLOAT_BYTES)
        kind = place.type.pointee
        load = self.function(f"llvm.masked.load.v{self.lanes}f32.p0", kind, place.type, INT, mask.type, kind)
        return self.b.call(load, [place, INT(FLOAT_BYTES), mask, kind([0.0] * self.lanes)])

    def store(self, value: ir.Value, row: ir.Value, v: int = 0) -> None:
        place, mask = self.part(row, v), self.masks[v]
        if mask is None:
            self.b.store(value, place, align=FLOAT_BYTES)
            return
        name = f"llvm.masked.store.v{self.lanes}f32.p0"
        store = self.function(name, ir.VoidType(), value.type, place.type, INT, mask.type)
        self.b.call(store, [value, place, INT(FLOAT_BYTES), mask])

    def prefetch(self, name: str, row: ir.Value, vectors: int) -> None:
        """Fetch what will be read or written at the end of a long loop."""
        kind = ir.IntType(8).as_pointer()
        fetch = self.function("llvm.prefetch.p0", ir.VoidType(), kind, INT, INT, INT)
        for v in range(vectors):
            self.b.call(
                fetch, [self.b.bitcast(self.part(row, v), kind), INT(1 if name == "output" else 0), INT(3), INT(1)]
            )

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        fma = self.function(f"llvm.fma.v{self.lanes}f32", c.type, c.type, c.type, c.type)
        return self.b.call(fma, [a, b, c])

    def limited(self, x: ir.Value) -> ir.Value:
        """`x` between the arguments `low` and `high`; NaN stays."""
        low, high = self.splat(self.at["low"]), self.splat(self.at["high"])
        raised = self.b.select(self.b.fcmp_ordered("<", x, low), low, x)
        return self.b.select(self.b.fcmp_ordered(">", raised, high), high, raised)

    def rows_of(self, name: str, count: int) -> list[ir.Value]:
        """The addresses at which the next `count` rows of the tensor `name` begin."""
        offsets = [self.load(self.plus(self.at[f"{name}_rows"], LONG_BYTES * r), LONG) for r in range(count)]
        return [self.b.add(self.at[name], offset) for offset in offsets]

    def loop(self, count: ir.Value, carried: Grid, body: Callable[[ir.Value, Grid], Grid]) -> Grid:
        """What is left of the carried values after `body(index, values)` for each index below `count` (at least 1)."""
        before = self.b.block
        block, after = self.b.append_basic_block("loop"), self.b.append_basic_block("after")
        self.b.branch(block)
        self.b.position_at_end(block)
        index = self.b.phi(LONG)
        phis = [[self.b.phi(x.type) for x in row] for row in carried]
        results = body(index, phis)
        end, following = self.b.block, self.b.add(index, LONG(1))
        index.add_incoming(LONG(0), before)
        index.add_incoming(following, end)
        for phi, first, later in zip(_flat(phis), _flat(carried), _flat(results), strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(later, end)
        self.b.cbranch(self.b.icmp_signed("<", following, count), block, after)
        self.b.position_at_end(after)
        return results

    def choose(self, name: str, yes: Callable[[], Grid], no: Callable[[], Grid]) -> Grid:
        """One of two grids, by whether an argument is other than 0."""
        with self.b.if_else(self.b.icmp_signed("!=", self.at[name], LONG(0))) as (then, otherwise):
            with then:
                chosen, yes_block = yes(), self.b.block
            with otherwise:
                other, no_block = no(), self.b.block
        merged = [[self.b.phi(x.type) for x in row] for row in chosen]
        for phi, a, b in zip(_flat(merged), _flat(chosen), _flat(other), strict=True):
            phi.add_incoming(a, yes_block)
            phi.add_incoming(b, no_block)
        return merged

    def finish(self, sums: Grid, outputs: list[ir.Value], column: ir.Value) -> None:
        """Write the sums plus the addend, within the limits; `column` is where they begin in a row (in bytes)."""

        def added() -> Grid:
            rows = [self.b.add(row, column) for row in self.rows_of("addend", len(sums))]
            return [
                [self.b.fadd(x, self.vector(row, v)) for v, x in enumerate(each)]
                for row, each in zip(rows, sums, strict=True)
            ]

        for row, each in zip(outputs, self.choose("addend", added, lambda: sums), strict=True):
            for v, x in enumerate(each):
                self.store(self.limited(x), self.b.add(row, column), v)


def _flat(grid: Grid) -> list[ir.Value]:
    return [value for row in grid for value in row]


def _product(code: Code, rows: int) -> None:
    """A tile of a product: the bias or what is held already, plus each tap's inputs times their rows of weights."""
    at, b, vectors = code.at, code.b, len(code.masks)
    inputs, outputs = code.rows_of("input", rows), code.rows_of("output", rows)
    for row in outputs:
        code.prefetch("output", row, vectors)
    with b.if_then(b.icmp_signed("!=", at["addend"], LONG(0))):
        for row in code.rows_of("addend", rows):
            code.prefetch("addend", row, vectors)

    def bias() -> Grid:
        return [[code.vector(at["bias"], v) for v in range(vectors)]] * rows

    def held() -> Grid:
        return [[code.vector(row, v) for v in range(vectors)] for row in outputs]

    def over_tap(tap: ir.Value, sums: Grid) -> Grid:
        offset = code.load(code.step(at["taps"], tap, LONG(LONG_BYTES)), LONG)
        places = [b.add(row, offset) for row in inputs]
        weights = code.step(at["weights"], b.mul(tap, at["depth"]), at["weights_step"])

        def multiply(k: ir.Value, sums: Grid) -> Grid:
            here = code.step(weights, k, at["weights_step"])
            factors = [b.load(code.part(here, v), align=FLOAT_BYTES) for v in range(vectors)]
            numbers = [code.splat(code.load(code.step(place, k, LONG(FLOAT_BYTES)), FLOAT)) for place in places]
            return [
                [code.multiply_add(number, f, x) for f, x in zip(factors, old, strict=True)]
                for number, old in zip(numbers, sums, strict=True)
            ]

        return code.loop(at["depth"], sums, multiply)

    sums = code.loop(at["tap_count"], code.choose("begins", bias, held), over_tap)
    code.finish(sums, outputs, LONG(0))


def _depthwise(code: Code, rows: int) -> None:
    """Positions of a depthwise convolution, all channels: each channel times its own weights, a vector at a time."""
    at, b = code.at, code.b
    inputs, outputs = code.rows_of("input", rows), code.rows_of("output", rows)

    def channels(column: ir.Value) -> None:
        def over_tap(tap: ir.Value, sums: Grid) -> Grid:
            offset = code.load(code.step(at["taps"], tap, LONG(LONG_BYTES)), LONG)
            offset = b.add(offset, column)
            factors = code.vector(b.add(code.step(at["weights"], tap, at["weights_step"]), column))
            return [
                [code.multiply_add(code.vector(b.add(row, offset)), factors, old[0])]
                for row, old in zip(inputs, sums, strict=True)
            ]

        start = [[code.vector(b.add(at["bias"], column))]] * rows
        code.finish(code.loop(at["tap_count"], start, over_tap), outputs, column)

    over_columns(code, channels)


def over_columns(code: Code, body: Callable[[ir.Value], None]) -> None:
    """`body(offset in bytes)` for each vector of `columns` columns, the last of them masked if it is not whole."""
    b, columns = code.b, code.at["columns"]
    code.take_vectors(1)
    whole = b.sdiv(columns, LONG(TILE.lanes))

    def step(index: ir.Value, carried: Grid) -> Grid:
        body(b.mul(index, LONG(VECTOR_BYTES)))
        return []

    with b.if_then(b.icmp_signed(">", whole, LONG(0))):
        code.loop(whole, [], step)
    left = b.srem(columns, LONG(TILE.lanes))
    with b.if_then(b.icmp_signed(">", left, LONG(0))):
        code.mask_columns(left)
        body(b.mul(whole, LONG(VECTOR_BYTES)))


def _tiles(rows: int, begin: Callable[[Code], None], generate: Callable[[Code, int], None]) -> Any:
    """A block of `tiles` tiles, one below the other, each of `rows` rows."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        code = Code(builder, ARGUMENTS, arguments)
        begin(code)
        given = code.at

        def tile(index: ir.Value, carried: Grid) -> Grid:
            code.at = given | {name: code.step(given[name], index, LONG(LONG_BYTES * rows)) for name in ROW_LISTS}
            generate(code, rows)
            return carried

        code.loop(given["tiles"], [], tile)
        return context.get_dummy_value()

    def declare(
        typing: Any, input: Any, input_rows: Any, taps: Any, tap_count: Any, depth: Any, weights: Any,
        weights_step: Any, bias: Any, addend: Any, addend_rows: Any, output: Any, output_rows: Any, begins: Any,
        columns: Any, tiles: Any, low: Any, high: Any,
    ) -> Any:  # fmt: skip
        return SIGNATURE, build

    return intrinsic(declare)


def product_block(rows: int, vectors: int, lanes: int = TILE.lanes, *, is_whole: bool = False) -> Any:
    """Tiles of `rows` x `vectors` of a product, all of them columns of it or only the first `columns`.

    The weights of a tap lie in rows of at least as many whole vectors.
    """

    def begin(code: Code) -> None:
        code.take_vectors(vectors, lanes)
        if not is_whole:
            code.mask_columns(code.at["columns"])

    return _tiles(rows, begin, _product)


def depthwise_block(rows: int) -> Any:
    """All channels of positions, `rows` of them at a time."""
    return _tiles(rows, lambda code: None, _depthwise)
