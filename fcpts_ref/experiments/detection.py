"""Detectors on annotated images: mean average precision, and training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcpts_ref.architectures.ssd import priors_of
from fcpts_ref.data.prepared import PreparedImages
from fcpts_ref.data.preprocessing import STRETCH, STRETCHED
from fcpts_ref.data.split import Annotations
from fcpts_ref.detection.augmentation import check_augmentation, draw_view, seen_objects
from fcpts_ref.detection.boxes import Detections, Objects
from fcpts_ref.detection.loss import multibox_loss_backward, multibox_loss_forward
from fcpts_ref.detection.matching import targets
from fcpts_ref.detection.mean_average_precision import (
    Measure,
    average_precisions,
    mean_average_precision,
)
from fcpts_ref.detection.nms import detect
from fcpts_ref.engines.base import Engine
from fcpts_ref.engines.predict import predict_batches
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.training import Recipe, Views, descend
from fcpts_ref.graphs.graph import BOXES, SCORES
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.method import OnStep, ignore_step


@dataclass(frozen=True)
class Precision:
    """Average precision by class, None for a class without objects, and the mean of the others."""

    classes: Mapping[str, float | None]
    mean: float


@dataclass(frozen=True)
class Truth:
    """The objects of images, and the names of their classes, which are labelled from 1."""

    objects: tuple[Objects, ...]
    classes: tuple[str, ...]


def detections_of(
    network: Network,
    images: Any,
    *,
    engine: Engine,
    on_batch: Callable[[int], None] | None = None,
) -> list[Detections]:
    """Return the detections in images (n, C, H, W) in [0, 1], in shares of their sides.

    Raises InputError for a network that is no detector of ``architectures.ssd``, and for images
    that it cannot read.
    """
    priors, found = priors_of(network.graph), []
    for _, outputs in predict_batches(network, images, engine=engine, on_batch=on_batch):
        found += [
            detect(scores, codes, priors)
            for scores, codes in zip(outputs[SCORES], outputs[BOXES], strict=True)
        ]
    return found


def objects_of(annotations: Annotations | None, images: PreparedImages) -> list[Objects]:
    """Return the objects of the images, which may be some of those that are annotated.

    Raises InputError without annotations, if they cannot be read, if no object counts, and for a
    preprocessing that does not show whole pictures, to which boxes belong.
    """
    if annotations is None:
        raise InputError(
            "the images have no annotations, which mean average precision needs; give a folder "
            "with Annotations as voc:PATH"
        )
    cut = images.preprocessing
    if cut is not None and cut.resize != STRETCHED:
        raise InputError(
            f"the preprocessing ({cut}) may cut pictures, and boxes belong to whole ones; use "
            f"--preprocess {STRETCH}/{cut.crop}/{cut.filter}"
        )
    found = [annotations.read(int(index)) for index in images.chosen]
    if all(objects.difficult.all() for objects in found):
        raise InputError(
            f"no object that counts in {counted(len(found), 'image')}; expected at least one"
        )
    return found


def precision(
    detections: Sequence[Detections],
    objects: Sequence[Objects],
    classes: Sequence[str],
    *,
    measure: Measure = "11-point",
) -> Precision:
    """Return the average precisions; the arguments are those of ``average_precisions``."""
    found = average_precisions(detections, objects, len(classes), measure=measure)
    by_class = {
        name: None if value != value else float(value)
        for name, value in zip(classes, found, strict=True)
    }
    return Precision(by_class, mean_average_precision(found))


def train_detector(
    network: Network,
    images: Any,
    objects: Sequence[Objects],
    recipe: Recipe,
    *,
    engine: Engine,
    generator: np.random.Generator,
    on_step: OnStep = ignore_step,
) -> Network:
    """Train a detector with the multibox loss.

    images: (n, C, H, W) in [0, 1]; objects: of each image, in shares of its sides.
    The recipe's augmentation is one of ``DETECTOR_AUGMENTATIONS``.
    Raises InputError for a network that is no detector, numbers or labels that do not fit, an
    augmentation of classifiers, and a loss that is no longer finite.
    """
    priors = priors_of(network.graph).astype(network.dtype)
    check_augmentation(recipe.augmentation)
    if len(objects) != len(images):
        raise InputError(
            f"{counted(len(objects), 'annotation')} for {counted(len(images), 'image')}; expected "
            "as many"
        )

    def draw(chosen: Any, generator: np.random.Generator) -> Views:
        if recipe.augmentation == "none":
            return None
        boxes = (objects[index].boxes for index in chosen)
        return np.stack([draw_view(recipe.augmentation, own, generator) for own in boxes])

    def loss(outputs: Mapping[str, Any], chosen: Any, views: Views) -> tuple[float, dict[str, Any]]:
        seen = [objects[index] for index in chosen]
        if views is not None:
            seen = [seen_objects(own, view) for own, view in zip(seen, views, strict=True)]
        pairs = [targets(priors, own) for own in seen]
        labels, codes = (np.stack(part) for part in zip(*pairs, strict=True))
        value, cache = multibox_loss_forward(outputs[SCORES], outputs[BOXES], labels, codes)
        dscores, dcodes = multibox_loss_backward(1.0, cache)
        return float(value), {SCORES: dscores, BOXES: dcodes}

    return descend(
        network, images, draw, loss, recipe, engine=engine, generator=generator, on_step=on_step
    )
