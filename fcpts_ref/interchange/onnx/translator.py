"""From ONNX nodes to ours, one at a time: known values are computed, the others become nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, shown
from fcpts_ref.interchange.onnx.constants import Budget, evaluate
from fcpts_ref.interchange.onnx.draft import Constant, Drafts, Held
from fcpts_ref.interchange.onnx.evaluators import EVALUATORS
from fcpts_ref.interchange.onnx.known import Known, NoValue, constant_value, followed, is_followed
from fcpts_ref.interchange.onnx.layout import BATCH, Group, Value, fresh, shown_dims, viewed
from fcpts_ref.interchange.onnx.naming import node_label
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.settings import SETTINGS

Array = NDArray[Any]


@dataclass
class Translator:
    """The state of one translation.

    batch: the batch's size in the file (layout.Value).  values: by the file's names.
    memo: values of ours that are reshaped, transposed or sliced already.  labels: those given.
    """

    drafts: Drafts
    batch: int
    opset: int
    budget: Budget
    values: dict[str, Known]
    memo: dict[tuple[Any, ...], str] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)

    def run(self, nodes: Sequence[OnnxNode], operators: Mapping[str, Any]) -> None:
        """Translate the nodes in their order.

        Raises InputError, naming the node, for the first one that is not supported.
        """
        for node in nodes:
            try:
                self._run_one(node, operators)
            except InputError as error:
                text = str(error)
                raise InputError(text if str(node) in text else f"{node}: {text}") from error

    def _run_one(self, node: OnnxNode, operators: Mapping[str, Any]) -> None:
        inputs = [self.values[name] if name else None for name in node.inputs]
        results = self._constant(node, inputs)
        if results is None:
            if node.kind not in operators:
                names = sorted({*operators, *EVALUATORS})
                raise InputError(f"{node} is not supported; supported are {', '.join(names)}")
            unknown = sorted(set(node.settings) - set(SETTINGS.get(node.kind, ())))
            if unknown:
                raise InputError(f"its setting {shown(unknown[0])} is not supported")
            found = operators[node.kind](self, node, inputs)
            results = found if isinstance(found, list) else [found]
        for name, result in zip(node.outputs, results, strict=False):
            self.values[name] = result
        for name in node.outputs[len(results) :]:
            if name:
                self.values[name] = NoValue(name)

    def _constant(self, node: OnnxNode, inputs: Sequence[Known | None]) -> list[Known] | None:
        """Return the outputs of a node whose inputs are all known; else None."""
        if any(isinstance(known, NoValue) for known in inputs):
            raise InputError(f"{node} reads an optional output that is not supported")
        if node.kind == "Constant":
            return [Constant(constant_value(node), node.outputs[0])]
        if not all(known is None or isinstance(known, Constant) for known in inputs):
            return None
        arrays = [known.array if isinstance(known, Constant) else None for known in inputs]
        if node.kind == "Expand" and self.batch > 1:
            arrays[1] = self._without_batch(arrays[0], arrays[1])
        node = replace(node, settings=node.settings | {"outputs": len(node.outputs)})
        results = evaluate(node, arrays, self.budget)
        if results is None:
            return None
        first = inputs[0] if inputs else None
        if isinstance(first, Constant) and is_followed(node, first, results[0]):
            return [followed(node, first, results[0])]
        return [Constant(array) for array in results]

    def _without_batch(self, x: Array | None, shape: Array | None) -> Array | None:
        """Return the shape of Expand with 1 for the batch, which is broadcast where it is read."""
        sizes = [] if shape is None else [int(size) for size in np.ravel(shape)]
        if x is None or not sizes or sizes[0] != self.batch or x.ndim > len(sizes):
            return shape
        return shape if x.ndim == len(sizes) and x.shape[0] != 1 else np.array([1, *sizes[1:]])

    def add(
        self,
        node: OnnxNode,
        operation: str,
        inputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Held] | None = None,
    ) -> str:
        """Append a node of ours; its label comes from its weight or from ``node``."""
        weight = (arrays or {}).get("weight")
        label = node_label(node, weight.constant.source if weight else "")
        if weight and label in self.labels:  # a shared initialiser
            label = node_label(node)
        self.labels |= {label} if weight else set()
        return self.drafts.add(label, operation, inputs, node, attributes, arrays)

    def hold(self, node: OnnxNode, slot: int, read: Constant, ours: Constant | None = None) -> Held:
        """Return an array for a node of ours.

        read: as the file's node reads it.  ours: what is made of it; default: the same.
        Raises InputError unless it holds floating-point numbers.
        """
        constant = ours or read
        if constant.array.dtype.kind != "f":
            raise InputError(
                f"its input {slot} is {constant.array.dtype}; expected float weights: export the "
                "network before it is quantised"
            )
        return Held(constant, node.index, slot, len(read.steps))

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape of our value, without the batch."""
        return self.drafts.shapes[value.name]

    def as_shape(self, node: OnnxNode, name: str, shape: Sequence[int]) -> str:
        """Return our value in another shape of the same size, reshaped if need be."""
        shape = tuple(shape) or (1,)
        if self.drafts.shapes[name] == shape:
            return name
        key = ("reshape", name, shape)
        if key not in self.memo:
            flat = len(shape) == 1
            self.memo[key] = self.add(
                node, *(("flatten", [name]) if flat else ("reshape", [name], {"shape": shape}))
            )
        return self.memo[key]

    def in_order(self, node: OnnxNode, value: Value, order: Sequence[int]) -> str:
        """Return our value with its atoms in another order, transposed if need be."""
        order = tuple(order)
        if order == tuple(range(len(value.atoms))):
            return value.name
        base = self.as_shape(node, value.name, value.atoms)
        key = ("transpose", base, order)
        if key not in self.memo:
            self.memo[key] = self.add(node, "transpose", [base], {"permutation": order})
        return self.memo[key]

    def plain(self, node: OnnxNode, value: Value) -> Value:
        """Return the value laid out as the file has it, without the axis of the batch.

        Raises InputError if the batch shares an axis with something else.
        """
        batch_axis = value.batch_axis
        if batch_axis is None and any(BATCH in group for group in value.axes):
            raise InputError(
                f"reads {shown_dims(value.dims)}, where the batch shares an axis; expected it alone"
            )
        rest = [group for axis, group in enumerate(value.axes) if axis != batch_axis]
        name = self.in_order(node, value, [atom for group in rest for atom in group])
        name = self.as_shape(node, name, [value.size(group) for group in rest])
        return fresh(name, value.dims, batch_axis, value.batch)

    def last(self, node: OnnxNode, value: Value, group: Group) -> tuple[str, list[int], Value]:
        """Bring a group of atoms to the end.

        Returns our value in that order, the sizes of its other atoms, and the layout, in which
        the group's atoms are the last ones.
        """
        if BATCH in group:
            raise InputError("works over the batch, which is not supported")
        others = [atom for atom in range(len(value.atoms)) if atom not in group]
        order = [*others, *group]
        name = self.in_order(node, value, order)
        place = {atom: new for new, atom in enumerate(order)} | {BATCH: BATCH}
        axes = [tuple(place[atom] for atom in axis) for axis in value.axes]
        sizes = [value.atoms[atom] for atom in order]
        return name, sizes[: len(others)], viewed(name, sizes, axes, value.batch)
