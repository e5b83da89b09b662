"""From names on the command line to networks and data."""

from __future__ import annotations

import argparse
from typing import Any

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.sources import EMBEDDED, SOURCES, find_dataset
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import inputs
from fcpts_ref.experiments.inputs import network_path
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import NORMALISATIONS, normalisation

__all__ = ["find_dataset", "find_network", "network_path"]

EMBEDDED_NETWORK = "resnet8-digits"


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """--weights, --arch, --normalise, --data, --home."""
    group = parser.add_argument_group("network and data")
    group.add_argument(
        "--weights",
        default=EMBEDDED_NETWORK,
        metavar="NAME|FILE",
        help="the trained network: a name (in models/ of the package or of --home), an .h5 file of "
        "this program, or with --arch a PyTorch or safetensors checkpoint (default: %(default)s)",
    )
    add_arch_options(group)
    add_data_option(group)
    add_home_option(group)


def add_arch_options(group: Any, *, required: bool = False) -> None:
    """--arch, --shortcut, --normalise: what a foreign checkpoint does not say itself."""
    group.add_argument(
        "--arch",
        metavar="NAME",
        required=required,
        help="what a foreign checkpoint holds: resnet20, resnet32, resnet56, any resnetN with "
        "N = 6n + 2, or plainN",
    )
    group.add_argument(
        "--shortcut", choices=("A", "B"), default="A", help="of a foreign resnet (default: A)"
    )
    group.add_argument(
        "--normalise",
        type=_normalisation,
        metavar="NAME|MEAN/STD",
        default="imagenet",
        help="mean and deviation a foreign checkpoint was trained with, unless it holds them: "
        f"{', '.join(NORMALISATIONS)}, or numbers such as 0.49,0.48,0.45/0.2023,0.1994,0.2010 "
        "(default: %(default)s, for three channels; use none for one)",
    )


def _normalisation(text: str) -> str:
    """The text itself, checked."""
    try:
        normalisation(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def add_data_option(group: Any) -> None:
    """--data."""
    group.add_argument(
        "--data",
        default=EMBEDDED,
        metavar="NAME|FILE",
        help="digits (in the package), cifar10 or cifar100 once prepared by 'fcpts-ref data', or "
        f"a file: {', '.join(f'{k}:PATH ({s.description})' for k, s in SOURCES.items())} (default: "
        "%(default)s)",
    )


def add_home_option(group: Any) -> None:
    """--home."""
    group.add_argument(
        "--home",
        metavar="FOLDER",
        help="where data and models are kept (default: $FCPTS_REF_HOME or the user's cache folder)",
    )


def find_network(arguments: argparse.Namespace, dataset: Dataset) -> Network:
    """The network that --weights and --arch name, checked against the data's shape and classes."""
    return inputs.find_network(
        arguments.weights,
        dataset,
        arch=arguments.arch,
        shortcut=arguments.shortcut,
        normalise=arguments.normalise,
        home=arguments.home,
    )
