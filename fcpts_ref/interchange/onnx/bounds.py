"""Sizes and bounds that ONNX operators give as integers: of Slice, Split, Unsqueeze."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError

Settings = dict[str, Any]


def integers(array: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in np.ravel(array))


def unsqueezed(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape with sizes of 1 at ``axes`` of the result."""
    rank = len(shape) + len(axes)
    new = {axis % rank for axis in axes}
    left = iter(shape)
    return tuple(1 if axis in new else next(left) for axis in range(rank))


def slice_bounds(settings: Settings, given: Sequence[Any], rank: int) -> list[tuple[int, ...]]:
    """Return starts, ends, axes and steps of Slice, from inputs or, before opset 10, settings."""
    if not given:
        given = [settings.get(key) for key in ("starts", "ends", "axes")]
    starts, ends = integers(given[0]), integers(given[1])
    rest = [*given[2:], None, None]
    axes = integers(rest[0]) if rest[0] is not None else tuple(range(len(starts)))
    steps = integers(rest[1]) if rest[1] is not None else (1,) * len(starts)
    return [starts, ends, tuple(axis % rank for axis in axes), steps]


def clamped(start: int, end: int, step: int, size: int) -> tuple[int, int | None]:
    """Return start and end of a slice as ONNX clamps them; None: through the first element."""
    first, last, _ = slice(start, end, step).indices(size)
    return first, None if last < 0 else last


def split_sizes(settings: Settings, sizes: Any, whole: int, outputs: int) -> tuple[int, ...]:
    """Return the sizes of Split's parts; ``outputs`` is their number where none is given."""
    given = integers(sizes if sizes is not None else settings.get("split", ()))
    if given:
        if sum(given) != whole or min(given) < 0:
            raise InputError(f"splits {whole} into {given[:8]}; expected sizes with that sum")
        return given
    count = int(settings.get("num_outputs", outputs))
    part = -(-whole // count)
    if part * (count - 1) >= whole > 0 and count > 1:
        raise InputError(f"splits {whole} into {count} parts; expected at most {whole}")
    return (part,) * (count - 1) + (whole - part * (count - 1),)
