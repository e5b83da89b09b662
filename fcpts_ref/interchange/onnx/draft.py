"""The network while it is read: our nodes with their arrays, and the nodes still to be matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations import OPERATIONS
from fcpts_ref.interchange.onnx.reading import OnnxNode

Array = NDArray[Any]
Shape = tuple[int, ...]
Step = tuple[str, Any]

PARTS: Final = ("erf", "sqrt", "power", "reciprocal", "exp")
"""Operations that occur only as parts of others, such as GELU; patterns.py must replace them."""


@dataclass(frozen=True)
class Constant:
    """A known array, and how it was made of an initialiser.

    source: the initialiser's name, "" for a computed array.  steps: transposes and reshapes from
    the initialiser to ``array``, which can be undone.
    """

    array: Array
    source: str = ""
    steps: tuple[Step, ...] = ()

    def then(self, array: Array, *steps: Step) -> Constant:
        """The result of further steps."""
        return Constant(array, self.source, (*self.steps, *steps))

    def transposed(self, permutation: Sequence[int]) -> Constant:
        """The array with its axes in another order."""
        order = tuple(int(axis) for axis in permutation)
        return self.then(self.array.transpose(order), ("transpose", order))

    def reshaped(self, shape: Sequence[int]) -> Constant:
        """The array in another shape."""
        if self.array.shape == tuple(shape):
            return self
        return self.then(self.array.reshape(shape), ("reshape", tuple(self.array.shape)))

    def scaled(self, factor: float) -> Constant:
        """The array times a number."""
        if factor == 1:
            return self
        return self.then(self.array * self.array.dtype.type(factor), ("scale", float(factor)))


@dataclass(frozen=True)
class Held:
    """An array of one of our nodes.

    constant: its value.  node, slot: where the file's graph reads it.  outer: the number of the
    constant's steps that the file's own nodes do before that.
    """

    constant: Constant
    node: int
    slot: int
    outer: int


@dataclass(frozen=True)
class Draft:
    """One node of ours.

    label: its name in the finished network, if no other node has it.  arrays: by short name; ""
    stands for the only array of a node.
    """

    label: str
    operation: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    arrays: Mapping[str, Held]
    origin: OnnxNode


@dataclass
class Drafts:
    """The nodes so far, in order, by the names of their values; shapes without the batch."""

    inputs: dict[str, Shape]
    nodes: dict[str, Draft] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes |= self.inputs

    def add(
        self,
        name: str,
        operation: str,
        inputs: Sequence[str],
        origin: OnnxNode,
        attributes: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Held] | None = None,
    ) -> str:
        """Append a node and return the name of its value.

        Raises InputError if the operation is unknown or its inputs or attributes do not fit.
        """
        given = dict(attributes or {})
        shapes = [self.shapes[read] for read in inputs]
        if operation in PARTS:
            shape = shapes[0]
        else:
            row = OPERATIONS[operation]
            given = row.complete(given)
            shape = row.shape(shapes, given)
        key = self.unique(name)
        self.nodes[key] = Draft(name, operation, tuple(inputs), given, dict(arrays or {}), origin)
        self.shapes[key] = shape
        return key

    def unique(self, name: str) -> str:
        """Return ``name``, with a number if it is taken."""
        number, result = 1, name
        while result in self.shapes:
            number += 1
            result = f"{name}_{number}"
        return result

    def readers(self) -> dict[str, list[str]]:
        """The names of the nodes that read each value."""
        result: dict[str, list[str]] = {name: [] for name in self.shapes}
        for name, node in self.nodes.items():
            for read in node.inputs:
                result[read].append(name)
        return result

    def reshaped_before(self, reader: str, name: str, shape: Shape) -> str:
        """Return a value in another shape, reshaped by a new node before ``reader`` if need be."""
        if self.shapes[name] == shape:
            return name
        made = self.add(f"{self.nodes[reader].label}.reshape", "reshape", [name],
                        self.nodes[reader].origin, {"shape": shape})  # fmt: skip
        node = self.nodes.pop(made)
        place = list(self.nodes).index(reader)
        items = list(self.nodes.items())
        self.nodes = dict([*items[:place], (made, node), *items[place:]])
        return made

    def change(self, name: str, **changes: Any) -> None:
        """Replace fields of a node."""
        node = replace(self.nodes[name], **changes)
        if node.operation not in PARTS:
            row = OPERATIONS[node.operation]
            node = replace(node, attributes=row.complete(node.attributes))
            shape = row.shape([self.shapes[read] for read in node.inputs], node.attributes)
            if shape != self.shapes[name]:
                raise InputError(f"{node.origin} has shape {self.shapes[name]}; expected {shape}")
        self.nodes[name] = node
