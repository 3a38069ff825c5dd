"""Inner blocks of compiled products, written as LLVM vector code: they keep a tile of results in registers.

Imported only where numba is installed. Both blocks read their input through row offsets and tap offsets (in bytes), so
that one block serves matrix products (a row is a row, one tap) and convolutions of channels-last data (a row is where
the window of an output position begins, a tap is where an element of the window lies from there). Both begin with the
bias or with what the output already holds, and end with an optional addend and limits that let NaN through.
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
MASK = ir.VectorType(ir.IntType(1), TILE.lanes)
Grid = list[list[ir.Value]]
Body = Callable[["Code", ir.Value, Grid, list[ir.Value]], Grid]
ARGUMENTS = (
    "input", "row_offsets", "tap_offsets", "taps", "depth", "weights", "weights_step", "bias", "addend", "output",
    "output_step", "begins", "columns", "low", "high",
)  # fmt: skip
"""Addresses, counts and steps (in bytes) as integers, then the limits.

`depth` counts the inputs per tap; `weights_step` leads from one of them, or from one tap of a depthwise filter, to the
next. The bias counts if `begins` is set; an `addend` at 0 is none; `columns` are as many as are left of the output.
"""
SIGNATURE = types.void(*(types.intp,) * 13, types.float32, types.float32)


class Code:
    """The parts of a block. `at` holds the arguments by name."""

    def __init__(self, builder: ir.IRBuilder, arguments: Sequence[ir.Value], rows: int, vectors: int) -> None:
        self.b, self.rows, self.vectors = builder, rows, vectors
        self.at = dict(zip(ARGUMENTS, arguments, strict=True))
        columns = self.splat(builder.trunc(self.at["columns"], INT), INT)
        lane = ir.VectorType(INT, TILE.lanes)
        numbers = [lane([TILE.lanes * v + i for i in range(TILE.lanes)]) for v in range(vectors)]
        self.masks = [builder.icmp_signed("<", each, columns) for each in numbers]

    def function(self, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
        known = self.b.module.globals
        return known.get(name) or ir.Function(self.b.module, ir.FunctionType(result, arguments), name)

    def splat(self, number: ir.Value, element: ir.Type = FLOAT) -> ir.Value:
        kind = ir.VectorType(element, TILE.lanes)
        one = self.b.insert_element(kind(ir.Undefined), number, INT(0))
        return self.b.shuffle_vector(one, kind(ir.Undefined), ir.VectorType(INT, TILE.lanes)([0] * TILE.lanes))

    def pointer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.inttoptr(address, kind.as_pointer())

    def plus(self, address: ir.Value, offset: int) -> ir.Value:
        return self.b.add(address, LONG(offset))

    def step(self, address: ir.Value, count: ir.Value, size: ir.Value) -> ir.Value:
        return self.b.add(address, self.b.mul(count, size))

    def load(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.load(self.pointer(address, kind), align=FLOAT_BYTES)

    def vector(self, address: ir.Value, v: int) -> ir.Value:
        """The v-th vector from `address` on, with zeros where the columns have ended."""
        name = f"llvm.masked.load.v{TILE.lanes}f32.p0"
        load = self.function(name, VECTOR, VECTOR.as_pointer(), INT, MASK, VECTOR)
        place = self.pointer(self.plus(address, FLOAT_BYTES * TILE.lanes * v), VECTOR)
        return self.b.call(load, [place, INT(FLOAT_BYTES), self.masks[v], VECTOR([0.0] * TILE.lanes)])

    def store(self, value: ir.Value, address: ir.Value, v: int) -> None:
        name = f"llvm.masked.store.v{TILE.lanes}f32.p0"
        store = self.function(name, ir.VoidType(), VECTOR, VECTOR.as_pointer(), INT, MASK)
        place = self.pointer(self.plus(address, FLOAT_BYTES * TILE.lanes * v), VECTOR)
        self.b.call(store, [value, place, INT(FLOAT_BYTES), self.masks[v]])

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        fma = self.function(f"llvm.fma.v{TILE.lanes}f32", VECTOR, VECTOR, VECTOR, VECTOR)
        return self.b.call(fma, [a, b, c])

    def input_rows(self) -> list[ir.Value]:
        """The address at which each row of the input begins."""
        offsets = [self.load(self.plus(self.at["row_offsets"], LONG_BYTES * r), LONG) for r in range(self.rows)]
        return [self.b.add(self.at["input"], offset) for offset in offsets]

    def held(self, name: str) -> Grid:
        """The tile of the output, or of the addend, which lies like it."""
        rows = [self.step(self.at[name], LONG(r), self.at["output_step"]) for r in range(self.rows)]
        return [[self.vector(row, v) for v in range(self.vectors)] for row in rows]

    def loop(self, count: ir.Value, carried: Grid, body: Callable[[ir.Value, Grid], Grid]) -> Grid:
        """What is left of the carried values after `body(index, values)` for each index below `count` (at least 1)."""
        before = self.b.block
        block, after = self.b.append_basic_block("loop"), self.b.append_basic_block("after")
        self.b.branch(block)
        self.b.position_at_end(block)
        index = self.b.phi(LONG)
        phis = [[self.b.phi(VECTOR) for _ in row] for row in carried]
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
        merged = [[self.b.phi(VECTOR) for _ in row] for row in chosen]
        for phi, a, b in zip(_flat(merged), _flat(chosen), _flat(other), strict=True):
            phi.add_incoming(a, yes_block)
            phi.add_incoming(b, no_block)
        return merged

    def begin(self) -> Grid:
        """The bias in every row, or what the output holds already."""

        def bias() -> Grid:
            row = [self.vector(self.at["bias"], v) for v in range(self.vectors)]
            return [row] * self.rows

        return self.choose("begins", bias, lambda: self.held("output"))

    def finish(self, sums: Grid) -> None:
        """Write the sums plus the addend, within the limits."""

        def added() -> Grid:
            pairs = zip(sums, self.held("addend"), strict=True)
            return [[self.b.fadd(x, y) for x, y in zip(*pair, strict=True)] for pair in pairs]

        low, high = self.splat(self.at["low"]), self.splat(self.at["high"])
        for r, row in enumerate(self.choose("addend", added, lambda: sums)):
            address = self.step(self.at["output"], LONG(r), self.at["output_step"])
            for v, x in enumerate(row):
                raised = self.b.select(self.b.fcmp_ordered("<", x, low), low, x)
                self.store(self.b.select(self.b.fcmp_ordered(">", raised, high), high, raised), address, v)


def _flat(grid: Grid) -> list[ir.Value]:
    return [value for row in grid for value in row]


def _product(code: Code, tap: ir.Value, sums: Grid, rows: list[ir.Value]) -> Grid:
    """Add the products of one tap: each input number times a row of weights."""
    depth, step = code.at["depth"], code.at["weights_step"]
    weights = code.step(code.at["weights"], code.b.mul(tap, depth), step)

    def multiply(k: ir.Value, sums: Grid) -> Grid:
        here = code.step(weights, k, step)
        factors = [code.load(code.plus(here, FLOAT_BYTES * TILE.lanes * v), VECTOR) for v in range(code.vectors)]
        results = []
        for row, old in zip(rows, sums, strict=True):
            number = code.splat(code.load(code.step(row, k, LONG(FLOAT_BYTES)), FLOAT))
            results.append([code.multiply_add(number, f, x) for f, x in zip(factors, old, strict=True)])
        return results

    return code.loop(depth, sums, multiply)


def _depthwise(code: Code, tap: ir.Value, sums: Grid, rows: list[ir.Value]) -> Grid:
    """Add the products of one tap: each channel times its own weight."""
    weights = code.step(code.at["weights"], tap, code.at["weights_step"])
    factors = [code.vector(weights, v) for v in range(code.vectors)]
    return [
        [code.multiply_add(code.vector(row, v), factors[v], old[v]) for v in range(code.vectors)]
        for row, old in zip(rows, sums, strict=True)
    ]


def _block(body: Body, rows: int, vectors: int) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        code = Code(builder, arguments, rows, vectors)
        starts = code.input_rows()

        def over_tap(tap: ir.Value, sums: Grid) -> Grid:
            offset = code.load(code.step(code.at["tap_offsets"], tap, LONG(LONG_BYTES)), LONG)
            return body(code, tap, sums, [builder.add(start, offset) for start in starts])

        code.finish(code.loop(code.at["taps"], code.begin(), over_tap))
        return context.get_dummy_value()

    def declare(
        typing: Any, input: Any, row_offsets: Any, tap_offsets: Any, taps: Any, depth: Any, weights: Any,
        weights_step: Any, bias: Any, addend: Any, output: Any, output_step: Any, begins: Any, columns: Any,
        low: Any, high: Any,
    ) -> Any:  # fmt: skip
        return SIGNATURE, generate

    return intrinsic(declare)


def product_block(rows: int, vectors: int) -> Any:
    """`rows` x `vectors` of a product; the weights of a tap lie in rows of at least `vectors` whole vectors."""
    return _block(_product, rows, vectors)


def depthwise_block(rows: int) -> Any:
    """`rows` positions of one vector of channels."""
    return _block(_depthwise, rows, 1)
