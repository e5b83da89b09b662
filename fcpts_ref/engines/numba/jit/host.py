"""The vector registers of this processor, or those that the user asks to compile for.

Set FCPTS_REF_VECTOR_BYTES to 16, 32 or 64 before the first import to compile for vectors of that
length.  A longer one than the processor's is allowed: LLVM splits it.
"""

from __future__ import annotations

import os
import platform

import llvmlite.binding as llvm

from fcpts_ref.errors import InputError

VARIABLE = "FCPTS_REF_VECTOR_BYTES"
LENGTHS = (16, 32, 64)


def find_registers() -> tuple[int, int]:
    """Bytes in a vector register, and how many registers there are.

    Raises InputError for a length in the environment that is not 16, 32 or 64.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return _host()
    if named not in map(str, LENGTHS):
        raise InputError(f"{VARIABLE} is {named!r}; expected 16, 32 or 64, or leave it unset")
    length = int(named)
    return length, 32 if length == 64 or _many_registers() else 16


def _host() -> tuple[int, int]:
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx") and features.get("fma"):
        return 32, 16
    return 16, 32 if _many_registers() else 16


def _many_registers() -> bool:
    """ARM processors have 32 registers of 16 bytes."""
    return platform.machine().lower() in ("arm64", "aarch64")


VECTOR_BYTES, REGISTERS = find_registers()
