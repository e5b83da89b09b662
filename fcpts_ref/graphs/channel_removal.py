"""Removal of channels: a smaller dense network that computes what a masked one does.

A masked channel is 0 *after* batch norm, as the scale and the shift of its batch norm are 0 too,
and so are the filters and biases that make it.  What reads it reads zeros, so nothing changes when
the channel is removed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_groups import ChannelGroups, find_groups
from fcpts_ref.graphs.channel_rules import mixes_inputs
from fcpts_ref.graphs.graph import Graph, Node, Shape
from fcpts_ref.graphs.network import Network
from fcpts_ref.layers.axes import array_axis

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Keep = Mapping[str, Mask]
"""Which units of a group stay, (units,), by the group's name; groups that are left out stay."""
MIDDLE = 1
"""The axis of a weight that its input channels lie on; its outputs are the first."""


def kept_channels(graph: Graph, keep: Keep, groups: ChannelGroups | None = None) -> dict[str, Mask]:
    """Return which channels of every value stay, (C,) by the value's name.

    Raises InputError for an unknown group, a mask of another shape, or a group without a channel.
    """
    groups = groups or find_groups(graph)
    kept = {name: np.ones(shape[:1], np.bool_) for name, shape in graph.shapes.items()}
    for name, mask in keep.items():
        group = groups[name]
        if mask.shape != (group.units,) or mask.dtype != np.bool_:
            raise InputError(
                f"the mask of group {name!r} has shape {mask.shape} and dtype {mask.dtype}; "
                f"expected truth values of shape ({group.units},)"
            )
        if not mask.any():
            raise InputError(f"group {name!r} would lose all its channels; keep at least one")
        for value, slots in group.slots.items():
            kept[value][slots[~mask].ravel()] = False
    return kept


def mask_channels(network: Network, keep: Keep, groups: ChannelGroups | None = None) -> Network:
    """Return the network with the channels of removed units at 0, and masks of its weights.

    Filters, biases and batch norm's scale and shift of removed channels become 0, and the weights
    that read them.  ``masks`` marks the weights that ``remove_channels`` keeps.
    """
    kept = kept_channels(network.graph, keep, groups)
    parameters, masks = dict(network.parameters), {}
    for node in network.graph.nodes:
        for name, stays in _axes_of(node, kept, network.graph.shapes).items():
            if name in parameters:
                mask = _outer(stays, parameters[name].shape)
                parameters[name] = np.where(mask, parameters[name], network.dtype.type(0))
                if name in network.graph.prunable:
                    masks[name] = mask
    return Network(network.graph, parameters, network.buffers, masks)


def remove_channels(network: Network, keep: Keep, groups: ChannelGroups | None = None) -> Network:
    """Return the smaller dense network without the removed units.

    Its outputs are those of ``mask_channels``, up to rounding.  Names of nodes and arrays stay.
    Raises InputError as ``kept_channels`` does.
    """
    graph = network.graph
    kept = kept_channels(graph, keep, groups)
    arrays = {**network.parameters, **network.buffers}
    for node in graph.nodes:
        for name, stays in _axes_of(node, kept, network.graph.shapes).items():
            arrays[name] = np.ascontiguousarray(arrays[name][np.ix_(*stays)])
    nodes = tuple(_smaller(graph, node, kept) for node in graph.nodes)
    smaller = Graph(graph.name, graph.inputs, nodes, graph.outputs)
    return Network(
        smaller,
        {name: arrays[name] for name in smaller.parameter_shapes},
        {name: arrays[name] for name in smaller.buffer_shapes},
    )


def insert_channels(
    network: Network, smaller: Network, keep: Keep, groups: ChannelGroups | None = None
) -> Network:
    """Return the masked network that ``smaller`` was made of: the inverse of ``remove_channels``.

    network: the dense one, which gives the shapes and the running statistics of removed channels.
    """
    kept = kept_channels(network.graph, keep, groups)
    masked = mask_channels(network, keep, groups)
    arrays = {**masked.parameters, **masked.buffers}
    found = {**smaller.parameters, **smaller.buffers}
    axes = {
        n: s
        for node in network.graph.nodes
        for n, s in _axes_of(node, kept, network.graph.shapes).items()
    }
    for name, array in found.items():
        whole = arrays[name].copy()
        whole[np.ix_(*axes[name]) if name in axes else ...] = array
        arrays[name] = whole
    return Network(
        network.graph,
        {name: arrays[name] for name in network.graph.parameter_shapes},
        {name: arrays[name] for name in network.graph.buffer_shapes},
        masked.masks,
    )


