"""How other programs store an architecture: the names of its layers and what they imply."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fcpts_ref.graphs.graph import Graph, Node

Rename = Callable[[str], str]


def unchanged(name: str) -> str:
    """Return the name."""
    return name


def renaming(*rules: tuple[str, str]) -> Rename:
    """Return a function that rewrites a layer's whole name by the first rule that fits it.

    A rule is a regular expression and its replacement; other names stay as they are.
    """
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def rename(name: str) -> str:
        for pattern, replacement in compiled:
            if found := pattern.fullmatch(name):
                return found.expand(replacement)
        return name

    return rename


def table(ours: Sequence[str], theirs: Sequence[str]) -> Rename:
    """Return a function that looks a layer's name up; other names stay as they are."""
    names = dict(zip(ours, theirs, strict=True))

    def rename(name: str) -> str:
        return names.get(name, name)

    return rename


@dataclass(frozen=True)
class Layout:
    """How one source stores an architecture.

    source: the program, as it is shown.
    name: the source's name of a layer of ours.
    simplify: what is done to the names in a file before they are compared.
    settings: arguments of the architecture that the source implies.
    normalise: the input normalisation of its published weights, for all classes or by their number.
    channel_order: the order of the colours that its first layer reads.
    preprocess: the preset of ``data.preprocessing`` by which its published weights are evaluated,
        for networks that read pictures of any size.
    """

    source: str
    name: Rename = unchanged
    simplify: Rename = unchanged
    settings: Mapping[str, Any] = field(default_factory=dict)
    normalise: str | Mapping[int, str] = "imagenet"
    channel_order: Literal["RGB", "BGR"] = "RGB"
    preprocess: str | None = None

    def apply(self, graph: Graph) -> Graph:
        """Return the graph with this source's names, so that its arrays fit the source's files.

        For a first layer that reads BGR, a node after the normalisation reverses the channels: the
        network reads RGB as any other, and its weights stay as they are.
        """
        names = {
            node.name: self.name(node.name) if node.row.stored(node.attributes) else node.name
            for node in graph.nodes
            if node.operation != "normalise"
        }
        nodes = []
        for node in graph.nodes:
            inputs = tuple(names.get(value, value) for value in node.inputs)
            name = names.get(node.name, node.name)
            nodes.append(Node(name, node.operation, inputs, node.attributes))
            if node.operation == "normalise" and self.channel_order == "BGR":
                nodes.append(_reverse_channels(node.name))
                names[node.name] = nodes[-1].name
        outputs = {output: names.get(value, value) for output, value in graph.outputs.items()}
        return Graph(graph.name, graph.inputs, tuple(nodes), outputs)

    def normalise_for(self, classes: int) -> str:
        """Return the name of the input normalisation of a network with this many classes."""
        if isinstance(self.normalise, str):
            return self.normalise
        return self.normalise.get(classes, next(iter(self.normalise.values())))


def _reverse_channels(value: str) -> Node:
    """Return the node that turns RGB into BGR, or back."""
    attributes = {"axis": 0, "start": 2, "stop": -4, "step": -1}
    return Node("reverse_channels", "slice", (value,), attributes)


CIFAR: Mapping[int, str] = {10: "kuangliu", 100: "cifar100"}
"""Normalisations of pytorch-cifar and pytorch-cifar-models, by the number of classes."""
