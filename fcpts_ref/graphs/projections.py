"""Queries, keys and values as one matrix, as networks store them, or as three.

A linear layer whose value is only read in slices is the same function as one linear layer for each
slice.  Which of the two a network is decides how many layers are pruned: one threshold and one rate
for all rows, or one for each part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.network import Network

Array = NDArray[Any]
Projections = Literal["joint", "separate"]
"""How the queries, keys and values of an attention count: as one matrix or as three."""


def split_projections(network: Network) -> Network:
    """Replace linear layers that are read in slices by a layer for each slice.

    Layer ``in_proj`` with the slices ``query``, ``key`` and ``value`` becomes ``in_proj.query``,
    ``in_proj.key`` and ``in_proj.value``.  The outputs are the same.
    Raises InputError for a network without such a layer.
    """
    graph = network.graph
    joint = {node.name: parts for node in graph.nodes if (parts := _parts(graph, node))}
    if not joint:
        raise InputError(
            f"network {graph.name!r} has no layer whose rows are queries, keys and values; leave "
            "projections joint"
        )
    sliced = {part.name: (whole, part) for whole, parts in joint.items() for part in parts}
    names = {part: _name(whole, part) for part, (whole, _) in sliced.items()}
    by_name = {node.name: node for node in graph.nodes}
    nodes = []
    for node in graph.nodes:
        if node.name in joint:
            continue
        if node.name in sliced:
            layer, (start, stop) = by_name[sliced[node.name][0]], _rows(node)
            settings = {**layer.attributes, "out_features": stop - start}
            nodes.append(Node(names[node.name], "linear", layer.inputs, settings))
        else:
            inputs = tuple(names.get(value, value) for value in node.inputs)
            nodes.append(Node(node.name, node.operation, inputs, node.attributes))
    parameters, masks = dict(network.parameters), dict(network.masks)
    for arrays in _both(parameters, masks):
        for part, (whole, taken) in sliced.items():
            start, stop = _rows(taken)
            for short in ("weight", "bias"):
                if f"{whole}.{short}" in arrays:
                    rows: Any = arrays[f"{whole}.{short}"][start:stop]
                    arrays[f"{names[part]}.{short}"] = np.ascontiguousarray(rows)
        for whole in joint:
            for short in ("weight", "bias"):
                arrays.pop(f"{whole}.{short}", None)
    return _ordered(
        Graph(graph.name, graph.inputs, tuple(nodes), graph.outputs), network, parameters, masks
    )


def join_projections(network: Network) -> Network:
    """Undo ``split_projections``; a network without such layers is returned as it is."""
    graph = network.graph
    groups = _split_groups(graph)
    if not groups:
        return network
    nodes: list[Node] = []
    member = {node.name: whole for whole, group in groups.items() for node in group}
    names = {name: f"{whole.rpartition('.')[0]}.{name.rpartition('.')[2]}".lstrip(".")
             for name, whole in member.items()}  # fmt: skip
    done: set[str] = set()
    for node in graph.nodes:
        whole = member.get(node.name)
        if whole is None:
            inputs = tuple(names.get(value, value) for value in node.inputs)
            nodes.append(Node(node.name, node.operation, inputs, node.attributes))
        elif whole not in done:
            done.add(whole)
            group, start = groups[whole], 0
            total = sum(one.attributes["out_features"] for one in group)
            settings = {**node.attributes, "out_features": total}
            nodes.append(Node(whole, "linear", node.inputs, settings))
            for one in group:
                stop = start + one.attributes["out_features"]
                rows = {"axis": -1, "start": start, "stop": stop}
                nodes.append(Node(names[one.name], "slice", (whole,), rows))
                start = stop
    parameters, masks = dict(network.parameters), dict(network.masks)
    for arrays in _both(parameters, masks):
        for whole, group in groups.items():
            for short in ("weight", "bias"):
                parts: list[Any] = [arrays.pop(f"{one.name}.{short}", None) for one in group]
                if parts[0] is not None:
                    arrays[f"{whole}.{short}"] = np.concatenate(parts)
    return _ordered(
        Graph(graph.name, graph.inputs, tuple(nodes), graph.outputs), network, parameters, masks
    )


def _both(*groups: Any) -> tuple[dict[str, Any], ...]:
    """Parameters and masks, whose parts are cut and joined alike."""
    return groups


def _ordered(
    graph: Graph, network: Network, parameters: Mapping[str, Array], masks: Mapping[str, Any]
) -> Network:
    return Network(
        graph,
        {name: parameters[name] for name in graph.parameter_shapes},
        network.buffers,
        {name: masks[name] for name in graph.prunable if name in masks},
    )


def _parts(graph: Graph, node: Node) -> list[Node]:
    """The slices that an attention reads of a linear layer, each row in one; none otherwise."""
    readers = graph.readers[node.name]
    if node.operation != "linear" or node.name in graph.outputs.values() or len(readers) < 2:
        return []
    last = len(graph.shapes[node.name]) - 1
    rows = sorted(_rows(reader) for reader in readers if reader.operation == "slice")
    whole = [0, *(stop for _, stop in rows)] == [*(start for start, _ in rows), _features(node)]
    fits = all(
        reader.operation == "slice"
        and reader.attributes["axis"] in (-1, last)
        and reader.attributes["step"] == 1
        and {one.operation for one in graph.readers[reader.name]} == {"attention"}
        and reader.name not in graph.outputs.values()
        for reader in readers
    )
    return list(readers) if fits and whole and len(rows) == len(readers) else []


def _split_groups(graph: Graph) -> dict[str, list[Node]]:
    """The linear layers that one attention reads, by the name of the layer that they were."""
    by_name = {node.name: node for node in graph.nodes}
    groups = {}
    for attention in (node for node in graph.nodes if node.operation == "attention"):
        parts = [by_name.get(name) for name in attention.inputs]
        layers = [part for part in parts if part is not None and part.operation == "linear"]
        wholes = {layer.name.rpartition(".")[0] for layer in layers}
        same = len({layer.inputs for layer in layers}) == 1
        biases = {layer.attributes["bias"] for layer in layers}
        (whole, *others) = wholes or {""}
        if len(layers) == 3 and same and whole and not others and len(biases) == 1:
            groups[whole] = layers
    return groups


def _rows(part: Node) -> tuple[int, int]:
    return part.attributes["start"], part.attributes["stop"]


def _features(layer: Node) -> int:
    return int(layer.attributes["out_features"])


def _name(whole: str, part: str) -> str:
    return f"{whole}.{part.rpartition('.')[2]}"
