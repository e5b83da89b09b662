"""ReduceMean and ReduceSum."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.known import Known, value_of
from fcpts_ref.interchange.onnx.layout import BATCH, Group, Value, viewed
from fcpts_ref.interchange.onnx.operators.arithmetic import shifted
from fcpts_ref.interchange.onnx.operators.shapes import integers
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]


def reduce_mean(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """ReduceMean; over all pixels of images: global average pooling."""
    x, axes = value_of(inputs[0]), reduced_axes(node, inputs)
    if not axes:
        return x
    group = tuple(atom for axis in sorted(axes) for atom in x.axes[axis])
    if _pools(t, x, group):
        name = t.add(node, "global_average_pool", [x.name])
        return viewed(name, x.atoms[:1], _kept(node, x, axes), x.batch)
    if group:
        return _mean(t, node, x, axes, group)
    return viewed(x.name, x.atoms, _kept(node, x, axes), x.batch)


def reduce_sum(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """ReduceSum: the mean times the number of terms."""
    x = value_of(inputs[0])
    group = tuple(atom for axis in reduced_axes(node, inputs) for atom in x.axes[axis])
    mean = reduce_mean(t, node, inputs)
    terms = 1 if BATCH in group else x.size(group)
    return mean if terms == 1 else shifted(t, node, "multiply_parameter", mean, float(terms))


def reduced_axes(node: OnnxNode, inputs: Inputs) -> set[int]:
    """Return the axes of a reduction, from the second input or the setting; default: all."""
    x, given = value_of(inputs[0]), node.settings.get("axes")
    if len(inputs) > 1 and inputs[1] is not None:
        given = integers(inputs[1], "axes")
    if not given and node.settings.get("noop_with_empty_axes", 0):
        return set()
    return {x.axis(axis) for axis in given} if given else set(range(len(x.axes)))


def _mean(t: Translator, node: OnnxNode, x: Value, axes: set[int], group: Group) -> Value:
    """A mean over some atoms; over all that are at the end, as over one axis."""
    if BATCH in group:
        raise InputError("reduces the batch, which is not supported")
    others = [atom for atom in range(len(x.atoms)) if atom not in group]
    at_end = others == list(range(len(others)))
    sizes = [x.atoms[atom] for atom in others]
    base = t.as_shape(node, x.name, (*sizes, x.size(group)) if at_end else x.atoms)
    over = (-1,) if at_end else tuple(sorted(group))
    name = t.add(node, "mean", [base], {"axes": over, "keepdims": not others})
    place = {atom: new for new, atom in enumerate(others)} | {BATCH: BATCH}
    groups = [tuple(place.get(atom, -2) for atom in axis) for axis in _kept(node, x, axes)]
    return viewed(name, sizes, groups, x.batch)


def _kept(node: OnnxNode, x: Value, axes: set[int]) -> list[Group]:
    """Return the axes that are left: those of the mean with size 1, or none."""
    keep = node.settings.get("keepdims", 1)
    groups = [() if axis in axes else x.axes[axis] for axis in range(len(x.axes))]
    return [group for axis, group in enumerate(groups) if keep or axis not in axes]


def _pools(t: Translator, x: Value, group: Group) -> bool:
    """Whether the mean is that of all pixels of images, whose channels are first in ours."""
    pixels = list(range(1, len(x.atoms)))
    return len(t.shape(x)) == 3 and x.atoms[:1] == t.shape(x)[:1] and sorted(group) == pixels != []
