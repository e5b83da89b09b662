"""Channel groups in ``fcpts-ref inspect --groups``, and ``fcpts-ref models remove-channels``."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.cli.options import add_engine_options
from fcpts_ref.cli.progress import compile_notice, counting_bar
from fcpts_ref.cli.sources import add_home_option, network_path
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.data.preprocessing import as_provenance, stored_preprocessing
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict_outputs
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.channel_figures import groups_picture
from fcpts_ref.experiments.figures import require_plot
from fcpts_ref.graphs.channel_costs import channel_costs
from fcpts_ref.graphs.channel_groups import Group, find_groups
from fcpts_ref.graphs.channel_removal import live_units, remove_channels
from fcpts_ref.graphs.graph import Graph, macs
from fcpts_ref.graphs.network import Network
from fcpts_ref.spec.channel_budget import channel_cost
from fcpts_ref.storage.network_files import read_network, write_network

TIMED_IMAGES, REPETITIONS = 64, 5


def describe_groups(network: Network) -> dict[str, Any]:
    """Return the groups of a network as plain data.

    macs: the share of all multiply-accumulates that a group takes part in.
    """
    groups = find_groups(network.graph)
    costs, live = channel_costs(network.graph, groups), live_units(network, groups)
    rows = []
    for i, group in enumerate(groups.groups):
        without = np.ones(len(groups.groups))
        without[i] = 0
        rows.append(
            {
                "group": group.name,
                "layers": list(group.layers),
                "channels": group.channels,
                "units": group.units,
                "kept": int(live[group.name].sum()),
                "macs": 1 - channel_cost(without, costs) / costs.whole,
            }
        )
    return {
        "network": network.graph.name,
        "groups": rows,
        "refused": [{"layer": n, "reason": why} for n, why in groups.refused.items()],
    }


def show_groups(network: Network, *, as_json: bool, plot: str | None) -> int:
    """Print the groups, draw them if ``plot`` names a folder, and return the exit code."""
    if plot is not None:
        require_plot()
        Path(plot).mkdir(parents=True, exist_ok=True)
        groups_picture(Path(plot), "groups", network.graph, find_groups(network.graph))
    found = describe_groups(network)
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    rows = [
        (
            _short(row["group"], 28),
            _members(row["layers"]),
            str(row["channels"]),
            str(row["units"]),
            str(row["kept"]),
            percent(row["macs"], 1),
        )
        for row in found["groups"]
    ]
    if rows:
        print(table(("group", "layers", "channels", "units", "kept", "MACs"), rows, left=2))
        print("\nunits are kept or removed as a whole; MACs: the share that a group takes part in")
    else:
        print("no channel of this network can be removed")
    if found["refused"]:
        print("\nkept, because")
        for reason, layers in _by_reason(found["refused"]).items():
            print(f"  {_short(', '.join(layers), 76)}\n    {_short(reason, 74)}")
    return 0


def _members(layers: list[str]) -> str:
    return "alone" if len(layers) == 1 else f"{len(layers)} layers"


def _by_reason(refused: list[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in refused:
        found.setdefault(one["reason"], []).append(one["layer"])
    return found


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def add_removal_parser(actions: Any) -> None:
    """Add the command ``remove-channels`` to ``actions``."""
    text = "write the smaller dense network without the channels that pruning set to zero"
    parser = actions.add_parser(
        "remove-channels",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Channels are removed where their filters, "
        "biases and batch norm are exactly 0, in whole groups ('fcpts-ref inspect --groups'). "
        "The network computes the same outputs; 'models export' writes it for other programs.",
    )
    parser.add_argument("network", metavar="NAME|FILE", help="a network's name, .h5 file or run")
    parser.add_argument("out", metavar="OUT", help="the .h5 file to write")
    add_home_option(parser)
    add_engine_options(parser)
    parser.add_argument(
        "--no-time", action="store_true", help="do not measure the time of both networks"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run_removal)


def run_removal(arguments: argparse.Namespace) -> int:
    """Write the smaller network, print both sizes, and return the exit code."""
    source, out = network_path(arguments.network, arguments.home), Path(arguments.out)
    if out.suffix != ".h5":
        raise InputError(f"{out}: expected the ending .h5; 'models export' writes other formats")
    network, provenance = read_network(source)
    groups = find_groups(network.graph)
    keep = live_units(network, groups)
    if all(mask.all() for mask in keep.values()):
        raise InputError(
            f"{arguments.network} has no channel to remove: none has only zeros in its filters, "
            "biases and batch norm; prune channels first, as by --method dsa"
        )
    smaller = remove_channels(network, keep, groups)
    made = {"made_by": "fcpts-ref models remove-channels", "source": source.name}
    write_network(out, smaller, made | as_provenance(stored_preprocessing(provenance)))
    seconds: tuple[float | None, float | None] = (None, None)
    if not arguments.no_time:
        seconds = _seconds(network, arguments), _seconds(smaller, arguments)
    rows = [
        _row("dense", network, network.graph, seconds[0]),
        _row("removed", smaller, smaller.graph, seconds[1]),
    ]
    kept = {group.name: _kept(group, keep[group.name]) for group in groups.groups}
    if arguments.json:
        print(json.dumps({"file": str(out), "networks": rows, "kept": kept}, indent=2))
        return 0
    print(table(("network", "weights", "bytes", "MACs/image", "ms/image"), list(map(_shown, rows))))
    share = rows[1]["macs"] / rows[0]["macs"]
    print(f"\n{percent(share)} of the multiplications remain; written to {out}")
    return 0


def _kept(group: Group, mask: Any) -> list[int]:
    return [int(mask.sum()) * group.channels // group.units, group.channels]


def _row(name: str, network: Network, graph: Graph, seconds: float | None) -> dict[str, Any]:
    arrays = (*network.parameters.values(), *network.buffers.values())
    return {
        "network": name,
        "weights": sum(network.sizes.values()),
        "bytes": sum(array.nbytes for array in arrays),
        "macs": sum(macs(graph).values()),
        "seconds": seconds,
    }


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    time_ = "" if row["seconds"] is None else f"{1000 * row['seconds']:.3f}"
    return (row["network"], f"{row['weights']:,}", f"{row['bytes']:,}", f"{row['macs']:,}", time_)


def _seconds(network: Network, arguments: argparse.Namespace) -> float:
    """Return the least time for an image over some repetitions, without masks or sparsity."""
    dense = Network(network.graph, network.parameters, network.buffers)
    engine = make_engine(dense.graph, arguments.engine, threads=arguments.threads)
    shape = (TIMED_IMAGES, *dense.graph.input_shape)
    images = np.random.default_rng(0).random(shape).astype(dense.dtype)
    total, times = (REPETITIONS + 1) * TIMED_IMAGES, []
    with (
        compile_notice(quiet=arguments.quiet),
        counting_bar("measure", total, quiet=arguments.quiet) as done,
    ):
        for _ in range(REPETITIONS + 1):  # the first compiles
            begun = time.perf_counter()
            predict_outputs(dense, images, engine=engine, on_batch=done)
            times.append(time.perf_counter() - begun)
    return min(times[1:]) / TIMED_IMAGES
