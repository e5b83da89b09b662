"""Atomic operations on arrays of int64, for threads that share work without a library."""

from __future__ import annotations

import os
import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fcpts_ref.engines.numba.simd.emit import emit_address

X86 = platform.machine().lower() in ("x86_64", "amd64")
YIELD = "SwitchToThread" if os.name == "nt" else "sched_yield"


@intrinsic
def fetch_add(typing: Any, array: Any, index: Any, amount: Any) -> Any:
    """Add to array[index] and return its value before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = emit_address(context, builder, array, args[0], args[1])
        return builder.atomic_rmw("add", address, args[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def load_acquire(typing: Any, array: Any, index: Any) -> Any:
    """Return array[index], and see all that was written before that value was added to."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = emit_address(context, builder, array, args[0], args[1])
        return builder.load_atomic(address, "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def pause(typing: Any) -> Any:
    """Wait for some cycles in a loop that reads memory again and again."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def yield_thread(typing: Any) -> Any:
    """Let another thread of the system run on this core."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, YIELD), [])
        return context.get_dummy_value()

    return types.void(), generate
