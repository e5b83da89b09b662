"""N:M patterns and blocks derived a second time, one weight at a time by its indices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import gcd
from typing import Any

import numpy as np
from mpmath import mpf, sqrt

from tools.vectors.exact import Decisions, exact, total, zeros

Outputs = dict[str, Any]
Index = tuple[int, ...]


def _columns(shape: Index, layout: str) -> list[Index]:
    """The indices of a row after the first, in the order of the layout."""
    inputs, positions = range(shape[1]), list(product(*map(range, shape[2:])))
    if layout == "channels":
        return [(c, *position) for position in positions for c in inputs]
    return [(c, *position) for c in inputs for position in positions]


def pattern_mask(decide: Decisions, weight: Any, N: int, M: int, layout: str) -> Outputs:
    """Keep each weight of which fewer than N neighbours are greater, or equal and later."""
    w, columns = np.abs(weight), _columns(weight.shape, layout)
    mask = zeros(weight.shape)
    for k in range(len(w)):
        for start in range(0, len(columns), M):
            group = columns[start : start + M]
            for place, own in enumerate(group):
                ahead = [
                    decide.compare(w[(k, *other)].item(), w[(k, *own)].item())
                    for other in group
                    if other != own
                ]
                later = [other > place for other in range(M) if other != place]
                winners = sum(a > 0 or (a == 0 and b) for a, b in zip(ahead, later, strict=True))
                mask[(k, *own)] = mpf(winners < N)
    return {"mask": mask}


def block_norms(decide: Decisions, weight: Any, rows: int, columns: int, layout: str) -> Outputs:
    """The sides of the blocks, and the root of the mean square of each."""
    w, order = exact(weight), _columns(weight.shape, layout)
    run = weight.shape[1] if layout == "channels" else len(order)
    R, C = gcd(rows, len(w)), gcd(columns, run)
    norms = zeros((len(w) // R, len(order) // C))
    for i, j in product(range(norms.shape[0]), range(norms.shape[1])):
        squares = [w[(k, *c)] ** 2 for k, c in _block(order, i, j, R, C)]
        norms[i, j] = sqrt(total(squares) / (R * C))
    return {"sides": np.array([mpf(R), mpf(C)], dtype=object), "norms": norms}


def _block(order: list[Index], i: int, j: int, R: int, C: int) -> Iterator[tuple[int, Index]]:
    return product(range(i * R, (i + 1) * R), order[j * C : (j + 1) * C])
