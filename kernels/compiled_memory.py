"""Memory by address for compiled loops: numbers, blocks of bytes, and a barrier between threads."""

import os
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LONG, BYTE = ir.IntType(64), ir.IntType(8)


def _load_long(typing: Any, address: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.load(builder.inttoptr(arguments[0], LONG.as_pointer()))

    return types.int64(types.int64), build


def _load_float(typing: Any, address: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.FloatType().as_pointer()))

    return types.float32(types.int64), build


def _zero(typing: Any, address: Any, size: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        cgutils.memset(builder, builder.inttoptr(arguments[0], BYTE.as_pointer()), arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


def _copy(typing: Any, target: Any, source: Any, size: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        to, start = (builder.inttoptr(each, BYTE.as_pointer()) for each in arguments[:2])
        cgutils.raw_memcpy(builder, to, start, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build


def _add_shared(typing: Any, address: Any, number: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(arguments[0], LONG.as_pointer()), arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), build


def _load_shared(typing: Any, address: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], LONG.as_pointer()), "seq_cst", 8)

    return types.int64(types.int64), build


def _store_long(typing: Any, address: Any, number: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], LONG.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


def _replace_shared(typing: Any, address: Any, old: Any, new: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        place = builder.inttoptr(arguments[0], LONG.as_pointer())
        both = builder.cmpxchg(place, arguments[1], arguments[2], "seq_cst", "seq_cst")
        return builder.zext(builder.extract_value(both, 1), LONG)

    return types.int64(types.int64, types.int64, types.int64), build


def _let_others_run(typing: Any) -> Any:
    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), build


load_long: Any = intrinsic(_load_long)
"""The int64 at an address."""
load_float: Any = intrinsic(_load_float)
"""The float32 at an address."""
zero: Any = intrinsic(_zero)
"""Write zeros: (address, bytes)."""
copy: Any = intrinsic(_copy)
"""Copy bytes: (target, source, bytes)."""
add_shared: Any = intrinsic(_add_shared)
"""Add to an int64 that other threads read: (address, number)."""
load_shared: Any = intrinsic(_load_shared)
"""The int64 that other threads add to."""
store_long: Any = intrinsic(_store_long)
"""Write an int64: (address, number)."""
replace_shared: Any = intrinsic(_replace_shared)
"""Write an int64 that other threads read if it is what was expected: (address, expected, new) -> 1 if so, else 0."""
let_others_run: Any = intrinsic(_let_others_run)
"""Give the processor to another thread that waits for it."""
