"""Options that name networks and data, and the values they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.locations import home_folder
from fcpts_ref.data.preprocessing import Preprocessing
from fcpts_ref.data.sources import EMBEDDED, find_dataset
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import networks
from fcpts_ref.experiments.networks import network_path
from fcpts_ref.experiments.options import job_options
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import normalisation

__all__ = ["find_dataset", "find_network", "network_path"]

EMBEDDED_NETWORK = "resnet8-digits"


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add --weights, --arch, --shortcut, --normalise, --data and --home."""
    group = parser.add_argument_group("network and data")
    group.add_argument(
        "--weights",
        default=EMBEDDED_NETWORK,
        metavar="NAME|FILE",
        help=_help("network"),
    )
    add_arch_options(group)
    add_data_option(group)
    add_preprocess_option(group)
    add_home_option(group)


def add_arch_options(group: Any, *, arch: str | None = None, shortcut: str | None = None) -> None:
    """Add --arch, --shortcut and --normalise, which describe another program's checkpoint.

    arch, shortcut: other texts of help, for a command where they do more.
    """
    group.add_argument("--arch", metavar="NAME", help=arch or _help("arch"))
    group.add_argument("--shortcut", choices=("A", "B"), help=shortcut or _help("shortcut"))
    group.add_argument(
        "--normalise",
        type=_normalisation,
        metavar="NAME|MEAN/STD",
        help=_help("normalise"),
    )
    for name in ("mean", "std"):
        group.add_argument(f"--{name}", metavar="NUMBERS", help=_help(name))


def _help(field: str) -> str:
    """Return the help of the option for a field of a job, the same in every command."""
    return job_options()[field].shown.help.replace("%", "%%")


def _normalisation(text: str) -> str:
    """Check the text and return it, for ``argparse``."""
    try:
        normalisation(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def add_data_option(group: Any) -> None:
    """Add --data."""
    group.add_argument(
        "--data",
        default=EMBEDDED,
        metavar="NAME|PATH",
        help=_help("data"),
    )


def add_preprocess_option(group: Any) -> None:
    """Add --preprocess."""
    group.add_argument("--preprocess", metavar="NAME|NUMBERS", help=_help("preprocess"))


def add_home_option(group: Any) -> None:
    """Add --home."""
    group.add_argument(
        "--home",
        metavar="FOLDER",
        help=_help("home"),
    )


def output_path(arguments: argparse.Namespace, name: str) -> Path:
    """Return where an imported network goes: --out, or models/NAME.h5 in --home."""
    name = arguments.name or name
    return Path(arguments.out or home_folder(arguments.home) / "models" / f"{name}.h5")


def find_network(
    arguments: argparse.Namespace, dataset: Dataset
) -> tuple[Network, Preprocessing | None]:
    """Return the network that the options name, and the preprocessing of its pictures.

    Raises InputError if it does not fit the data.
    """
    return networks.find_network(
        arguments.weights,
        dataset,
        arch=arguments.arch,
        shortcut=arguments.shortcut,
        normalise=arguments.normalise,
        mean=arguments.mean,
        std=arguments.std,
        preprocess=arguments.preprocess,
        home=arguments.home,
    )
