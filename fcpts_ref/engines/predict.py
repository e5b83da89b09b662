"""Outputs of a network for any number of images, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.prepared import batches_of
from fcpts_ref.engines.base import Engine, WeightCache
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network, check_images

Array = NDArray[Any]


BATCH_SIZE, LEAST_BATCH = 64, 8
"""Images at once: the most, for small ones, and the fewest, for large ones."""
BATCH_NUMBERS = BATCH_SIZE * 3 * 32 * 32
"""Numbers in a batch of inputs: few enough for a layer's activations to stay in the cache."""


def batch_of(graph: Graph) -> int:
    """Return the number of images that a network evaluates at once."""
    fits = BATCH_NUMBERS // math.prod(graph.input_shape)
    return max(LEAST_BATCH, min(BATCH_SIZE, fits))


def predict(
    network: Network,
    images: Any,
    *,
    engine: Engine,
    batch_size: int | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Array:
    """Return the only output, such as logits (N, classes), for images (N, C, H, W) in [0, 1].

    The arguments are those of ``predict_outputs``.
    Raises InputError for a network with several outputs.
    """
    output = network.graph.output
    return predict_outputs(
        network, images, engine=engine, batch_size=batch_size, on_batch=on_batch
    )[output]


def predict_outputs(
    network: Network,
    images: Any,
    *,
    engine: Engine,
    batch_size: int | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> dict[str, Array]:
    """Return every output (N, ...) by name, batch norm in evaluation mode.

    images: (N, ...) of the only input, in [0, 1]: an array, or a sequence that reads them when they
    are needed (``data.prepared``).  batch_size: None for ``batch_of``.
    ``on_batch(n)`` is called after each batch of n.
    Raises InputError for images that the network cannot read.
    """
    images = check_images(network.graph, images)
    outputs = {
        name: np.empty((len(images), *shape), dtype=network.dtype)
        for name, shape in network.graph.output_shapes.items()
    }
    batches = predict_batches(
        network, images, engine=engine, batch_size=batch_size, on_batch=on_batch
    )
    for some, found in batches:
        for name, output in outputs.items():
            output[some] = found[name]
    return outputs


def predict_batches(
    network: Network,
    images: Any,
    *,
    engine: Engine,
    batch_size: int | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[tuple[slice, Mapping[str, Array]]]:
    """Yield every batch's place among the images, and its outputs by name.

    An output may be overwritten by the next batch.  The arguments and errors are those of
    ``predict_outputs``.
    """
    graph = network.graph
    images = check_images(graph, images)
    cache = WeightCache()
    batch_size = batch_size or batch_of(graph)
    starts = range(0, len(images), batch_size)
    read = batches_of(images, (slice(start, start + batch_size) for start in starts))
    for start, found in zip(starts, read, strict=True):
        batch = found.astype(network.dtype, copy=False)
        passed = engine.forward(
            network.parameters,
            network.buffers,
            {graph.input: batch},
            training=False,
            keep=False,
            sparse=bool(network.masks),
            cache=cache,
        )
        yield slice(start, start + len(batch)), passed.outputs
        if on_batch is not None:
            on_batch(len(batch))
