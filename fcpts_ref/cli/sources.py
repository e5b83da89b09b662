"""From names on the command line to networks and data."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.data.dataset import Dataset, read_dataset
from fcpts_ref.data.locations import home_folder
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import (
    NORMALISATIONS,
    import_network,
    normalisation,
    strip_endings,
)
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.network_files import read_network

EMBEDDED_DATA = "digits"
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
        default=EMBEDDED_DATA,
        metavar="NAME|FILE",
        help="digits (in the package), cifar10 or cifar100 once prepared by 'fcpts-ref data', or "
        "an .h5 file (default: %(default)s)",
    )


def add_home_option(group: Any) -> None:
    """--home."""
    group.add_argument(
        "--home",
        metavar="FOLDER",
        help="where data and models are kept (default: $FCPTS_REF_HOME or the user's cache folder)",
    )


def find_dataset(name: str, home: str | None) -> Dataset:
    """The data set of a name or a file.  Raises InputError if there is none."""
    if name.endswith((".h5", ".hdf5")):
        return read_dataset(name)
    if name == EMBEDDED_DATA:
        return read_dataset(resource_path(f"{name}.h5"))
    path = home_folder(home) / "data" / f"{name}.h5"
    if not path.is_file():
        raise InputError(
            f"there is no data set {name!r} in {path.parent}; make it with 'fcpts-ref data prepare "
            f"{name} --from ARCHIVE', or give the path of an .h5 file"
        )
    return read_dataset(path)


def find_network(arguments: argparse.Namespace, dataset: Dataset) -> Network:
    """The network that --weights and --arch name, checked against the data's shape and classes."""
    network = _named_network(arguments, dataset)
    graph = network.graph
    if graph.input_shape != dataset.image_shape or graph.classes != len(dataset.label_names):
        raise InputError(
            f"network {graph.name!r} reads images {graph.input_shape} in {graph.classes} classes; "
            f"data {dataset.name!r} has {dataset.image_shape} in {len(dataset.label_names)}: give "
            "matching --weights and --data"
        )
    return network


def _named_network(arguments: argparse.Namespace, dataset: Dataset) -> Network:
    name = arguments.weights
    if arguments.arch and name.endswith((".h5", ".hdf5")):
        raise InputError(
            f"--arch {arguments.arch} is for foreign checkpoints; {name} is a file of "
            "this program: omit --arch"
        )
    if arguments.arch:
        graph = architecture(
            arguments.arch,
            classes=len(dataset.label_names),
            input_shape=dataset.image_shape,
            shortcut=arguments.shortcut,
        )
        mean, std = normalisation(arguments.normalise)
        return import_network(name, graph, mean=mean, std=std)[0]
    return read_network(network_path(name, arguments.home, has_arch_option=True))[0]


def network_path(name: str, home: str | None, *, has_arch_option: bool = False) -> Path:
    """The file of a network: its path, a run's folder, or a name in the package or in --home.

    A network that was imported from model.pth.tar is found by that name, too.
    """
    if name.lower().endswith((".h5", ".hdf5")):
        return Path(name)
    if (Path(name) / "network.h5").is_file():
        return Path(name) / "network.h5"
    folder = home_folder(home) / "models"
    for known in dict.fromkeys((name, strip_endings(name))):
        path = folder / f"{known}.h5"
        if path.is_file():
            return path
        with contextlib.suppress(InputError):
            return resource_path(f"{known}.h5")
    if strip_endings(name) != name:
        remedy = f"import it by 'fcpts-ref models import {name} --arch ARCHITECTURE'"
        if has_arch_option:
            remedy = f"say what it holds with --arch, or {remedy}"
        raise InputError(f"{name} is another program's checkpoint: {remedy}")
    raise InputError(
        f"there is no network {name!r} in the package or in {folder}; give a name, or the path of "
        "an .h5 file"
    )
