"""Pictures of channel groups, with matplotlib (the extra "plot")."""

from __future__ import annotations

from pathlib import Path

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.figures import COLOURS, MARKERS, figure, literal, save
from fcpts_ref.graphs.channel_groups import ChannelGroups
from fcpts_ref.graphs.graph import Graph


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
