"""One step of training, with labels or against the dense network's outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.augmentation import draw_views
from fcpts_ref.data.prepared import batches_of, seen_images
from fcpts_ref.engines.base import Engine, Passed
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.layers import cross_entropy_backward, cross_entropy_forward
from fcpts_ref.objectives.kl import KLDivergence
from fcpts_ref.pruning.labels import labels_of
from fcpts_ref.pruning.problem import Problem

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Batch:
    """Images (B, C, H, W), and their labels (B,) or the dense network's logits (B, K)."""

    images: Array
    labels: NDArray[np.integer[Any]] | None
    dense: Array | None


@dataclass(frozen=True)
class Computed:
    """The loss of a batch, the gradients of the parameters, and the buffers after it."""

    loss: float
    gradients: dict[str, Array]
    buffers: Arrays


def batches(
    problem: Problem,
    rows: Array,
    batch_size: int,
    objective: str,
    augmentation: str,
    generator: np.random.Generator,
) -> Iterator[Batch]:
    """Yield the images of these rows in a random order; an incomplete last batch is left out.

    The dense network sees what the sparse one sees, in evaluation mode.
    """
    size = min(batch_size, len(rows))
    order = rows[generator.permutation(len(rows))]
    views = draw_views(augmentation, len(problem.images), problem.images.shape[2:], generator)
    chosen = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    read = batches_of(seen_images(problem.images, views), chosen)
    for index, images in zip(chosen, read, strict=True):
        if objective == "labels":
            labels = labels_of(problem)[index]
            yield Batch(images, labels, None)
        else:
            output = problem.network.graph.output
            yield Batch(images, None, problem.dense_on(images, training=False)[output])


def compute(
    engine: Engine, graph: Graph, parameters: Arrays, buffers: Arrays, batch: Batch
) -> Computed:
    """Run a batch forward and backward, batch norm in training mode.

    Raises InputError for a loss that is no longer finite.
    """
    passed = _forward(engine, graph, parameters, buffers, batch, keep=True)
    loss, dlogits = _loss(graph, passed.outputs[graph.output], batch)
    gradients = engine.backward(passed, {graph.output: dlogits})
    return Computed(loss, gradients, dict(passed.buffers))


def loss_of(
    engine: Engine, graph: Graph, parameters: Arrays, buffers: Arrays, batch: Batch
) -> float:
    """Return the loss of a batch alone; otherwise as ``compute``."""
    passed = _forward(engine, graph, parameters, buffers, batch, keep=False)
    return _loss(graph, passed.outputs[graph.output], batch)[0]


def _forward(
    engine: Engine, graph: Graph, parameters: Arrays, buffers: Arrays, batch: Batch, *, keep: bool
) -> Passed:
    with np.errstate(over="ignore", invalid="ignore"):  # the loss reports it
        return engine.forward(
            parameters, buffers, {graph.input: batch.images}, training=True, keep=keep
        )


def _loss(graph: Graph, logits: Array, batch: Batch) -> tuple[float, Array]:
    """The loss and its gradient.  Raises InputError for one that is not finite."""
    if batch.dense is None:
        assert batch.labels is not None
        loss, cache = cross_entropy_forward(logits, batch.labels)
        dlogits = cross_entropy_backward(1.0, cache)
    else:
        kl = KLDivergence(output=graph.output)
        loss, found = kl.loss_and_gradients({graph.output: batch.dense}, {graph.output: logits})
        dlogits = found[graph.output]
    if not np.isfinite(loss):
        raise InputError(f"the loss is {loss}; use a lower learning rate")
    return float(loss), dlogits
