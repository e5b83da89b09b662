"""Pad."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.known import Known, constant_of, value_of
from fcpts_ref.interchange.onnx.layout import Value, fresh, shown_dims
from fcpts_ref.interchange.onnx.operators.shapes import integers
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]


def pad(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Pad with a constant; channels of images alone: zero_pad."""
    x = t.plain(node, value_of(inputs[0]))
    rank = len(x.axes)
    if node.settings.get("mode", "constant") != "constant":
        raise InputError("pads by copies; expected mode='constant'")
    pads = integers(inputs[1], "pads") if len(inputs) > 1 else node.settings.get("pads", ())
    value = _pad_value(node, inputs)
    if len(inputs) > 3 and inputs[3] is not None:
        pads = _all_axes(pads, integers(inputs[3], "axes"), x)
    if len(pads) != 2 * rank or (
        x.batch_axis is not None and (pads[x.batch_axis] or pads[rank + x.batch_axis])
    ):
        raise InputError(f"has pads {tuple(pads)} for {shown_dims(x.dims)}")
    before, after = list(pads[:rank]), list(pads[rank:])
    dims = [size + b + a for size, b, a in zip(x.dims, before, after, strict=True)]
    if x.batch_axis is not None:
        del before[x.batch_axis], after[x.batch_axis]
    if not any((*before, *after)):
        return x
    if (
        len(before) == 3
        and not any((*before[1:], *after[1:]))
        and value == 0
        and min(before[0], after[0]) >= 0
    ):
        name = t.add(node, "zero_pad", [x.name], {"before": before[0], "after": after[0]})
    else:
        name = t.add(node, "pad", [x.name], {"pads": (*before, *after), "value": value})
    return fresh(name, dims, x.batch_axis, x.batch)


def _pad_value(node: OnnxNode, inputs: Inputs) -> float:
    if len(inputs) > 2 and inputs[2] is not None:
        return float(constant_of(inputs[2], "value").array.ravel()[0])
    return float(node.settings.get("value", 0.0))


def _all_axes(pads: Sequence[int], axes: Sequence[int], x: Value) -> list[int]:
    """Return pads of all axes from those of some."""
    rank, count = len(x.axes), len(axes)
    result = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        result[x.axis(axis)], result[rank + x.axis(axis)] = pads[i], pads[count + i]
    return result
