"""What runs keep of each channel group, beside its sensitivity: ``inspect --groups --runs``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.cli.options import add_engine_options
from fcpts_ref.cli.progress import compile_notice, counting_bar
from fcpts_ref.cli.sources import find_dataset
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.data.preprocessing import Preprocessing
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError, printable
from fcpts_ref.experiments.channel_figures import ratios_picture
from fcpts_ref.experiments.channel_sensitivity import kept_ratios, sensitivities
from fcpts_ref.experiments.figures import require_plot
from fcpts_ref.experiments.networks import check_fit
from fcpts_ref.graphs.channel_groups import ChannelGroups, find_groups
from fcpts_ref.graphs.network import Network

IMAGES = 512
"""Training images that the sensitivities are measured on, the first ones."""
NAME_WIDTH = 28


def add_ratio_options(parser: argparse.ArgumentParser) -> None:
    """Add --runs and --data, and the options of the engine that --data needs."""
    parser.add_argument(
        "--runs",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="with --groups: also show the share of each group that these runs keep",
    )
    parser.add_argument(
        "--data",
        metavar="NAME|PATH",
        help=f"with --groups: also show how sensitive the network is to each group, on {IMAGES} "
        "training images",
    )
    add_engine_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def show_ratios(
    arguments: argparse.Namespace, network: Network, preprocessing: Preprocessing | None
) -> int:
    """Print the kept shares and sensitivities, draw them on request, and return the exit code."""
    groups = find_groups(network.graph)
    if not groups.groups:
        raise InputError(f"no channel of network {network.graph.name!r} can be removed")
    if arguments.plot is not None:
        require_plot()
    ratios = kept_ratios([Path(folder) for folder in arguments.runs], groups)
    measured = (
        None if arguments.data is None else _measured(arguments, network, groups, preprocessing)
    )
    if arguments.plot is not None:
        folder = Path(arguments.plot)
        folder.mkdir(parents=True, exist_ok=True)
        ratios_picture(folder, "keep-ratios", network.graph, groups, ratios, measured)
    if arguments.json:
        print(json.dumps(_rows(groups, ratios, measured), indent=2))
        return 0
    _print(groups, ratios, measured)
    return 0


def _measured(
    arguments: argparse.Namespace,
    network: Network,
    groups: ChannelGroups,
    preprocessing: Preprocessing | None,
) -> Any:
    dataset = find_dataset(arguments.data, arguments.home)
    check_fit(arguments.file, network, dataset, preprocessing)
    prepared = dataset.prepare(
        dataset.train, network.dtype, preprocessing, threads=arguments.threads
    )
    images = prepared[np.arange(min(IMAGES, len(prepared)))]
    engine = make_engine(network.graph, arguments.engine, threads=arguments.threads)
    total = len(images) * (len(groups.groups) + 1)
    with (
        compile_notice(quiet=arguments.quiet),
        counting_bar("sensitivities", total, quiet=arguments.quiet) as done,
    ):
        return sensitivities(network, groups, images, engine, done)


def _rows(groups: ChannelGroups, ratios: dict[str, Any], measured: Any) -> list[dict[str, Any]]:
    return [
        {
            "group": group.name,
            "units": group.units,
            "sensitivity": None if measured is None else float(measured[i]),
            "kept": {label: float(own[i]) for label, own in ratios.items()},
        }
        for i, group in enumerate(groups.groups)
    ]


def _print(groups: ChannelGroups, ratios: dict[str, Any], measured: Any) -> None:
    """Print a column for each run, by number, and the runs' labels below."""
    numbers = [str(number) for number in range(1, len(ratios) + 1)]
    sensitive = () if measured is None else ("sensitivity",)
    rows = [
        (
            row["group"][:NAME_WIDTH],
            str(row["units"]),
            *(() if measured is None else (f"{row['sensitivity']:.3f}",)),
            *(percent(share, 1) for share in row["kept"].values()),
        )
        for row in _rows(groups, ratios, measured)
    ]
    print(table(("group", "units", *sensitive, *numbers), rows))
    for number, label in zip(numbers, ratios, strict=True):
        print(f"{number}: kept by {printable(label)}")
    if measured is not None:
        print("sensitivity: divergence with half of the group removed, over the largest of them")
