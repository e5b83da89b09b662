"""How values that no known mistake gives are related to the expected ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fcpts_ref.gradcheck.relations import Same, relations
from fcpts_ref.oracle.evidence import Array
from fcpts_ref.oracle.stages import Stage
from fcpts_ref.oracle.tolerance import Tolerance


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
    yield from relations(want, got, 1e3 * tolerance.rounding)
    yield from _elsewhere(name, got, stage, tolerance)
    yield from _near(want, got)
    yield from _where(name, want, got, _same(want, tolerance), stage)


def _near(want: Array, got: Array) -> Iterator[str]:
    """How near the values are everywhere, as a share of the largest."""
    for share, digits in ((1e-6, "float32"), (1e-3, "TF32 or float16"), (1e-2, "bfloat16")):
        if Same(want, share)(got, want):
            yield f"within {share:g} of the largest value, as numbers of {digits}, or a small term"


def _same(like: Array, tolerance: Tolerance) -> Same:
    return Same(like, 1e3 * tolerance.rounding)


def _elsewhere(name: str, got: Array, stage: Stage, tolerance: Tolerance) -> Iterator[str]:
    """The expected value of another quantity or item."""
    for other, value in stage.judgement.given.items():
        alike = other != name and np.shape(value) == got.shape and got.any() and got.size > 1
        if alike and _same(value, tolerance)(got, value):
            yield f"the value of {other}"
    state: Mapping[str, Array] = {}
    if stage.inputs is not None and stage.inputs.state is not None:
        state = {**stage.inputs.state.parameters, **stage.inputs.state.buffers}
    item = name.partition("/")[2]
    before = state.get(item)
    if before is not None and _same(before, tolerance)(got, before):
        yield "the value from before the step"


def _where(name: str, want: Array, got: Array, same: Same, stage: Stage) -> Iterator[str]:
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
