"""fcpts-ref train: train a dense network."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcpts_ref.architectures.registry import architecture, find_architecture, scaled
from fcpts_ref.cli.options import add_engine_options, add_seed_option
from fcpts_ref.cli.progress import step_bar
from fcpts_ref.cli.sources import (
    add_arch_options,
    add_data_option,
    add_home_option,
    add_preprocess_option,
    find_dataset,
    find_network,
)
from fcpts_ref.cli.tables import percent
from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.prepared import PreparedImages
from fcpts_ref.data.preprocessing import Preprocessing, as_provenance
from fcpts_ref.data.preprocessing import preprocessing as find_preprocessing
from fcpts_ref.detection.augmentation import DETECTOR_AUGMENTATIONS, DETECTOR_DEFAULT
from fcpts_ref.engines.base import Engine
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.experiments.detection import (
    detections_of,
    objects_of,
    precision,
    train_detector,
)
from fcpts_ref.experiments.training import Recipe, accuracy, channel_statistics, train
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.method import OnStep
from fcpts_ref.storage.files import check_writable
from fcpts_ref.storage.network_files import write_network

MAX_WIDTH = 8
"""The largest factor of widths that ``--width`` takes."""

DEFAULT_ARCH = "resnet8"

EPILOG = """\
examples:
  fcpts-ref train --arch resnet8 --data digits --out resnet8-digits.h5
  fcpts-ref train --weights resnet8-digits.h5 --learning-rate 0.01 --out new.h5
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    default = Recipe()
    parser = subparsers.add_parser(
        "train",
        help="train a dense network on the training images of a data set",
        description="Train a dense network on the training images of a data set, with\n"
        "labels, from random weights or those of --weights.  SGD with Nesterov\n"
        "momentum, linear warm-up and cosine schedule.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("network and data")
    group.add_argument(
        "--weights",
        metavar="NAME|FILE",
        help="network to go on from, as in sparsify (default: random weights)",
    )
    add_arch_options(
        group,
        arch=f"architecture to train, such as resnet20 (default: {DEFAULT_ARCH}), or that of the "
        "file of --weights, where its names do not tell it",
        shortcut="of CIFAR's resnetN: A, zero padding, or B, 1x1 convolutions (default: A, or as "
        "the names in the file of --weights tell)",
    )
    group.add_argument(
        "--width",
        type=float,
        metavar="FACTOR",
        help="a factor of all widths, of architectures that have one (default: 1)",
    )
    add_data_option(group)
    add_preprocess_option(group)
    add_home_option(group)
    group = parser.add_argument_group("recipe")
    for name, meaning in (
        ("epochs", "passes over the training images"),
        ("batch_size", "images in a step"),
        ("learning_rate", "highest learning rate"),
        ("momentum", "Nesterov momentum"),
        ("weight_decay", "of convolution and linear weights"),
        ("warmup_epochs", "epochs in which the learning rate rises"),
    ):
        value = getattr(default, name)
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(
            flag,
            type=type(value),
            default=value,
            metavar="N" if type(value) is int else "VALUE",
            help=f"{meaning} (default: {value})",
        )
    group.add_argument(
        "--augmentation",
        choices=tuple(dict.fromkeys((*AUGMENTATIONS, *DETECTOR_AUGMENTATIONS))),
        metavar="NAME",
        help=f"of classifiers {', '.join(AUGMENTATIONS)} (default: {default.augmentation}); of "
        f"detectors {', '.join(DETECTOR_AUGMENTATIONS)} (default: {DETECTOR_DEFAULT}); flips "
        "change digits and letters",
    )
    add_seed_option(add_engine_options(parser))
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="FILE", help="default: ARCH-DATA.h5")
    group.add_argument("--json", action="store_true", help="print the result as JSON")
    group.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, write the network, print its accuracy, and return the exit code."""
    dataset, threads = find_dataset(arguments.data, arguments.home), arguments.threads
    if arguments.weights is None:
        given, (graph, preprocessing) = None, _new_graph(arguments, dataset)
    else:
        given, preprocessing = _given_network(arguments, dataset)
        graph = given.graph
    recipe = Recipe(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        momentum=arguments.momentum,
        weight_decay=arguments.weight_decay,
        warmup_epochs=arguments.warmup_epochs,
        augmentation=_augmentation(arguments.augmentation, graph),
    )
    path = Path(arguments.out or f"{graph.name}-{dataset.name}.h5")
    check_writable(path)
    generator = np.random.default_rng(arguments.seed)
    images = dataset.prepare(dataset.train, preprocessing=preprocessing, threads=threads)
    if given is None:
        mean, std = channel_statistics(images)
        network = initialise(graph, generator, mean=mean, std=std)
    else:
        network = given
    engine = make_engine(graph, arguments.engine, threads=arguments.threads)
    test = dataset.prepare(dataset.test, preprocessing=preprocessing, threads=threads)
    with step_bar(f"train {graph.name}", quiet=arguments.quiet) as on_step:
        run = Run(network, dataset, images, test, recipe, engine, generator, on_step)
        network, measured = detector_trained(run) if graph.is_detector else classifier_trained(run)
    result: dict[str, Any] = {
        "network": graph.name,
        "weights": arguments.weights,
        "data": dataset.name,
        "recipe": asdict(recipe),
        "seed": arguments.seed,
        **measured,
    }
    provenance = {"made_by": "fcpts-ref train", **result, **as_provenance(preprocessing)}
    write_network(path, network, provenance)
    if arguments.json:
        print(json.dumps({**result, "file": str(path), "versions": versions()}, indent=2))
    else:
        (name, trained), (_, tested) = measured.items()
        print(
            f"{graph.name} on {dataset.name}: {MEASURES[name]} {percent(trained)} on "
            f"{counted(len(images), 'training image')}, {percent(tested)} on "
            f"{counted(len(test), 'test image')}\nwritten to {path}"
        )
    return 0


def _augmentation(name: str | None, graph: Graph) -> str:
    """Return the augmentation, or the default one.  Raises InputError for one of other networks."""
    kinds = DETECTOR_AUGMENTATIONS if graph.is_detector else AUGMENTATIONS
    if name is None:
        return DETECTOR_DEFAULT if graph.is_detector else Recipe().augmentation
    if name not in kinds:
        network = "a detector" if graph.is_detector else "a classifier"
        raise InputError(
            f"--augmentation {name}: {graph.name} is {network}; expected one of {', '.join(kinds)}"
        )
    return name


MEASURES = {"train_top1": "top-1", "train_map": "mAP"}


class Run(NamedTuple):
    """What training reads, and what it calls after every step."""

    network: Network
    dataset: Dataset
    images: PreparedImages
    test: PreparedImages
    recipe: Recipe
    engine: Engine
    generator: np.random.Generator
    on_step: OnStep


def classifier_trained(run: Run) -> tuple[Network, dict[str, float]]:
    """Return the trained network, and its top-1 accuracy.  Raises InputError without labels."""
    labels, tested = run.dataset.train.labels, run.dataset.test.labels
    if labels is None or tested is None:
        raise InputError(
            f"data {run.dataset.name!r} have no labels of training or test images; both are needed"
        )
    network = train(
        run.network,
        run.images,
        labels,
        run.recipe,
        engine=run.engine,
        generator=run.generator,
        on_step=run.on_step,
    )
    return network, {
        "train_top1": accuracy(network, run.images, labels, engine=run.engine).top1,
        "test_top1": accuracy(network, run.test, tested, engine=run.engine).top1,
    }


def detector_trained(run: Run) -> tuple[Network, dict[str, float]]:
    """Return the trained detector, and its mAP.  Raises InputError without annotations."""
    splits = run.dataset.train, run.dataset.test
    for name, split in zip(("training", "testing"), splits, strict=True):
        if not len(split):
            raise InputError(
                f"data {run.dataset.name!r} have no images for {name}; list some of each in "
                "ImageSets/Main, in trainval.txt and test.txt"
            )
    objects, tested = (
        objects_of(split.objects, images)
        for split, images in zip(splits, (run.images, run.test), strict=True)
    )
    network = train_detector(
        run.network,
        run.images,
        objects,
        run.recipe,
        engine=run.engine,
        generator=run.generator,
        on_step=run.on_step,
    )
    measured = {}
    for name, images, truth in (
        ("train_map", run.images, objects),
        ("test_map", run.test, tested),
    ):
        found = detections_of(network, images, engine=run.engine)
        measured[name] = precision(found, truth, run.dataset.object_classes).mean
    return network, measured


def _given_network(
    arguments: argparse.Namespace, dataset: Dataset
) -> tuple[Network, Preprocessing | None]:
    """Return the network of --weights.  Raises InputError if it is pruned, or does not fit."""
    if arguments.width is not None:
        raise InputError("--width is for random weights; omit it with --weights")
    network, preprocessing = find_network(arguments, dataset)
    if network.masks:
        raise InputError(
            f"--weights {arguments.weights} is pruned, and training would fill its zeros; expected "
            "a dense network"
        )
    return network, preprocessing


def _new_graph(
    arguments: argparse.Namespace, dataset: Dataset
) -> tuple[Graph, Preprocessing | None]:
    """Return the graph of --arch for the data.  Raises InputError for options of --weights."""
    for name in ("normalise", "mean", "std"):
        if getattr(arguments, name) is not None:
            raise InputError(f"--{name} describes the file of --weights; add that, or omit it")
    preprocessing, shape = None, dataset.image_shape
    if arguments.preprocess is not None:
        preprocessing = find_preprocessing(arguments.preprocess)
        shape = preprocessing.shape
    if shape is None:
        raise InputError(
            f"data {dataset.name!r} are pictures of any size; say how they are resized, as in "
            "--preprocess 36/32/bilinear"
        )
    return _graph(arguments, dataset, shape), preprocessing


def _graph(arguments: argparse.Namespace, dataset: Dataset, shape: tuple[int, int, int]) -> Graph:
    """Return the graph for the data's classes.  Raises InputError for a width that it lacks."""
    arch = arguments.arch or DEFAULT_ARCH
    row = find_architecture(arch)
    detects = row.graph().is_detector
    classes = len(dataset.object_classes) + 1 if detects else len(dataset.label_names)
    if arguments.width is None:
        return architecture(arch, classes=classes, input_shape=shape, shortcut=arguments.shortcut)
    if row.variants is not scaled and not detects:
        raise InputError(f"--width {arguments.width:g}: {arch} has no such factor; omit it")
    if not 0 < arguments.width <= MAX_WIDTH:
        raise InputError(f"--width {arguments.width:g}; expected above 0, at most {MAX_WIDTH}")
    return row.graph(
        classes=classes, input_shape=shape, shortcut=arguments.shortcut, width=arguments.width
    )
