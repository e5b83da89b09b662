"""The views of the calibration images in an epoch, and the dense network's outputs for them.

Without augmentation the images are the same in every epoch.  With it, every epoch draws new views,
or a fixed number of *views* is used in turn.  Those are cached with the dense network's outputs, so
that it runs only once on each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.augmentation import draw_views
from fcpts_ref.data.prepared import batches_of, seen_images
from fcpts_ref.engines.predict import predict_outputs
from fcpts_ref.pruning.problem import Problem

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Seen:
    """The views of n images (``draw_views``), and the dense network's outputs if known."""

    views: Array
    dense: Arrays | None

    def batches(
        self, images: Any, indices: Sequence[Array]
    ) -> Iterator[tuple[Array, Arrays | None]]:
        """Yield the views of the images of each index, and their dense outputs if known."""
        read = batches_of(seen_images(images, self.views), indices)
        for chosen, batch in zip(indices, read, strict=True):
            known = self.dense and {name: output[chosen] for name, output in self.dense.items()}
            yield batch, known


def seen_in(
    epoch: int,
    problem: Problem,
    augmentation: str,
    count: int,
    remembered: Arrays,
    generator: np.random.Generator,
    *,
    remember: bool,
) -> tuple[Seen, Arrays]:
    """Return the views of an epoch, and the updated cache.

    count: the number of views used in turn; 0 for new ones in every epoch.  remember: cache the
    dense outputs, which must depend on the image alone, not on its batch, and be small.
    """
    views, remembered = views_in(epoch, problem.images, augmentation, count, remembered, generator)
    if not remember:
        return Seen(views, None), remembered
    if augmentation == "none":
        return Seen(views, problem.dense_outputs), remembered
    if count == 0:
        return Seen(views, None), remembered
    turn = {name: f"{name}{epoch % count}" for name in problem.network.graph.outputs}
    if not remembered.keys() >= set(turn.values()):
        outputs = _dense_outputs(problem, views)
        remembered = {**remembered, **{turn[name]: array for name, array in outputs.items()}}
    return Seen(views, {name: remembered[key] for name, key in turn.items()}), remembered


def views_in(
    epoch: int,
    images: Any,
    augmentation: str,
    count: int,
    remembered: Arrays,
    generator: np.random.Generator,
) -> tuple[Array, Arrays]:
    """Return the views of all n images in an epoch and the updated cache, as ``seen_in``."""
    name = f"drawn{epoch % count}" if count else ""
    if name in remembered:
        return remembered[name], remembered
    views = draw_views(augmentation, len(images), images.shape[2:], generator)
    return views, {**remembered, name: views} if count else remembered


def _dense_outputs(problem: Problem, views: Array) -> dict[str, Array]:
    """Return the dense network's outputs (n, ...) for views of all images."""
    images = seen_images(problem.images, views)
    return predict_outputs(problem.network, images, engine=problem.teacher)
