"""How values that no known mistake gives are related to the expected ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array
from fcpts_ref.oracle.stages import Stage
from fcpts_ref.oracle.tolerance import Tolerance

LARGEST = 1 << 20  # elements of an array that is compared with its permutations


def describe_pattern(name: str, stage: Stage, stages: Sequence[Stage], tolerance: Tolerance) -> str:
    """Return the first relation that holds in every wrong array of the quantity; "" if none does.

    It is an observation, not a cause: a factor, a sign, a shift of indices, transposed axes, the
    value of another item or of the step before, or where the wrong elements lie.
    """
    kind = name.partition("/")[0]
    found: list[list[str]] = []
    for one in stages:
        for other in one.differences:
            if other.partition("/")[0] != kind or other not in one.judgement.expected:
                continue
            want = np.asarray(one.judgement.expected[other], dtype=np.float64)
            got = np.asarray(one.found[other], dtype=np.float64)
            if want.shape != got.shape:
                return ""
            if np.isnan(got).any():
                found.append(["NaN where a number is expected"])
                continue
            with np.errstate(all="ignore"):
                found.append(list(_relations(other, want, got, one, tolerance)))
    return (
        next((text for text in found[0] if all(text in each for each in found)), "")
        if found
        else ""
    )


def _relations(
    name: str, want: Array, got: Array, stage: Stage, tolerance: Tolerance
) -> Iterator[str]:
    same = _Same(want, tolerance)
    if not got.any():
        yield "0 throughout"
    if same(got, -want):
        yield "the sign is the other one"
    yield from _factor(want, got, same)
    if want.ndim >= 1 and want.size <= LARGEST:
        yield from _moved(want, got, same)
    yield from _elsewhere(name, got, stage, tolerance)
    yield from _where(name, want, got, same, stage)


class _Same:
    """Compare with a tolerance for arrays like this one."""

    def __init__(self, like: Array, tolerance: Tolerance) -> None:
        self.error = 1e3 * tolerance.rounding * float(np.abs(like).max(initial=0.0))

    def __call__(self, a: Any, b: Any) -> bool:
        return np.shape(a) == np.shape(b) and bool((np.abs(np.asarray(a) - b) <= self.error).all())

    def elements(self, a: Array, b: Array) -> Array:
        return np.asarray(np.abs(a - b) <= self.error)


def _factor(want: Array, got: Array, same: _Same) -> Iterator[str]:
    """A constant ratio or difference; of one element alone, only the ratio can be told."""
    scale = float((want * want).sum())
    if scale == 0:
        return
    ratio = float((want * got).sum()) / scale
    if ratio != 0 and same(got, ratio * want):
        held = "every element" if want.size > 1 else "the only element, so any value would have one"
        yield f"{ratio:.10g} times what is expected ({held})"
    shift = float((got - want).mean())
    if want.size > 2 and same(got, want + shift):
        yield f"what is expected plus {shift:.10g} in every element"


def _moved(want: Array, got: Array, same: _Same) -> Iterator[str]:
    for axis in range(want.ndim):
        for shift in (1, -1):
            if want.shape[axis] > 1 and same(got, np.roll(want, shift, axis)):
                yield f"axis {axis} is shifted by {shift:+d}"
            inner = _shifted(want, got, axis, shift)
            if inner is not None and same(*inner):
                yield f"axis {axis} is shifted by {shift:+d}, but for its edge"
        if want.shape[axis] > 1 and same(got, np.flip(want, axis)):
            yield f"axis {axis} is reversed"
    for axes in permutations(range(want.ndim)) if want.ndim <= 4 else ():
        if axes != tuple(range(want.ndim)):
            moved = want.transpose(axes)
            if same(got, moved):
                yield f"the axes are exchanged: {axes}"
            if same(got, moved.reshape(got.shape)):
                yield f"the axes are exchanged, {axes}, in the same shape"
    if want.size > 2 and same(np.sort(got, axis=None), np.sort(want, axis=None)):
        yield "the expected elements in another order"


def _shifted(want: Array, got: Array, axis: int, shift: int) -> tuple[Array, Array] | None:
    n = want.shape[axis]
    if n < 4:
        return None
    front, back = np.arange(n - 1), np.arange(1, n)
    a, b = (back, front) if shift > 0 else (front, back)
    return got.take(a, axis), want.take(b, axis)


def _elsewhere(name: str, got: Array, stage: Stage, tolerance: Tolerance) -> Iterator[str]:
    """The expected value of another quantity or item."""
    for other, value in stage.judgement.given.items():
        alike = other != name and np.shape(value) == got.shape and got.any() and got.size > 1
        if alike and _Same(value, tolerance)(got, value):
            yield f"the value of {other}"
    state: Mapping[str, Array] = {}
    if stage.inputs is not None and stage.inputs.state is not None:
        state = {**stage.inputs.state.parameters, **stage.inputs.state.buffers}
    item = name.partition("/")[2]
    before = state.get(item)
    if before is not None and _Same(before, tolerance)(got, before):
        yield "the value from before the step"


def _where(name: str, want: Array, got: Array, same: _Same, stage: Stage) -> Iterator[str]:
    """Where the wrong elements lie."""
    wrong = ~same.elements(got, want)
    if not wrong.any() or wrong.all():
        return
    mask = stage.judgement.given.get(f"mask/{name.partition('/')[2]}")
    if mask is not None and mask.shape == want.shape:
        if not (wrong & (mask != 0)).any():
            yield "wrong only where the mask is 0"
        if not (wrong & (mask == 0)).any():
            yield "wrong only where the mask is not 0"
    if not got[wrong].any():
        yield "0 in the wrong elements"
    for axis in range(want.ndim):
        others = tuple(a for a in range(want.ndim) if a != axis)
        places = np.flatnonzero(wrong.any(axis=others))
        if len(places) < want.shape[axis] and len(places) <= 3:
            yield f"wrong only at index {', '.join(map(str, places))} of axis {axis}"
