"""A network cut into the units that POT reconstructs one at a time, and walking through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import Engine, WeightCache
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import IMAGES, Graph, Node
from fcpts_ref.graphs.operations import OPERATIONS

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Pattern = Literal["layer", "independent"]

CHUNK = 256
"""Images computed at a time between two stored values."""


@dataclass(frozen=True)
class Unit:
    """A convolution or linear layer, and perhaps what follows it, as a network of its own.

    Its graph reads (C, H, W), or (C, 1, 1) before a linear layer, and gives one flat row an image,
    so that any engine can run it.
    """

    nodes: tuple[Node, ...]
    source_shape: tuple[int, ...]
    shape: tuple[int, ...]  # of its value, without the batch

    @property
    def name(self) -> str:
        """The name of its convolution or linear node."""
        return self.nodes[0].name

    @property
    def source(self) -> str:
        """The value that it reads."""
        return self.nodes[0].inputs[0]

    @property
    def output(self) -> str:
        """The name of its value."""
        return self.nodes[-1].name

    @property
    def positions(self) -> int:
        """Places in an image at which the loss compares a vector of channels."""
        return int(np.prod(self.shape[1:], dtype=int))

    @cached_property
    def graph(self) -> Graph:
        """The unit as a network."""
        linear = self.nodes[0].operation == "linear"
        head = (Node("row", "flatten", (IMAGES,)),) if linear else ()
        first = Node(
            self.name,
            self.nodes[0].operation,
            (head[-1].name if head else IMAGES,),
            self.nodes[0].attributes,
        )
        flat = len(self.shape) == 1
        tail = () if flat else (Node("flat", "flatten", (self.output,)),)
        C, H, W = (*self.source_shape, 1, 1)[:3]
        return Graph(self.name, (C, H, W), (*head, first, *self.nodes[1:], *tail))

    def parameters(self, arrays: Arrays) -> dict[str, Array]:
        """Its own parameters among those of the whole network."""
        return {name: arrays[name] for name in self.graph.parameter_shapes}

    def buffers(self, arrays: Arrays) -> dict[str, Array]:
        """Its own buffers among those of the whole network."""
        return {name: arrays[name] for name in self.graph.buffer_shapes}

    def images(self, values: Array) -> Array:
        """The values that it reads as its graph wants them: (n, C, H, W)."""
        return values.reshape(len(values), *self.graph.input_shape)


Segment = Unit | Node


def segments(graph: Graph, pattern: str) -> tuple[Segment, ...]:
    """The nodes of a graph in order, those of a unit drawn together.

    "independent": a unit is one convolution or linear layer.  "layer": also what follows it, up to
    the next convolution, linear layer, join, fork or flattening.
    Raises InputError for another pattern.
    """
    if pattern not in get_args(Pattern):
        raise InputError(f"unit is {pattern!r}; expected one of {', '.join(get_args(Pattern))}")
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    result: list[Segment] = []
    taken: set[str] = set()
    for node in graph.nodes:
        if node.operation in ("convolution", "linear"):
            nodes = [node]
            while pattern == "layer" and _goes_on(readers.get(nodes[-1].name, [])):
                nodes += readers[nodes[-1].name]
            taken |= {n.name for n in nodes}
            source, shape = graph.shapes[node.inputs[0]], graph.shapes[nodes[-1].name]
            result.append(Unit(tuple(nodes), source, shape))
        elif node.name not in taken:
            result.append(node)
    return tuple(result)


def _goes_on(readers: Sequence[Node]) -> bool:
    stops = ("convolution", "linear", "add", "flatten")
    return len(readers) == 1 and readers[0].operation not in stops


@dataclass(frozen=True)
class Walk:
    """Values of all calibration images at one place of the network, those still to be read."""

    position: int  # segments behind it
    values: Arrays

    @classmethod
    def start(cls, images: Array) -> Walk:
        """A walk that has read nothing but the images."""
        return cls(0, {IMAGES: images})


def walk_to(
    walk: Walk,
    stop: int,
    way: Sequence[Segment],
    parameters: Arrays,
    buffers: Arrays,
    make_engine: Callable[[Graph], Engine],
) -> Walk:
    """The walk with ``stop`` segments behind it; values that nobody reads any more are dropped.

    Batch norm, where any is left, evaluates.
    """
    values = dict(walk.values)
    for position in range(walk.position, stop):
        segment = way[position]
        if isinstance(segment, Unit):
            engine = make_engine(segment.graph)
            values[segment.output] = run_unit(segment, values, parameters, buffers, engine)
        else:
            values[segment.name] = _run_node(segment, values, parameters, buffers)
        still_read = {name for later in way[position + 1 :] for name in _reads(later)}
        values = {name: v for name, v in values.items() if name in still_read}
    return Walk(max(stop, walk.position), values)


def run_unit(
    unit: Unit, values: Arrays, parameters: Arrays, buffers: Arrays, engine: Engine
) -> Array:
    """The unit's value for all images: (n, *unit.shape)."""
    x = unit.images(values[unit.source])
    own, stored = unit.parameters(parameters), unit.buffers(buffers)
    y = np.empty((len(x), *unit.shape), dtype=x.dtype)
    cache = WeightCache()
    for start in range(0, len(x), CHUNK):
        passed = engine.forward(
            own, stored, x[start : start + CHUNK], training=False, keep=False, cache=cache
        )
        y[start : start + CHUNK] = passed.logits.reshape(-1, *unit.shape)
    return y


def _run_node(node: Node, values: Arrays, parameters: Arrays, buffers: Arrays) -> Array:
    operation = OPERATIONS[node.operation]
    stored = {s: parameters[f"{node.name}.{s}"] for s in operation.parameters(node.attributes)}
    stored |= {s: buffers[f"{node.name}.{s}"] for s in operation.buffers(node.attributes)}
    inputs = [values[name] for name in node.inputs]
    chunks = [
        operation.forward(
            [x[start : start + CHUNK] for x in inputs], stored, node.attributes, False
        )[0]
        for start in range(0, len(inputs[0]), CHUNK)
    ]
    return np.concatenate(chunks)


def _reads(segment: Segment) -> tuple[str, ...]:
    return (segment.source,) if isinstance(segment, Unit) else segment.inputs
