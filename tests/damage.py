"""Damaged copies of a valid file, for readers that must survive anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError


def damaged_copies(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield ``count`` copies: cut short, with flipped bits, or with a run of other bytes."""
    draw = random.Random(seed)
    for number in range(count):
        copy = bytearray(content)
        if number % 3 == 0:
            del copy[draw.randrange(len(copy)) :]
        elif number % 3 == 1:
            for _ in range(draw.choice([1, 1, 2, 8])):
                copy[draw.randrange(len(copy))] ^= 1 << draw.randrange(8)
        else:
            begin = draw.randrange(len(copy))
            copy[begin : begin + 8] = draw.choice([b"\0" * 8, b"\xff" * 8, draw.randbytes(8)])
        yield bytes(copy)


def survives(read: Callable[[Path], Any], path: Path, content: bytes) -> Any:
    """Read ``content`` from ``path``: what comes out, or None where it is InputError."""
    path.write_bytes(content)
    try:
        return read(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1000
    return None
