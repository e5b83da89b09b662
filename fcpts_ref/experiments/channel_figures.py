"""Pictures of channel groups, with matplotlib (the extra "plot")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.figures import COLOURS, MARKERS, figure, literal, save
from fcpts_ref.graphs.channel_groups import ChannelGroups
from fcpts_ref.graphs.graph import Graph

Array = NDArray[Any]


def groups_picture(folder: Path, name: str, graph: Graph, groups: ChannelGroups) -> list[Path]:
    """Draw a row for each group, with a mark for each of its layers, and return the files.

    Raises InputError for a network without groups.
    """
    if not groups.groups:
        raise InputError(f"no channel of network {graph.name!r} can be removed; nothing to draw")
    layers = [n.name for n in graph.nodes if n.operation in ("convolution", "linear")]
    at = {layer: i for i, layer in enumerate(layers)}
    count = len(groups.groups)
    with figure(max(6, 2 + 0.2 * len(layers)), max(3, 1.6 + 0.22 * count)) as (made, axes):
        for row, group in enumerate(groups.groups):
            axes.plot(
                [at[layer] for layer in group.layers],
                [row] * len(group.layers),
                color=COLOURS[row % len(COLOURS)],
                marker=MARKERS[row % len(MARKERS)],
                markersize=5,
            )
        labels = [f"{literal(group.name)} ({group.channels})" for group in groups.groups]
        axes.set_yticks(range(count), labels, fontsize=7)
        axes.set_xticks(range(len(layers)), list(map(literal, layers)), rotation=90, fontsize=7)
        axes.invert_yaxis()
        axes.set(title=literal(f"{graph.name}: channel groups (channels), and their layers"))
        return save(made, folder, name)


def ratios_picture(
    folder: Path,
    name: str,
    graph: Graph,
    groups: ChannelGroups,
    ratios: Mapping[str, Array],
    sensitivity: Array | None,
) -> list[Path]:
    """Plot the kept share of each group, a line for each run, above the groups' sensitivities.

    ratios: (G,) by the run's label; sensitivity: (G,) from 0 to 1, or None to leave it out.
    Returns the files.
    """
    count, places = len(groups.groups), range(len(groups.groups))
    rows = 1 if sensitivity is None else 2
    with figure(max(7, 2.6 + 0.25 * count), 2.4 + 2 * rows, rows=rows) as (made, axes):
        top, bottom = np.atleast_1d(axes)[0], np.atleast_1d(axes)[-1]
        for i, (label, own) in enumerate(ratios.items()):
            top.plot(
                places,
                100 * own,
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=5,
                label=literal(label),
            )
        top.set_ylim(-3, 103)
        top.set(ylabel="channels kept, %", title=literal(f"{graph.name}: keep ratios by group"))
        top.legend(loc="best")
        if sensitivity is not None:
            bottom.bar(places, sensitivity, color=COLOURS[7])
            bottom.set_ylim(0, 1.03)
            bottom.set(ylabel="normalised sensitivity")
        names = [literal(group.name) for group in groups.groups]
        bottom.set_xticks(places, names, rotation=90, fontsize=7)
        bottom.margins(x=0.02)
        return save(made, folder, name)
