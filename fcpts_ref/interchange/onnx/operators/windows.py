"""Conv, the pooling operators, BatchNormalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.interchange.onnx.known import Known, constant_of, value_of
from fcpts_ref.interchange.onnx.layout import Value, fresh, shown_dims
from fcpts_ref.interchange.onnx.operators.mean import reduce_mean, reduced_axes
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator
from fcpts_ref.layers.padding import auto_pad

Pair = tuple[int, int]


def convolution(t: Translator, node: OnnxNode, inputs: Sequence[Known | None]) -> Value:
    """Conv, over images or over one axis, which becomes the vertical one."""
    weight = constant_of(inputs[1], "weight")
    spatial = weight.array.ndim - 2
    name, (C, H, W) = _images(t, node, value_of(inputs[0]), spatial)
    K, per_group, *kernel = weight.array.shape
    given = tuple(node.settings.get("kernel_shape", kernel))
    if given != tuple(kernel):
        raise InputError(f"its kernel_shape is {given}, its weight {weight.array.shape}")
    ours = weight.reshaped((K, per_group, *_pair(kernel)))
    arrays = {"weight": t.hold(node, 1, weight, ours)}
    bias = inputs[2] if len(inputs) > 2 else None
    if bias is not None:
        arrays["bias"] = t.hold(node, 2, constant_of(bias, "bias"))
    settings = _window(node, _pair(kernel), (H, W), spatial)
    attributes = settings | {
        "in_channels": C,
        "out_channels": K,
        "groups": node.settings.get("group", 1),
        "bias": bias is not None,
    }
    if per_group * attributes["groups"] != C:
        raise InputError(
            f"reads {counted(C, 'channel')}; its weight {weight.array.shape} does not fit"
        )
    return _result(t, t.add(node, "convolution", [name], attributes, arrays), inputs, spatial)


def max_pool(t: Translator, node: OnnxNode, inputs: Sequence[Known | None]) -> Value:
    """MaxPool."""
    return _pool(t, node, inputs, "max_pool", {})


def average_pool(t: Translator, node: OnnxNode, inputs: Sequence[Known | None]) -> Value:
    """AveragePool."""
    counted = bool(node.settings.get("count_include_pad", 0))
    return _pool(t, node, inputs, "average_pool", {"count_include_pad": counted})


def _pool(
    t: Translator,
    node: OnnxNode,
    inputs: Sequence[Known | None],
    operation: str,
    more: dict[str, Any],
) -> Value:
    kernel = tuple(node.settings.get("kernel_shape", ()))
    name, (_, H, W) = _images(t, node, value_of(inputs[0]), len(kernel))
    settings = _window(node, _pair(kernel), (H, W), len(kernel))
    ceil = bool(node.settings.get("ceil_mode", 0))
    result = t.add(node, operation, [name], settings | more | {"ceil_mode": ceil})
    return _result(t, result, inputs, len(kernel))


def global_average_pool(t: Translator, node: OnnxNode, inputs: Sequence[Known | None]) -> Value:
    """GlobalAveragePool: the pixels keep axes of size 1; over one axis, a mean like others."""
    value = value_of(inputs[0])
    if len(value.axes) == 3:
        return reduce_mean(t, replace(node, settings={"axes": (2,)}), [t.plain(node, value)])
    name, (C, _, _) = _images(t, node, value, len(value.axes) - 2)
    result = t.add(node, "global_average_pool", [name])
    return fresh(result, (value.batch, C, *(1 for _ in value.axes[2:])), 0, value.batch)


def global_max_pool(t: Translator, node: OnnxNode, inputs: Sequence[Known | None]) -> Value:
    """GlobalMaxPool: a window as large as the image."""
    value = value_of(inputs[0])
    name, (_, H, W) = _images(t, node, value, len(value.axes) - 2)
    result = t.add(node, "max_pool", [name], {"kernel": (H, W)})
    return _result(t, result, inputs, len(value.axes) - 2)


def reduce_max(t: Translator, node: OnnxNode, inputs: Sequence[Known | None]) -> Value:
    """ReduceMax over both axes of the pixels, wherever the channels are: GlobalMaxPool."""
    x, axes = value_of(inputs[0]), reduced_axes(node, inputs)
    others = [axis for axis in range(len(x.axes)) if axis not in axes]
    if len(x.axes) != 4 or len(others) != 2 or x.batch_axis != others[0]:
        raise InputError(
            f"takes the maximum of {shown_dims(x.dims)} over axes {sorted(axes)}; expected both "
            "axes of the pixels of images"
        )
    order = (*others, *sorted(axes))
    y = global_max_pool(t, node, [x.transposed(order)])
    if node.settings.get("keepdims", 1):
        return y.transposed([order.index(axis) for axis in range(4)])
    return y.reshaped(y.dims[:2])


def batch_normalization(t: Translator, node: OnnxNode, inputs: Sequence[Known | None]) -> Value:
    """BatchNormalization in evaluation."""
    if node.settings.get("training_mode", 0) or not node.settings.get("spatial", 1):
        raise InputError("it trains or normalises pixels; expected the form for inference")
    value = t.plain(node, value_of(inputs[0]))
    rank = len(value.axes)
    if value.batch_axis != 0 or rank not in (2, 3, 4):
        raise InputError(f"reads {shown_dims(value.dims)}; expected (N, C), (N, C, L) or images")
    sizes = (*value.dims[1:], 1, 1)[:3]
    short = ("weight", "bias", "running_mean", "running_var")
    read = [constant_of(known, s) for s, known in zip(short, inputs[1:], strict=True)]
    arrays = {
        s: t.hold(node, slot, constant)
        for slot, (s, constant) in enumerate(zip(short, read, strict=True), start=1)
    }
    attributes = {
        "channels": sizes[0],
        "momentum": round(1 - node.settings.get("momentum", 0.9), 6),
        "epsilon": decimal(node.settings.get("epsilon", 1e-5)),
    }
    name = t.as_shape(node, value.name, sizes)
    return value.renamed(t.add(node, "batch_norm", [name], attributes, arrays))


def _images(t: Translator, node: OnnxNode, value: Value, spatial: int) -> tuple[str, list[int]]:
    """Return the name and shape (C, H, W) of a value that holds images."""
    value = t.plain(node, value)
    if value.batch_axis != 0 or len(value.axes) != spatial + 2 or spatial not in (1, 2):
        raise InputError(
            f"reads {shown_dims(value.dims)} with {counted(spatial, 'axis', 'axes')} for the "
            "window; expected (N, C, H, W) or (N, C, L)"
        )
    sizes = [*value.dims[1:], 1][:3]
    return t.as_shape(node, value.name, sizes), sizes


def _result(t: Translator, name: str, inputs: Sequence[Known | None], spatial: int) -> Value:
    batch = value_of(inputs[0]).batch
    sizes = t.drafts.shapes[name][: spatial + 1]
    return fresh(name, (batch, *sizes), 0, batch)


def _window(node: OnnxNode, kernel: Pair, size: Pair, spatial: int) -> dict[str, Any]:
    """Return kernel, stride, dilation and padding as our attributes."""
    settings = node.settings
    stride = _pair(settings.get("strides") or (1,) * spatial)
    dilation = _pair(settings.get("dilations") or (1,) * spatial)
    rule = settings.get("auto_pad", "NOTSET")
    if rule == "NOTSET":
        padding = _sides(settings.get("pads") or (0,) * (2 * spatial), spatial)
    else:
        padding = auto_pad(rule, size, kernel, stride, dilation)
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


def _sides(pads: Sequence[int], spatial: int) -> tuple[int, ...]:
    """Return (top, left, bottom, right)."""
    if len(pads) != 2 * spatial:
        raise InputError(f"its pads are {tuple(pads)}; expected {2 * spatial} numbers")
    return tuple(pads) if spatial == 2 else (pads[0], 0, pads[1], 0)


def _pair(sizes: Sequence[int]) -> Pair:
    if len(sizes) not in (1, 2):
        raise InputError(f"has a window {tuple(sizes)}; expected one or two axes")
    return (int(sizes[0]), int(sizes[1]) if len(sizes) == 2 else 1)


def decimal(number: float) -> float:
    """Return the shortest decimal number that is this float32: 1e-5, not 9.99999974e-06."""
    return float(str(np.float32(number)))
