"""The data of a search: training images that no run calibrates on replace the test images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.prepared import PreparedImages
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.detection import Truth, objects_of
from fcpts_ref.experiments.inputs import Inputs, draw_calibration, find_inputs
from fcpts_ref.experiments.job import Job


def find_held_out(job: Job, *, count: int, **options: Any) -> Inputs:
    """Read the inputs of a job, with the last ``count`` training images to evaluate on.

    The calibration images are drawn from the others, and the test images are not used at all.
    options: of ``find_inputs``.
    Raises InputError if the calibration images and ``count`` are more than there are.
    """
    found = find_inputs(job, **options)
    labels, total = found.dataset.train.labels, len(found.dataset.train)
    rest, drawn = total - count, len(found.images)
    if not 1 <= count < total or drawn > rest:
        raise InputError(
            f"{count} held-out and {drawn} calibration images were asked for; expected at least 1 "
            f"of each, and not more than the {total} training images together"
        )
    chosen = draw_calibration(rest, drawn, np.random.default_rng(job.seed))
    test = replace(found.images, chosen=np.arange(rest, total))
    return replace(
        found,
        images=replace(found.images, chosen=chosen),
        calibration_labels=None if labels is None else labels[chosen],
        test=test,
        labels=None if labels is None else labels[rest:],
        truth=None if found.truth is None else training_truth(found.dataset, test),
    )


def training_truth(dataset: Dataset, images: PreparedImages) -> Truth | None:
    """Return the objects of prepared training images, None if they are not annotated."""
    known = dataset.train.objects
    return None if known is None else Truth(tuple(objects_of(known, images)), known.classes)
