"""fcpts-ref train: train a dense network."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.cli.options import add_engine_options, add_seed_option
from fcpts_ref.cli.progress import step_bar
from fcpts_ref.cli.sources import add_data_option, add_home_option, find_dataset
from fcpts_ref.cli.tables import percent
from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.data.preprocessing import as_provenance
from fcpts_ref.data.preprocessing import preprocessing as find_preprocessing
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.experiments.training import Recipe, accuracy, channel_statistics, train
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.storage.files import check_writable
from fcpts_ref.storage.network_files import write_network

EPILOG = """\
example:
  fcpts-ref train --arch resnet8 --data digits --out resnet8-digits.h5
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    default = Recipe()
    parser = subparsers.add_parser(
        "train",
        help="train a dense network on the training images of a data set",
        description="Train a dense network on the training images of a data set, with\n"
        "labels.  SGD with Nesterov momentum, linear warm-up and cosine schedule.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("network and data")
    group.add_argument(
        "--arch", default="resnet8", metavar="NAME", help="such as resnet20 (default: resnet8)"
    )
    group.add_argument(
        "--shortcut",
        choices=("A", "B"),
        help="of CIFAR's resnetN: zero padding or 1x1 convolutions (default: A)",
    )
    add_data_option(group)
    group.add_argument(
        "--preprocess",
        metavar="NAME|NUMBERS",
        help="how pictures are resized and cropped, as in sparsify",
    )
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
        choices=AUGMENTATIONS,
        default=default.augmentation,
        help=f"default: {default.augmentation}",
    )
    add_seed_option(add_engine_options(parser))
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="FILE", help="default: ARCH-DATA.h5")
    group.add_argument("--json", action="store_true", help="print the result as JSON")
    group.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, write the network, print its accuracy, and return the exit code."""
    dataset = find_dataset(arguments.data, arguments.home)
    preprocessing, threads = None, arguments.threads
    shape = dataset.image_shape
    if arguments.preprocess is not None:
        preprocessing = find_preprocessing(arguments.preprocess)
        shape = preprocessing.shape
    if shape is None:
        raise InputError(
            f"data {dataset.name!r} are pictures of any size; say how they are resized, as in "
            "--preprocess 36/32/bilinear"
        )
    graph = architecture(
        arguments.arch,
        classes=len(dataset.label_names),
        input_shape=shape,
        shortcut=arguments.shortcut,
    )
    recipe = Recipe(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        momentum=arguments.momentum,
        weight_decay=arguments.weight_decay,
        warmup_epochs=arguments.warmup_epochs,
        augmentation=arguments.augmentation,
    )
    path = Path(arguments.out or f"{arguments.arch}-{dataset.name}.h5")
    check_writable(path)
    generator = np.random.default_rng(arguments.seed)
    images = dataset.prepare(dataset.train, preprocessing=preprocessing, threads=threads)
    mean, std = channel_statistics(images)
    network = initialise(graph, generator, mean=mean, std=std)
    engine = make_engine(graph, arguments.engine, threads=arguments.threads)
    labels = dataset.train.labels
    if labels is None or dataset.test.labels is None:
        raise InputError(
            f"data {dataset.name!r} have no labels of training or test images; both are needed"
        )
    with step_bar(f"train {graph.name}", quiet=arguments.quiet) as on_step:
        network = train(
            network, images, labels, recipe, engine=engine, generator=generator, on_step=on_step
        )
    test = dataset.prepare(dataset.test, preprocessing=preprocessing, threads=threads)
    result = {
        "network": graph.name,
        "data": dataset.name,
        "recipe": asdict(recipe),
        "seed": arguments.seed,
        "train_top1": accuracy(network, images, labels, engine=engine).top1,
        "test_top1": accuracy(network, test, dataset.test.labels, engine=engine).top1,
    }
    provenance = {"made_by": "fcpts-ref train", **result, **as_provenance(preprocessing)}
    write_network(path, network, provenance)
    if arguments.json:
        print(json.dumps({**result, "file": str(path), "versions": versions()}, indent=2))
    else:
        print(
            f"{graph.name} on {dataset.name}: top-1 {percent(result['train_top1'])} on "
            f"{counted(len(images), 'training image')}, {percent(result['test_top1'])} on "
            f"{counted(len(test), 'test image')}\nwritten to {path}"
        )
    return 0
