"""What a job reads: its network, its data, and the calibration images it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.prepared import PreparedImages, readable
from fcpts_ref.data.preprocessing import (
    Preprocessing,
)
from fcpts_ref.data.sources import find_dataset
from fcpts_ref.data.split import Split
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.detection import Truth, objects_of
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.networks import check_fit, find_network
from fcpts_ref.graphs.network import Network
from fcpts_ref.graphs.projections import split_projections


@dataclass(frozen=True)
class Sources:
    """A network and data that fit each other, as ``prepare`` needs them.

    preprocessing: of pictures; None for data of the network's own size.
    evaluated: the images to evaluate on, which may be none, and the data set that they belong to.
    """

    network: Network
    dataset: Dataset
    preprocessing: Preprocessing | None
    tested: Dataset
    evaluated: Split

    def test_images(self, *, threads: int | None = None) -> PreparedImages:
        """Return the images to evaluate on, as the network reads them."""
        return self.tested.prepare(
            self.evaluated, self.network.dtype, self.preprocessing, threads=threads
        )


@dataclass(frozen=True)
class Inputs:
    """A network and data that fit each other, and the calibration images (n, C, H, W).

    test: the images to evaluate on, None if there are none; labels: theirs, None if unknown; truth:
    what a detector should find in them, None if unknown.
    calibration_labels: those of the calibration images, which only methods that say so read.
    """

    network: Network
    dataset: Dataset
    images: PreparedImages
    test: PreparedImages | None = None
    labels: NDArray[np.int64] | None = None
    preprocessing: Preprocessing | None = None
    truth: Truth | None = None
    calibration_labels: NDArray[np.int64] | None = None


def find_inputs(
    job: Job, *, threads: int | None = None, note: Callable[[str], None] = lambda message: None
) -> Inputs:
    """Read what a job names.  Raises InputError for what is absent or does not fit.

    threads: that decode pictures.  note: receives a line for every picture that is left out.
    """
    sources = find_sources(job)
    dataset, network = sources.dataset, sources.network
    count, available = job.calibration, len(dataset.train)
    if not available:
        raise InputError(
            f"data {dataset.name!r} have no training images to calibrate with; name others, "
            "as by 'fcpts-ref sparsify --data TRAINING --test-data THESE'"
        )
    if count is None:
        count = min(available, job.make_method().calibration_images)
    chosen = draw_calibration(available, count, np.random.default_rng(job.seed))
    images = dataset.prepare(
        dataset.train, network.dtype, sources.preprocessing, chosen=chosen, threads=threads
    )
    test, labels = None, sources.evaluated.labels
    if len(sources.evaluated):
        test = sources.test_images(threads=threads)
    if job.skip_corrupt:
        images = readable(images, note)
        if test is not None:
            test = readable(test, note)
            labels = None if labels is None else labels[test.chosen]
    known = dataset.train.labels
    calibration_labels = None if known is None else known[images.chosen]
    return Inputs(
        network,
        dataset,
        images,
        test,
        labels,
        sources.preprocessing,
        _truth(sources, test),
        calibration_labels,
    )


def _truth(sources: Sources, test: PreparedImages | None) -> Truth | None:
    """Return the objects of the test images, read before anything is computed from them."""
    annotations = sources.evaluated.objects
    if test is None or annotations is None or not sources.network.graph.is_detector:
        return None
    return Truth(tuple(objects_of(annotations, test)), annotations.classes)


def find_sources(job: Job) -> Sources:
    """Read the network and the data of a job.  Raises InputError if they do not fit."""
    dataset = find_dataset(job.data, job.home)
    tested = dataset if job.test_data is None else find_dataset(job.test_data, job.home)
    evaluated = dataset.test if job.test_data is None else evaluation_split(tested)
    network, preprocessing = find_network(
        job.network,
        dataset,
        arch=job.arch,
        shortcut=job.shortcut,
        normalise=job.normalise,
        mean=job.mean,
        std=job.std,
        preprocess=job.preprocess,
        home=job.home,
    )
    if job.agreement and network.graph.is_detector:
        raise InputError(
            "--agreement compares the predictions of classifiers; omit it for a detector"
        )
    if job.projections == "separate":
        network = split_projections(network)
    if tested is not dataset:
        check_fit(job.network, network, tested, preprocessing)
    return Sources(network, dataset, preprocessing, tested, evaluated)


def evaluation_split(dataset: Dataset) -> Split:
    """Return the test images of a data set, or all of one without splits."""
    return dataset.test if len(dataset.test) else dataset.train


def draw_calibration(
    n: int, count: int | None, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the rising indices of ``count`` of n training images (default all), without repeats.

    Labels are never looked at.  Raises InputError for more images than there are, or none.
    """
    if count is None or count == n:
        return np.arange(n)
    if not 1 <= count <= n:
        raise InputError(
            f"calibration is {counted(count, 'image')}; there are {n}, expected 1 or more of them"
        )
    return np.sort(generator.choice(n, size=count, replace=False))
