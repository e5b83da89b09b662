"""The cases of arithmetic with broadcasting, means, concat, slice, pad and resize."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import shapes
from tools.vectors.pairs import Inputs, add_pair, make_layer_group
from tools.vectors.suite import Group


def make_groups() -> list[Group]:
    """Make one group per kind."""
    return [_arithmetic(), _mean(), _concat(), _pad(), _resize()]


def _x(*shape: int, **settings: Any) -> Inputs:
    return lambda draw: {"x": draw.weights(*shape)} | settings


def _arithmetic() -> Group:
    group = make_layer_group(
        shapes, "arithmetic", "Addition, subtraction, multiplication, division with broadcasting",
        broadcast_add_forward="exact", broadcast_add_backward="sum",
        subtract_forward="exact", subtract_backward="sum",
        multiply_forward="rounded", multiply_backward="sum",
        divide_forward="rounded", divide_backward="sum",
    )  # fmt: skip
    group.note(
        "BROADCAST",
        why="The gradient of a value that was repeated is a sum, in the shape of the value.",
        effect="Squeeze-and-excitation blocks get the gradient of one pixel.",
    )

    def two(a: tuple[int, ...], b: tuple[int, ...]) -> Inputs:
        return lambda draw: {"a": draw.weights(*a), "b": draw.uniform(*b, low=0.5, high=2.0)}

    same, channels, row = (2, 3, 2, 2), (2, 3, 1, 1), (2, 2)
    flags = ("BROADCAST",)
    for number, name in ((1, "broadcast_add"), (11, "subtract"), (21, "multiply"), (31, "divide")):
        add_pair(group, number, name, "equal shapes", two(same, same))
        add_pair(group, number + 1, name, "the second repeated over pixels", two(same, channels),
                 flags=flags)  # fmt: skip
        add_pair(group, number + 2, name, "the first repeated over pixels", two(channels, same),
                 flags=flags)  # fmt: skip
        add_pair(group, number + 3, name, "fewer axes: aligned at the last", two(same, row),
                 flags=flags)  # fmt: skip
        add_pair(group, number + 4, name, "both repeated", two((1, 3, 1, 2), (1, 1, 2, 1)),
                 flags=flags)  # fmt: skip
    group.reject(90, "multiply_forward", "sides of 2 and 3",
                 {"a": np.ones((1, 2, 2)), "b": np.ones((1, 3, 2))})  # fmt: skip
    group.reject(91, "multiply_forward", "the batch is never repeated",
                 {"a": np.ones((2, 2)), "b": np.ones((1, 2))})  # fmt: skip
    return group


def _mean() -> Group:
    group = make_layer_group(
        shapes, "mean", "The mean over axes", mean_forward="sum", mean_backward="sum"
    )
    add_pair(group, 1, "mean", "pixels, kept", _x(2, 3, 2, 3, axes=[1, 2], keepdims=True))
    add_pair(group, 2, "mean", "pixels, left out", _x(2, 3, 2, 3, axes=[-1, -2], keepdims=False))
    add_pair(group, 3, "mean", "channels", _x(2, 3, 2, 2, axes=[0], keepdims=True))
    add_pair(group, 4, "mean", "tokens", _x(2, 5, 3, axes=[0], keepdims=False))
    add_pair(group, 5, "mean", "one pixel", _x(2, 3, 1, 1, axes=[1, 2], keepdims=True),
             flags=("EDGE",))  # fmt: skip
    group.reject(90, "mean_forward", "an axis named twice",
                 {"x": np.ones((1, 2, 2)), "axes": [0, -2], "keepdims": True})  # fmt: skip
    return group


def _concat() -> Group:
    group = make_layer_group(
        shapes, "concat", "Concatenation, and slices",
        concat_forward="exact", concat_backward="exact",
        slice_forward="exact", slice_backward="exact",
    )  # fmt: skip

    def joined(axis: int, *every: tuple[int, ...]) -> Inputs:
        return lambda draw: {"values": [draw.weights(*shape) for shape in every], "axis": axis}

    add_pair(group, 1, "concat", "channels", joined(0, (2, 2, 2, 2), (2, 1, 2, 2), (2, 3, 2, 2)))
    add_pair(group, 2, "concat", "rows", joined(-2, (1, 2, 1, 2), (1, 2, 3, 2)))
    add_pair(group, 3, "concat", "features", joined(0, (2, 3), (2, 1)))
    add_pair(group, 4, "concat", "one value", joined(0, (2, 3, 1, 1)), flags=("EDGE",))
    group.reject(90, "concat_forward", "other sides than the axis differ",
                 {"values": [np.ones((1, 2, 2)), np.ones((1, 2, 3))], "axis": 0})  # fmt: skip
    taken = {"axis": 0, "start": 1, "stop": 4, "step": 1}
    add_pair(group, 11, "slice", "channels", _x(2, 5, 2, 2, **taken))
    add_pair(group, 12, "slice", "every other column", _x(1, 2, 2, 5, **taken | {
        "axis": -1, "start": 0, "stop": 2**31 - 1, "step": 2}))  # fmt: skip
    add_pair(group, 13, "slice", "from the end, backwards", _x(1, 4, 2, **taken | {
        "start": -1, "stop": -4, "step": -2}))  # fmt: skip
    add_pair(group, 14, "slice", "one feature", _x(2, 5, **taken | {"stop": 2}), flags=("EDGE",))
    group.reject(91, "slice_forward", "nothing is left",
                 {"x": np.ones((1, 3))} | taken | {"start": 3})  # fmt: skip
    group.reject(92, "slice_forward", "step 0", {"x": np.ones((1, 3))} | taken | {"step": 0})
    return group


def _pad() -> Group:
    group = make_layer_group(
        shapes, "pad", "Padding with a constant", pad_forward="exact", pad_backward="exact"
    )
    group.note(
        "ORDER",
        why="The numbers before every axis come first, then those after, as in ONNX.",
        effect="Images move.",
    )
    add_pair(group, 1, "pad", "images", _x(1, 2, 2, 3, pads=[0, 1, 2, 0, 3, 1], value=0.0),
             flags=("ORDER",))  # fmt: skip
    add_pair(group, 2, "pad", "channels, another value",
             _x(1, 2, 1, 2, pads=[1, 0, 0, 2, 0, 0], value=-1.5))  # fmt: skip
    add_pair(group, 3, "pad", "nothing", _x(2, 3, pads=[0, 0], value=1.0), flags=("EDGE",))
    group.reject(90, "pad_forward", "two numbers for two axes",
                 {"x": np.ones((1, 2, 2)), "pads": [1, 1], "value": 0.0})  # fmt: skip
    return group


def _resize() -> Group:
    group = make_layer_group(
        shapes,
        "resize",
        "Nearest and bilinear resizing",
        resize_forward="sum",
        resize_backward="sum",
    )
    group.note(
        "BOUNDARY",
        why="Coordinates half-way between two pixels, or on one, decide by the rounding mode.",
        effect="Every second pixel is another one.",
    )
    group.note(
        "COORDINATES",
        why="Programs differ in which point of the input an output pixel stands for.",
        effect="Images shift by half a pixel.",
    )
    plain: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_floor",
    }
    tie = ("BOUNDARY",)
    modes = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    for number, nearest_mode in enumerate(modes, start=1):
        settings = plain | {"nearest_mode": nearest_mode}
        add_pair(group, number, "resize", f"{nearest_mode}, 4 to 7 and 5 to 3",
                 _x(1, 1, 4, 5, size=[7, 3], **settings), flags=tie)  # fmt: skip
        add_pair(group, number + 10, "resize", f"{nearest_mode} of halves", _x(
            1, 1, 2, 3, size=[4, 6], **settings | {"coordinate_transformation_mode": "asymmetric"}
        ), flags=tie)  # fmt: skip
    coordinates = (
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
        "tf_half_pixel_for_nn",
    )  # fmt: skip
    for number, mode in enumerate(coordinates, start=21):
        settings = plain | {"mode": "bilinear", "coordinate_transformation_mode": mode}
        add_pair(group, number, "resize", f"bilinear, {mode}",
                 _x(1, 1, 3, 4, size=[5, 3], **settings), flags=("COORDINATES",))  # fmt: skip
        add_pair(group, number + 10, "resize", f"bilinear to one pixel, {mode}",
                 _x(1, 1, 3, 2, size=[1, 1], **settings), flags=("EDGE",))  # fmt: skip
        given = {"scales": np.array([1.75, 0.625])}  # 3 * 1.75 = 5.25, 4 * 0.625 = 2.5
        add_pair(group, number + 20, "resize", f"bilinear, {mode}, factors that were rounded",
                 _x(1, 1, 3, 4, size=[5, 2], **settings | given),
                 flags=("COORDINATES",))  # fmt: skip
    region = {
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "roi": np.array([0.25, -0.25, 0.75, 0.875]),
        "extrapolation_value": 10.0,
    }
    for number, mode in ((51, "nearest"), (52, "bilinear")):
        settings = {**plain, **region, "mode": mode}
        add_pair(group, number, "resize", f"a region, {mode}",
                 _x(1, 2, 4, 5, size=[3, 4], **settings), flags=tie)  # fmt: skip
    add_pair(group, 53, "resize", "one pixel becomes many", _x(2, 1, 1, 1, size=[2, 3], **plain),
             flags=("BOUNDARY", "EDGE"))  # fmt: skip
    group.reject(
        90, "resize_forward", "size 0", {"x": np.ones((1, 1, 2, 2)), "size": [0, 2]} | plain
    )
    return group
