"""fcpts-ref inspect: the contents of a network's file."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.cli.channel_ratios import add_ratio_options, show_ratios
from fcpts_ref.cli.channels import show_groups
from fcpts_ref.cli.sources import add_home_option, network_path
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.data.preprocessing import stored_preprocessing
from fcpts_ref.errors import InputError, counted, printable
from fcpts_ref.graphs.graph import macs
from fcpts_ref.graphs.network import Network, global_rate, sparsity_rates
from fcpts_ref.pruning.units import Unit, follows, make_unit
from fcpts_ref.storage.network_files import read_network
from fcpts_ref.storage.sparse_arrays import dense_bytes


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "inspect",
        help="show a network's architecture, shapes and sparsity rates",
        description="Show the architecture, and the shape and sparsity rate of every layer.",
    )
    parser.add_argument("file", metavar="FILE", help="a network's name, .h5 file or run folder")
    parser.add_argument(
        "--granularity",
        metavar="NAME",
        help="also say of each layer whether its zeros are whole units: filter, RxC or N:M",
    )
    add_home_option(parser)
    parser.add_argument(
        "--groups",
        action="store_true",
        help="show the channels that can only be removed together, as dsa removes them",
    )
    parser.add_argument(
        "--plot",
        metavar="FOLDER",
        help="with --groups: draw them as groups.png and .svg, or with --runs or --data as "
        "keep-ratios.png and .svg",
    )
    add_ratio_options(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the network, print its tables, and return the exit code."""
    if arguments.plot is not None and not arguments.groups:
        raise InputError("--plot draws the groups; give --groups too")
    if (arguments.runs or arguments.data is not None) and not arguments.groups:
        raise InputError("--runs and --data are about the groups; give --groups too")
    unit = None if arguments.granularity is None else make_unit(arguments.granularity)
    path = network_path(arguments.file, arguments.home)
    network, provenance = read_network(path)
    if arguments.runs or arguments.data is not None:
        return show_ratios(arguments, network, stored_preprocessing(provenance))
    if arguments.groups:
        return show_groups(network, as_json=arguments.json, plot=arguments.plot)
    size, dense = path.stat().st_size, dense_bytes(network)
    summary = describe(network, unit) | {
        "dense_bytes": dense,
        "stored_bytes": size,
        "provenance": provenance,
    }
    if arguments.json:
        print(json.dumps(summary, indent=2))
        return 0
    print(
        f"{printable(summary['network'])}: images {'x'.join(map(str, summary['input_shape']))}, "
        f"{counted(summary['classes'], 'class', 'classes')}, {summary['dtype']}\n"
        f"{counted(summary['weights'], 'prunable weight')}, {percent(summary['rate'])} of them "
        f"zero; {'pruned, with masks' if summary['masks'] else 'dense, without masks'}\n"
        f"{counted(size, 'byte')}, {_compared(size, dense)}\n"
    )
    rows = [
        (
            layer["name"].removesuffix(".weight"),
            "x".join(map(str, layer["shape"])),
            f"{layer['weights']:,}",
            f"{layer['macs']:,}",
            percent(layer["rate"]),
            *(("yes" if layer["whole_units"] else "no",) if unit else ()),
        )
        for layer in summary["layers"]
    ]
    header = ("layer", "shape", "weights", "MACs/image", "rate", *((unit.name,) if unit else ()))
    print(table(header, rows, left=2))
    if summary["normalisation"]:
        mean, std = (
            ", ".join(f"{number:.4g}" for number in summary["normalisation"][key])
            for key in ("mean", "std")
        )
        print(f"\nimages are normalised by mean {mean} and standard deviation {std}")
    prepared = stored_preprocessing(provenance)
    if prepared is not None:
        print(f"pictures are prepared by {prepared}")
    if provenance.get("architecture"):
        print(f"\nrecognised as {printable(str(provenance['architecture'])[:200])}")
    if provenance.get("made_by"):
        print(f"\nmade by {printable(str(provenance['made_by'])[:200])}")
    return 0


def describe(network: Network, unit: Unit | None = None) -> dict[str, Any]:
    """Return the contents of the tables as plain data.

    unit: also say of each layer whether its zeros are whole units.
    """
    rates, costs = sparsity_rates(network), macs(network.graph)
    whole = {} if unit is None else {n: follows(unit, _kept(network, n)) for n in network.sizes}
    return {
        "network": network.graph.name,
        "input_shape": list(network.graph.input_shape),
        "classes": network.graph.classes,
        "dtype": str(network.dtype),
        "weights": sum(network.sizes.values()),
        "rate": global_rate(network),
        "masks": bool(network.masks),
        "normalisation": {
            name.rpartition(".")[2]: numbers.tolist()
            for name, numbers in network.buffers.items()
            if name.startswith("normalise.")
        },
        "layers": [
            {
                "name": name,
                "shape": list(network.parameters[name].shape),
                "weights": size,
                "macs": costs[name],
                "rate": rates[name],
                **({"whole_units": whole[name]} if whole else {}),
            }
            for name, size in network.sizes.items()
        ],
    }


def _kept(network: Network, name: str) -> NDArray[np.bool_]:
    """Return a layer's mask; of a network without masks, its weights that are not 0."""
    return network.masks[name] if name in network.masks else network.parameters[name] != 0


def _compared(size: int, dense: int) -> str:
    """Compare the bytes of a file with those of its network's arrays."""
    return f"{percent(size / dense, 1)} of its arrays with all zeros" if dense else "without arrays"
