"""How the calibration images are seen in an epoch, and what the dense network makes of them.

Without augmentation they are the same in every epoch.  With it they are seen anew each time, or
in a number of *views* that take turns: those are remembered, with the dense network's logits, so
that it runs on every view but once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.datasets.augmentation import draw_views, view
from fcpts_ref.methods.common import Problem
from fcpts_ref.networks import predict

Array = NDArray[Any]
Arrays = Mapping[str, Array]

AT_ONCE = 1024
"""Images that are augmented at a time."""


@dataclass(frozen=True)
class Seen:
    """The views (n, 3) of the n images (``draw_views``); dense logits (n, classes), if known."""

    views: Array
    dense_logits: Array | None

    def batch(self, images: Array, chosen: Array) -> tuple[Array, Array | None]:
        """The chosen images as they are seen, and their dense logits."""
        logits = None if self.dense_logits is None else self.dense_logits[chosen]
        return view(images[chosen], self.views[chosen]), logits


def seen_in(
    epoch: int,
    problem: Problem,
    augmentation: str,
    count: int,
    remembered: Arrays,
    generator: np.random.Generator,
    *,
    teacher_evaluates: bool,
) -> tuple[Seen, Arrays]:
    """How the images are seen in an epoch, and all that is now remembered.

    count: of views that take turns; 0 for new ones at every epoch.  teacher_evaluates: dense
    logits belong to an image, not to the batch it is in, and can be known beforehand.
    """
    n, size = len(problem.images), problem.images.shape[2:]
    if augmentation == "none":
        logits = problem.dense_logits if teacher_evaluates else None
        return Seen(draw_views("none", n, size, generator), logits), remembered
    turn = epoch % count if count else epoch
    if f"drawn{turn}" in remembered:
        return Seen(remembered[f"drawn{turn}"], remembered.get(f"logits{turn}")), remembered
    drawn = draw_views(augmentation, n, size, generator)
    if count == 0:
        return Seen(drawn, None), remembered
    new = {f"drawn{turn}": drawn}
    if teacher_evaluates:
        new[f"logits{turn}"] = _dense_logits(problem, drawn)
    return Seen(drawn, new.get(f"logits{turn}")), {**remembered, **new}


def _dense_logits(problem: Problem, views: Array) -> Array:
    """The dense network's logits (n, classes) for views of all images, some at a time."""
    parts = []
    for first in range(0, len(views), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        images = view(problem.images[part], views[part])
        parts.append(predict(problem.network, images, engine=problem.teacher))
    return np.concatenate(parts)
