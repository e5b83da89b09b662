"""The memory that is free, and checks of what a computation will take before it is taken."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fcpts_ref.errors import InputError

ALWAYS = 1 << 30
"""Bytes that are asked for without a look at what is free."""


def free_memory() -> int | None:
    """Return the memory available to new processes in bytes; None if the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Raise InputError if ``needed`` bytes are more than are free."""
    if needed <= ALWAYS:
        return
    free = free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"{what} would take {needed / 2**30:,.1f} GiB of memory, {free / 2**30:,.1f} GiB are "
            f"free: {remedy}"
        )
