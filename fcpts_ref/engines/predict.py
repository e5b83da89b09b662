"""Logits of any number of images, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import Engine, WeightCache
from fcpts_ref.graphs.network import Network, check_images

Array = NDArray[Any]


def predict(
    network: Network,
    images: Array,
    *,
    engine: Engine,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> Array:
    """The logits for any number of images, a batch at a time; batch norm evaluates.

    images: (N, C, H, W) in [0, 1].  ``on_batch(n)`` is called after every batch of n images.
    batch_size: the default is small enough for a layer's activations to stay in the cache.
    """
    images = check_images(network.graph, images)
    cache = WeightCache()
    logits = np.empty((len(images), network.graph.classes), dtype=network.dtype)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size].astype(network.dtype, copy=False)
        passed = engine.forward(
            network.parameters,
            network.buffers,
            batch,
            training=False,
            keep=False,
            sparse=bool(network.masks),
            cache=cache,
        )
        logits[start : start + len(batch)] = passed.logits
        if on_batch is not None:
            on_batch(len(batch))
    return logits
