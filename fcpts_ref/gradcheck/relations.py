"""How an array that is wrong is related to the expected one: a factor, a sign, moved elements."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LARGEST = 1 << 20  # elements of an array whose elements are moved


class Same:
    """Compare arrays within a share of the largest magnitude of one of them."""

    def __init__(self, like: Array, share: float) -> None:
        self.error = share * float(np.abs(like).max(initial=0.0))

    def __call__(self, a: Any, b: Any) -> bool:
        return np.shape(a) == np.shape(b) and bool(self.elements(np.asarray(a), b).all())

    def elements(self, a: Array, b: Any) -> Array:
        """Mark the elements that are the same."""
        return np.asarray(np.abs(a - b) <= self.error)


def relations(want: Array, got: Array, share: float) -> Iterator[str]:
    """Yield what holds between the two arrays; they need not have one shape.

    share: the error, as a share of the largest magnitude, within which elements are the same.
    """
    same = Same(want, share)
    if want.shape != got.shape:
        yield from _summed(want, got, same)
        return
    if same(got, want):
        return
    if not got.any():
        yield "0 throughout"
        return
    if same(got, -want):
        yield "the sign is the other one"
    yield from _factor(want, got, same)
    if want.ndim >= 1 and want.size <= LARGEST:
        yield from _moved(want, got, same)


def _summed(want: Array, got: Array, same: Same) -> Iterator[str]:
    """A sum over axes that is missing, or one too many; a transposition."""
    for count in range(1, got.ndim + 1):
        for axes in combinations(range(got.ndim), count):
            if same(got.sum(axis=axes), want):
                yield f"the sum over axis {', '.join(map(str, axes))} is missing"
            elif same(got.sum(axis=axes, keepdims=True), want):
                yield f"the sum over axis {', '.join(map(str, axes))} is missing (it is kept)"
    for count in range(1, want.ndim + 1):
        for axes in combinations(range(want.ndim), count):
            if same(want.sum(axis=axes), got) or same(want.sum(axis=axes, keepdims=True), got):
                yield f"it is summed over axis {', '.join(map(str, axes))}"
    if want.size == got.size:
        for axes in permutations(range(want.ndim)) if want.ndim <= 4 else ():
            if same(want.transpose(axes), got):
                yield f"the axes are exchanged: {axes}"
        if same(want.ravel(), got.ravel()):
            yield "the shape alone is another"


def _factor(want: Array, got: Array, same: Same) -> Iterator[str]:
    """A constant ratio or difference; of one element alone, only the ratio can be told."""
    scale = float((want * want).sum())
    ratio = float((want * got).sum()) / scale if scale else 0.0
    if ratio not in (0.0, -1.0) and same(got, ratio * want):
        held = "every element" if want.size > 1 else "the only element, so any value would have one"
        yield f"{ratio:.10g} times what is expected ({held})"
    shift = float((got - want).mean())
    if want.size > 2 and same(got, want + shift):
        yield f"what is expected plus {shift:.10g} in every element"


def _moved(want: Array, got: Array, same: Same) -> Iterator[str]:
    for axis in range(want.ndim):
        if want.shape[axis] < 2:
            continue
        for shift in (1, -1):
            if same(got, np.roll(want, shift, axis)):
                yield f"axis {axis} is shifted by {shift:+d}"
            elif want.shape[axis] >= 4 and same(*_inner(want, got, axis, shift)):
                yield f"axis {axis} is shifted by {shift:+d}, but for its edge"
        if same(got, np.flip(want, axis)):
            yield f"axis {axis} is reversed"
    for axes in permutations(range(want.ndim)) if want.ndim <= 4 else ():
        if axes != tuple(range(want.ndim)):
            moved = want.transpose(axes)
            if same(got, moved):
                yield f"the axes are exchanged: {axes}"
            elif same(got, moved.reshape(got.shape)):
                yield f"the axes are exchanged, {axes}, in the same shape"
    if want.size > 2 and same(np.sort(got, axis=None), np.sort(want, axis=None)):
        yield "the expected elements in another order"


def _inner(want: Array, got: Array, axis: int, shift: int) -> tuple[Array, Array]:
    """Return the parts that a shift without wrapping would make equal."""
    n = want.shape[axis]
    front, back = np.arange(n - 1), np.arange(1, n)
    a, b = (back, front) if shift > 0 else (front, back)
    return got.take(a, axis), want.take(b, axis)
