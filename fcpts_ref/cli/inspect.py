"""fcpts-ref inspect: what is in a network's file."""

from __future__ import annotations

import argparse
import json
from typing import Any

from fcpts_ref.cli.sources import add_home_option, network_path
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.graphs.graph import macs
from fcpts_ref.graphs.network import Network, global_rate, sparsity_rates
from fcpts_ref.storage.network_files import read_network


def add_parser(subparsers: Any) -> None:
    """Mounts the command."""
    parser = subparsers.add_parser(
        "inspect",
        help="what is in a network's file: architecture, shapes, rates",
        description="Architecture, per-layer shapes and sparsity rates of a network's file.",
    )
    parser.add_argument("file", metavar="FILE", help="a network's name, .h5 file or run folder")
    add_home_option(parser)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads and prints."""
    network, provenance = read_network(network_path(arguments.file, arguments.home))
    summary = describe(network) | {"provenance": provenance}
    if arguments.json:
        print(json.dumps(summary, indent=2))
        return 0
    print(
        f"{summary['network']}: images {'x'.join(map(str, summary['input_shape']))}, "
        f"{summary['classes']} classes, {summary['dtype']}\n"
        f"{summary['weights']:,} prunable weights, {percent(summary['rate'])} of them zero; "
        f"{'pruned, with masks' if summary['masks'] else 'dense, without masks'}\n"
    )
    rows = [
        (
            layer["name"].removesuffix(".weight"),
            "x".join(map(str, layer["shape"])),
            f"{layer['weights']:,}",
            f"{layer['macs']:,}",
            percent(layer["rate"]),
        )
        for layer in summary["layers"]
    ]
    print(table(("layer", "shape", "weights", "MACs/image", "rate"), rows, left=2))
    if summary["normalisation"]:
        mean, std = (
            ", ".join(f"{number:.4g}" for number in summary["normalisation"][key])
            for key in ("mean", "std")
        )
        print(f"\nimages are normalised by mean {mean} and deviation {std}")
    if provenance.get("made_by"):
        print(f"\nmade by {provenance['made_by']}")
    return 0


def describe(network: Network) -> dict[str, Any]:
    """What the tables show, as plain data."""
    rates, costs = sparsity_rates(network), macs(network.graph)
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
            }
            for name, size in network.sizes.items()
        ],
    }
