"""The memory of a plan: buffers that are handed out and given back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.memory.layout import (
    ALIGNMENT,
    Geometry,
    Scratch,
    allocate,
    interior,
    make_geometry,
    round_up,
)

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Slot:
    """Memory of a value or its gradient: a buffer of planes, or (N, ...) without a layout."""

    array: Array
    layout: Geometry | None

    @property
    def geometry(self) -> Geometry:
        """The layout of a buffer of planes."""
        assert self.layout is not None, "rows of features have no planes"
        return self.layout

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.geometry.height, self.geometry.width

    @property
    def values(self) -> Array:
        """The pixels (N, C, H, W), or the values (N, ...): a view."""
        return interior(self.array, self.layout) if self.layout else self.array


def rows(shape: Shape, dtype: Any) -> Array:
    """Zeros of this shape, contiguous; whole vectors may be written at the end."""
    size = math.prod(shape)
    return np.zeros(round_up(size, ALIGNMENT), dtype)[:size].reshape(shape)


class Memory:
    """Buffers of one batch size, dtype and border; what was given back is taken again.

    scratch: for the steps, which run one after the other.
    """

    def __init__(self, images: int, dtype: np.dtype[Any], border: int) -> None:
        self.images, self.dtype, self.border = images, dtype, border
        self.free: dict[Shape, list[Slot]] = {}
        self.slots: list[Slot] = []
        self.scratch = Scratch()
        self.nbytes = 0

    def take(self, shape: Shape) -> Slot:
        """A buffer for values of this shape; what its pixels hold is undefined."""
        if self.free.get(shape):
            return self.free[shape].pop()
        if len(shape) != 3:
            slot = Slot(rows((self.images, *shape), self.dtype), None)
        else:
            geometry = make_geometry(shape[1], shape[2], self.border)
            slot = Slot(allocate(self.images, shape[0], geometry, self.dtype), geometry)
        self.nbytes += slot.array.nbytes
        self.slots.append(slot)
        return slot

    def give(self, slot: Slot) -> None:
        """Back for others."""
        shape = slot.values.shape[1:]
        self.free.setdefault(shape, []).append(slot)

    def close(self) -> None:
        """Give back every buffer: the next plan that takes them runs before or after this one."""
        self.free.clear()
        for slot in self.slots:
            self.give(slot)


class MemoryPool:
    """Memory that plans which run one after the other share, by batch size and dtype."""

    def __init__(self, border: int) -> None:
        self.border = border
        self._memories: dict[tuple[int, np.dtype[Any]], Memory] = {}

    def memory(self, images: int, dtype: np.dtype[Any]) -> Memory:
        """The memory for batches of this size and dtype."""
        key = images, np.dtype(dtype)
        if key not in self._memories:
            self._memories[key] = Memory(images, dtype, self.border)
        return self._memories[key]