def live_units(network: Network, groups: ChannelGroups | None = None) -> dict[str, Mask]:
    """Return which units of each group are not 0 everywhere, by the group's name.

    A unit can be removed if its filters and biases, and the scale and shift of its batch norm, are
    exactly 0.  Of a group without any other unit, the first stays.
    """
    keep = {}
    for group in (groups or find_groups(network.graph)).groups:
        live = np.zeros(group.units, np.bool_)
        for node in network.graph.nodes:
            for short in node.row.stored(node.attributes) if node.name in group.slots else ():
                array = network.parameters.get(f"{node.name}.{short}")
                if array is not None and node.operation != "multiply_parameter":
                    rows = (array != 0).reshape(len(array), -1).any(axis=1)
                    live |= rows[group.slots[node.name]].any(axis=1)
        live[0] |= not live.any()
        keep[group.name] = live
    return keep


def _axes_of(
    node: Node, kept: Mapping[str, Mask], shapes: Mapping[str, Shape]
) -> dict[str, list[Mask]]:
    """Which entries stay along each axis of the arrays that channels index, by full name."""
    own = kept[node.name]
    found: dict[str, list[Mask]] = {}
    for short, stored in node.row.stored(node.attributes).items():
        axes = [np.ones(side, np.bool_) for side in stored.shape]
        indexed = node.operation in ("batch_norm", "convolution") or (
            node.operation in ("add_parameter", "multiply_parameter")
            and stored.shape[0] == len(own)
        )
        indexed |= node.operation == "linear" and len(shapes[node.name]) == 1
        if indexed:
            axes[0] = own
            if short == "weight" and mixes_inputs(node):
                axes[MIDDLE] = kept[node.inputs[0]]
            found[f"{node.name}.{short}"] = axes
    return found


def _outer(stays: list[Mask], shape: Shape) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask[np.ix_(*stays)] = True
    return mask


def _smaller(graph: Graph, node: Node, kept: Mapping[str, Mask]) -> Node:
    """The node with the sizes that its channels leave."""
    a = dict(node.attributes)
    own, read = kept[node.name], kept[node.inputs[0]]
    outputs, inputs = int(own.sum()), int(read.sum())
    if node.operation == "convolution":
        groups = a["groups"] if a["groups"] == 1 else a["groups"] * inputs // len(read)
        a |= {"in_channels": inputs, "out_channels": outputs, "groups": groups}
    elif node.operation == "linear" and len(graph.shapes[node.inputs[0]]) == 1:
        a |= {"in_features": inputs, "out_features": outputs}
    elif node.operation == "batch_norm":
        a["channels"] = outputs
    elif node.operation == "zero_pad":
        a |= {
            "before": int(own[: a["before"]].sum()),
            "after": int(own[len(own) - a["after"] :].sum()),
        }
    elif node.operation == "pad":
        pads, half = list(a["pads"]), len(a["pads"]) // 2
        pads[0], pads[half] = (int(own[: pads[0]].sum()), int(own[len(own) - pads[half] :].sum()))
        a["pads"] = tuple(pads)
    elif node.operation == "reshape":
        a["shape"] = (outputs, *graph.shapes[node.name][1:])
    elif node.operation in ("add_parameter", "multiply_parameter"):
        if a["shape"][0] == len(own) and len(a["shape"]) == len(graph.shapes[node.name]):
            a["shape"] = (outputs, *a["shape"][1:])
    elif node.operation == "slice":
        a |= _sliced(graph, node, read)
    return Node(node.name, node.operation, node.inputs, a)


def _sliced(graph: Graph, node: Node, read: Mask) -> dict[str, int]:
    """The start and the stop of a slice of channels that remain; none for another axis."""
    shape, a = graph.shapes[node.inputs[0]], node.attributes
    if array_axis(a["axis"], len(shape)) != 1:
        return {}
    start, stop, _ = slice(a["start"], a["stop"], a["step"]).indices(shape[0])
    return {"start": int(read[:start].sum()), "stop": int(read[:stop].sum())}
