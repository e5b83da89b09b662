"""Training with labels, which makes the dense networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.augmentation import draw_views
from fcpts_ref.data.pictures import Pictures
from fcpts_ref.data.prepared import PreparedImages, as_prepared
from fcpts_ref.engines.base import Engine
from fcpts_ref.engines.predict import predict
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.network import Network, check_images
from fcpts_ref.layers import cross_entropy_backward, cross_entropy_forward
from fcpts_ref.pruning.method import OnStep, StepReport, ignore_step
from fcpts_ref.spec.optim import sgd_step, warmup_cosine

Array = NDArray[Any]
Views = Array | None
"""Of the images of a batch, as ``data.augmentation.view`` takes them; None for the images alone."""
Draw = Callable[[Array, np.random.Generator], Views]
"""From the indices of a batch's images to their views."""
Loss = Callable[[Mapping[str, Array], Array, Views], tuple[float, dict[str, Array]]]
"""From the outputs of a batch, by name, the indices of its images and their views to the loss and
its gradients with respect to the outputs."""


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum, warm-up and cosine schedule; weight decay on prunable weights."""

    epochs: int = 60
    batch_size: int = 50
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    warmup_epochs: int = 2
    augmentation: str = "crop"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise InputError(
                f"recipe has {counted(self.epochs, 'epoch')}, batches of {self.batch_size} and "
                f"learning rate {self.learning_rate}; expected all above 0"
            )
        if not (0 <= self.momentum < 1 and self.weight_decay >= 0 and self.warmup_epochs >= 0):
            raise InputError(
                f"recipe has momentum {self.momentum}, weight decay {self.weight_decay} and "
                f"{counted(self.warmup_epochs, 'warm-up epoch')}; expected momentum in [0, 1), the "
                "others >= 0"
            )


def train(
    network: Network,
    images: Any,
    labels: NDArray[np.integer[Any]],
    recipe: Recipe,
    *,
    engine: Engine,
    generator: np.random.Generator,
    on_step: OnStep = ignore_step,
) -> Network:
    """Train a network.  images: (n, C, H, W) in [0, 1]; labels: (n,) integers.

    An incomplete last batch of an epoch is skipped.
    Raises InputError for images or labels that do not fit, or a loss that is no longer finite.
    """
    _check_labels(labels, len(images), network.graph.classes)
    output = network.graph.output

    def draw(chosen: Array, generator: np.random.Generator) -> Views:
        size = network.graph.input_shape[1:]
        return draw_views(recipe.augmentation, len(chosen), size, generator)

    def loss(
        outputs: Mapping[str, Array], chosen: Array, views: Views
    ) -> tuple[float, dict[str, Array]]:
        value, cache = cross_entropy_forward(outputs[output], labels[chosen])
        return float(value), {output: cross_entropy_backward(1.0, cache)}

    return descend(
        network, images, draw, loss, recipe, engine=engine, generator=generator, on_step=on_step
    )


def descend(
    network: Network,
    images: Any,
    draw: Draw,
    loss: Loss,
    recipe: Recipe,
    *,
    engine: Engine,
    generator: np.random.Generator,
    on_step: OnStep = ignore_step,
) -> Network:
    """Train a network with any loss on its outputs and any augmentation.

    draw: draws the views of a batch's images.  The other arguments are those of ``train``.

    Raises InputError for images that do not fit, or a loss that is no longer finite.
    """
    images = as_prepared(check_images(network.graph, images)).astype(network.dtype, copy=False)
    graph = network.graph
    batch = min(recipe.batch_size, len(images))
    per_epoch = len(images) // batch
    steps, warmup = recipe.epochs * per_epoch, min(recipe.warmup_epochs, recipe.epochs) * per_epoch
    parameters, buffers = dict(network.parameters), dict(network.buffers)
    velocities = {name: np.zeros_like(array) for name, array in parameters.items()}
    for step in range(steps):
        if step % per_epoch == 0:
            order = generator.permutation(len(images))
        chosen = order[(step % per_epoch) * batch :][:batch]
        views = draw(chosen, generator)
        batch_images = images.subset(chosen)
        x = (batch_images if views is None else batch_images.seen(views))[:]
        with np.errstate(over="ignore", invalid="ignore"):  # the loss reports it
            passed = engine.forward(parameters, buffers, {graph.input: x}, training=True, keep=True)
            value, doutputs = loss(passed.outputs, chosen, views)
        if not np.isfinite(value):
            raise InputError(f"the loss is {value} at step {step}; use a lower learning rate")
        gradients = engine.backward(passed, doutputs)
        rate = recipe.learning_rate * warmup_cosine(step, steps, warmup)
        for name, parameter in parameters.items():
            parameters[name], velocities[name] = sgd_step(
                parameter,
                gradients[name],
                velocities[name],
                learning_rate=rate,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay if name in network.graph.prunable else 0.0,
                nesterov=recipe.nesterov,
            )
        buffers = dict(passed.buffers)
        on_step(StepReport(step + 1, steps, batch, {"loss": value, "learning_rate": rate}))
    return Network(network.graph, parameters, buffers)


def channel_statistics(images: PreparedImages) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel, (C,) both, over all images and pixels."""
    if not isinstance(images.source, Pictures):  # they lie in memory already
        floats = images[:]
        mean, std = floats.mean(axis=(0, 2, 3)), floats.std(axis=(0, 2, 3))
        return mean.tolist(), std.tolist()
    pixels = len(images) * math.prod(images.shape[2:])
    sums, squares = np.zeros(images.shape[1]), np.zeros(images.shape[1])
    for batch in images.chunks():
        wide = batch.astype(np.float64)
        sums += wide.sum(axis=(0, 2, 3))
        squares += (wide * wide).sum(axis=(0, 2, 3))
    mean = sums / pixels
    return mean.tolist(), np.sqrt(np.maximum(squares / pixels - mean**2, 1e-12)).tolist()


@dataclass(frozen=True)
class Accuracy:
    """The number of correctly classified images."""

    images: int
    correct: int  # by the largest logit
    correct5: int  # with the label among the five largest logits

    @property
    def top1(self) -> float:
        """The share of correctly classified images."""
        return self.correct / self.images

    @property
    def top5(self) -> float:
        """The share of images whose label is among the five largest logits."""
        return self.correct5 / self.images


def accuracy(
    network: Network,
    images: Any,
    labels: NDArray[np.integer[Any]],
    *,
    engine: Engine,
    on_batch: Callable[[int], None] | None = None,
) -> Accuracy:
    """Return the accuracy on images (n, C, H, W) with labels (n,); ties go to the first class.

    Raises InputError for labels that do not fit.
    """
    _check_labels(labels, len(images), network.graph.classes)
    return accuracy_of(predict(network, images, engine=engine, on_batch=on_batch), labels)


def accuracy_of(logits: Array, labels: NDArray[np.integer[Any]]) -> Accuracy:
    """Return the accuracy of logits (N, classes) for labels (N,), as ``accuracy`` does."""
    _check_labels(labels, *logits.shape)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    hits = order == labels[:, np.newaxis]
    return Accuracy(len(logits), int(hits[:, 0].sum()), int(hits.any(axis=1).sum()))


def _check_labels(labels: NDArray[np.integer[Any]], n: int, K: int) -> None:
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}; expected integers, one "
            f"for each of {counted(n, 'image')}"
        )
    if n and not (labels.min() >= 0 and labels.max() < K):
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()}; expected the "
            f"{counted(K, 'class', 'classes')} of the network, 0 to {K - 1}"
        )
