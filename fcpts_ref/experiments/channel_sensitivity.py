"""How much a network depends on each group of its channels, and what runs have kept of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import Engine
from fcpts_ref.engines.predict import predict
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.evaluate import divergence
from fcpts_ref.experiments.summary import read_summary
from fcpts_ref.graphs.channel_groups import ChannelGroups, find_groups
from fcpts_ref.graphs.channel_removal import live_units, mask_channels
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.channels.space import importances
from fcpts_ref.storage.network_files import read_network

Array = NDArray[Any]


def sensitivities(
    network: Network,
    groups: ChannelGroups,
    images: Any,
    engine: Engine,
    on_batch: Callable[[int], None] | None = None,
) -> Array:
    """Return the normalised sensitivity of each group, (G,): 1 for the most sensitive.

    The sensitivity is the divergence of the outputs from those of the dense network when half of
    the units of this group alone are removed, those of least |gamma| in its first layer.  If no
    removal changes anything, all are 0.
    images: (n, C, H, W) in [0, 1].  on_batch: receives numbers of images, n (G + 1) in all.
    """
    dense = predict(network, images, engine=engine, on_batch=on_batch)
    found = []
    for group in groups.groups:
        b = importances(network.graph, network.parameters, group, "scale")[0]
        keep = np.ones(group.units, np.bool_)
        keep[np.argsort(b, kind="stable")[: group.units // 2]] = False
        pruned = mask_channels(network, {group.name: keep}, groups)
        logits = predict(pruned, images, engine=engine, on_batch=on_batch)
        found.append(divergence(dense, logits))
    highest = max(found, default=0.0)
    return np.array(found) / highest if highest > 0 else np.zeros(len(found))


def kept_ratios(folders: Sequence[Path], groups: ChannelGroups) -> dict[str, Array]:
    """Return the share of units that finished runs keep of each group, (G,), by the run's label.

    Raises InputError for a folder without a finished run, or a network with other groups.
    """
    found: dict[str, Array] = {}
    for folder in folders:
        summary = read_summary(folder)
        network, _ = read_network(folder / "network.h5")
        own = find_groups(network.graph)
        if _units(own) != _units(groups):
            raise InputError(
                f"{folder}: network {network.graph.name!r} has other channel groups than the one "
                "that is inspected; name runs of that network"
            )
        live = live_units(network, own)
        label = f"{summary.method}, {100 * summary.pinned.job.target:.4g} %"
        if label in found:
            label = f"{label} ({folder.name})"
        found[label] = np.array([live[group.name].mean() for group in groups.groups])
    return found


def _units(groups: ChannelGroups) -> dict[str, int]:
    return {group.name: group.units for group in groups.groups}
