"""Capture: kernels that are called record their loops, to be run later without Python.

As a CUDA graph is captured from a stream: between ``capture`` and the end of its block, a
``for_each`` of this thread of Python hands its loop over instead of running it.  A loop is a
function by its address, its arguments, and the number of passes.  Whoever captures must keep the
arrays among the arguments alive.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

NUMBER = ir.IntType(64)
ACTIVE, RECORD = "fcpts_ref_active_captures", "fcpts_ref_record_loop"  # symbols of machine code


class Loop(NamedTuple):
    """One loop of a kernel: the first ``passes`` of the function at an address (``for_each``)."""

    passes: int
    address: int
    data: bytes


class _Captures:
    """The captures of this process, one for each thread of Python."""

    def __init__(self) -> None:
        self.active = ctypes.c_int64(0)  # kernels of all threads read it before every loop
        self.loops: dict[int, list[Loop]] = {}
        self.lock = threading.Lock()
        self.record = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 5)(self._record)

    def _record(self, count: int, address: int, data: int, size: int) -> int:
        """Keep the loop if this thread captures; return whether it does."""
        loops = self.loops.get(threading.get_ident())
        if loops is None:
            return 0
        loops.append(Loop(count, address, ctypes.string_at(data, size)))
        return 1


_CAPTURES = _Captures()
llvm.add_symbol(ACTIVE, ctypes.addressof(_CAPTURES.active))
llvm.add_symbol(RECORD, ctypes.cast(_CAPTURES.record, ctypes.c_void_p).value)


@contextmanager
def capture() -> Iterator[list[Loop]]:
    """Record the loops of the kernels that this thread calls in the block, which do not run."""
    thread, loops = threading.get_ident(), []  # type: ignore[var-annotated]
    with _CAPTURES.lock:
        _CAPTURES.loops[thread] = loops
        _CAPTURES.active.value += 1
    try:
        yield loops
    finally:
        with _CAPTURES.lock:
            del _CAPTURES.loops[thread]
            _CAPTURES.active.value -= 1


@intrinsic
def captured(typing: Any, count: Any, address: Any, data: Any, size: Any) -> Any:
    """Record the loop if this thread captures; return whether it did, 1 or 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        module = builder.module
        active = module.globals.get(ACTIVE) or ir.GlobalVariable(module, NUMBER, ACTIVE)
        result = cgutils.alloca_once_value(builder, NUMBER(0))
        capturing = builder.icmp_signed("!=", builder.load(active), NUMBER(0))
        with builder.if_then(capturing, likely=False):
            kind = ir.FunctionType(NUMBER, [NUMBER] * 4)
            record = cgutils.get_or_insert_function(module, kind, RECORD)
            builder.store(builder.call(record, args), result)
        return builder.load(result)

    return types.int64(*[types.intp] * 4), generate
