"""The right elements in another place: an axis reversed, shifted, exchanged or in another order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values

MOVED = "moved"

NODES = {"activation", "dense_activation", "dactivation"}
LOGITS = {"dense_logits", "sparse_logits", "dsparse_logits"}
PER_CHANNEL = ("channels",)
AXES = {
    "image": ("images", "channels", "rows", "columns"),
    "features": ("images", "features"),
    "logits": ("images", "classes"),
    "kernel": ("outputs", "inputs", "rows", "columns"),
    "matrix": ("outputs", "inputs"),
    "layers": ("layers",),
    "densities": ("layers", "signs"),
}


def axes_of(evidence: Evidence) -> tuple[str, ...]:
    """Return the names of the axes of a quantity; none if they have no names."""
    kind, rank = evidence.quantity, evidence.value.ndim
    if kind in NODES:
        names = AXES["image" if rank == 4 else "features"]
    elif kind in LOGITS:
        names = AXES["logits"]
    elif evidence.item.startswith("threshold_"):
        names = AXES["layers"]
    elif evidence.item:
        names = {4: AXES["kernel"], 2: AXES["matrix"], 1: PER_CHANNEL}.get(rank, ())
    else:
        names = AXES["densities" if rank == 2 else "layers"]
    return names if len(names) == rank else ()


def _moved(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right, names = evidence.value, axes_of(evidence)
    for axis, name in enumerate(names):
        if right.shape[axis] < 2:
            continue
        for shift in (1, -1) if right.shape[axis] > 2 else ():
            yield _named(f"{name} shifted by {shift:+d}"), np.roll(right, shift, axis)
        yield _named(f"{name} reversed"), np.flip(right, axis)
        order = _order(right, evidence.found, axis)
        if order is not None:
            yield _named(f"{name} in another order"), right.take(order, axis)
    for a, b in combinations(range(len(names)), 2):
        if right.shape[a] == right.shape[b] > 1:
            yield _named(f"{names[a]} and {names[b]} exchanged"), right.swapaxes(a, b)


def _named(text: str) -> str:
    return f"{MOVED}{MARK}{text}"


def _order(right: Array, found: Array, axis: int) -> Array | None:
    """Return the order in which the parts along an axis are found; None if it is no other one.

    It is read from one number for each part, which cannot make the parts themselves agree.
    """
    count = right.shape[axis]
    if found.shape != right.shape or right.size < 2 * count:
        return None
    of_right, of_found = (_marks(array, axis) for array in (right, found))
    order, places = np.argsort(of_right, kind="stable"), np.argsort(of_found, kind="stable")
    moved = np.empty(count, dtype=np.intp)
    moved[places] = order
    known = [np.arange(count), np.arange(count)[::-1]]
    known += [np.roll(np.arange(count), shift) for shift in (1, -1)]
    return None if any(np.array_equal(moved, one) for one in known) else moved


def _marks(array: Array, axis: int) -> Array:
    """Return a weighted sum of every part along an axis, which differs where the parts do."""
    parts = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    return np.asarray(parts @ np.cos(np.arange(parts.shape[1])))


VALUES: dict[str, Values] = dict.fromkeys(CATALOGUE[MOVED].of, _moved)
