"""Resize and Upsample of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.interchange.onnx.known import Known, constant_of, value_of
from fcpts_ref.interchange.onnx.layout import Value, fresh, shown_dims
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]

MODES: Final = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear"}
POLICIES: Final = {"not_larger": min, "not_smaller": max}
LARGEST: Final = 1 << 31
CROP: Final = "tf_crop_and_resize"  # the only mode that reads a region


def resize(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Resize and Upsample by nearest or bilinear interpolation, batch and channels unchanged."""
    x = t.plain(node, value_of(inputs[0]))
    if len(x.axes) != 4 or x.batch_axis != 0:
        raise InputError(f"resizes {shown_dims(x.dims)}; expected images (N, C, H, W)")
    old = node.kind == "Upsample" or t.opset < 11  # (X, scales), other coordinates
    given = [None, *inputs[1:2]] if old else inputs[1:]
    region, scales, sizes = (_numbers(known) for known in [*given, None, None, None][:3])
    axes = [x.axis(axis) for axis in node.settings.get("axes", range(4))]
    scales = _all_axes(scales or tuple(node.settings.get("scales", ())), axes, [1.0] * 4)
    sizes = _all_axes(sizes, axes, [float(size) for size in x.dims])
    size, factors = _size(node, x, axes, scales, sizes)
    attributes = _attributes(node, old) | {"size": size, "scales": factors}
    if attributes["coordinate_transformation_mode"] == CROP:
        half = len(region) // 2
        starts = _all_axes(region[:half], axes, [0.0] * 4)
        ends = _all_axes(region[half:], axes, [1.0] * 4)
        if [*starts[:2], *ends[:2]] != [0, 0, 1, 1]:
            raise InputError(f"crops to the region {region}; expected batch and channels whole")
        attributes["roi"] = (*starts[2:], *ends[2:])
        attributes["extrapolation_value"] = node.settings.get("extrapolation_value", 0.0)
    name = t.add(node, "resize", [x.name], attributes)
    return fresh(name, (*x.dims[:2], *size), 0, x.batch)


def _numbers(known: Known | None) -> tuple[float, ...]:
    if known is None:
        return ()
    return tuple(float(number) for number in constant_of(known, "scales").array.ravel())


def _all_axes(
    numbers: tuple[float, ...], axes: Sequence[int], default: list[float]
) -> tuple[float, ...]:
    """Return numbers of all four axes from those of some; () if there are none."""
    if not numbers:
        return ()
    if len(numbers) != len(axes):
        raise InputError(
            f"has {len(numbers)} scales or sizes for {counted(len(axes), 'axis', 'axes')}"
        )
    result = list(default)
    for axis, number in zip(axes, numbers, strict=True):
        result[axis] = number
    return tuple(result)


def _size(
    node: OnnxNode,
    x: Value,
    axes: Sequence[int],
    scales: tuple[float, ...],
    sizes: tuple[float, ...],
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return height and width, and the scales: none where the sizes alone decide."""
    if not all(0 <= number < LARGEST for number in (*scales, *sizes)):
        raise InputError(f"resizes by {scales or sizes}; expected numbers from 0 to {LARGEST - 1}")
    policy = node.settings.get("keep_aspect_ratio_policy", "stretch")
    if sizes and policy in POLICIES:
        scale = POLICIES[policy](sizes[axis] / x.dims[axis] for axis in axes)
        scales = tuple(scale if axis in axes else 1.0 for axis in range(4))
        sizes = tuple(math.floor(s * d + 0.5) for s, d in zip(scales, x.dims, strict=True))
        return _images_only(x, sizes), scales[2:]
    if sizes and policy != "stretch":
        names = ", ".join(("stretch", *POLICIES))
        raise InputError(f"keep_aspect_ratio_policy is {shown(policy)}; expected one of {names}")
    if sizes:
        return _images_only(x, sizes), ()
    if len(scales) != 4 or min(scales) <= 0:
        raise InputError(f"resizes by {scales}; expected four scales or sizes")
    sizes = tuple(math.floor(d * s) for d, s in zip(x.dims, scales, strict=True))
    if scales[:2] != (1, 1):
        raise InputError(f"resizes by {scales}; expected batch and channels unchanged")
    return _images_only(x, sizes), scales[2:]


def _images_only(x: Value, sizes: Sequence[float]) -> tuple[int, ...]:
    if tuple(sizes[1:2]) != x.dims[1:2] or sizes[0] not in (1, x.batch):
        raise InputError(f"resizes to {shown_dims([int(s) for s in sizes])}; expected images")
    return tuple(int(size) for size in sizes[2:])


def _attributes(node: OnnxNode, old: bool) -> dict[str, Any]:
    settings = node.settings
    mode = MODES.get(settings.get("mode", "nearest"))
    if mode is None or settings.get("antialias", 0) or settings.get("exclude_outside", 0):
        raise InputError("interpolates in a way that is not supported; expected nearest or linear")
    coordinates = "asymmetric" if old else "half_pixel"
    nearest = "floor" if old else "round_prefer_floor"
    return {
        "mode": mode,
        "coordinate_transformation_mode": settings.get(
            "coordinate_transformation_mode", coordinates
        ),
        "nearest_mode": settings.get("nearest_mode", nearest),
    }
