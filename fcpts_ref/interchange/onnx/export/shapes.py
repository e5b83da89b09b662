"""Pooling, resizing, and operations that move values, as ONNX operators."""

from __future__ import annotations

from typing import Final

from fcpts_ref.graphs.graph import Node
from fcpts_ref.interchange.onnx.export.builder import Builder

OPSET_OF_WINDOWS: Final = 22  # says that no window begins in the padding behind the image
OPSET_OF_DILATION: Final = 19  # of AveragePool


def max_pool(b: Builder, node: Node) -> None:
    """MaxPool."""
    a = node.attributes
    _require_windows(b, node)
    b.add(
        "MaxPool", node.inputs, node.name, kernel_shape=a["kernel"], strides=a["stride"],
        pads=a["padding"], dilations=a["dilation"], ceil_mode=int(a["ceil_mode"]),
    )  # fmt: skip


def average_pool(b: Builder, node: Node) -> None:
    """AveragePool."""
    a = node.attributes
    more = {}
    _require_windows(b, node)
    if a["dilation"] != (1, 1):
        b.require(OPSET_OF_DILATION)
        more["dilations"] = a["dilation"]
    b.add(
        "AveragePool", node.inputs, node.name, kernel_shape=a["kernel"], strides=a["stride"],
        pads=a["padding"], ceil_mode=int(a["ceil_mode"]),
        count_include_pad=int(a["count_include_pad"]), **more,
    )  # fmt: skip


def _require_windows(b: Builder, node: Node) -> None:
    """Use an opset in which the number of windows is ours, where ceil_mode leaves one out."""
    a = node.attributes
    top, left, bottom, right = a["padding"]
    for axis, (before, after) in enumerate(((top, bottom), (left, right))):
        side = b.graph.shapes[node.inputs[0]][axis + 1]
        taps = a["dilation"][axis] * (a["kernel"][axis] - 1) + 1
        windows = -(-(side + before + after - taps) // a["stride"][axis]) + 1
        if a["ceil_mode"] and windows != b.graph.shapes[node.name][axis + 1]:
            b.require(OPSET_OF_WINDOWS)


def global_average_pool(b: Builder, node: Node) -> None:
    """GlobalAveragePool and Flatten."""
    pooled = b.add("GlobalAveragePool", node.inputs, f"{node.name}.pooled")
    b.add("Flatten", [pooled], node.name, axis=1)


def subsample(b: Builder, node: Node) -> None:
    """Slice of rows and columns."""
    stride = node.attributes["stride"]
    _, H, W = b.graph.shapes[node.inputs[0]]
    _slice(b, node, [0, 0], [H, W], [2, 3], [stride, stride])


def slice_(b: Builder, node: Node) -> None:
    """Slice of one axis."""
    a = node.attributes
    _slice(b, node, [a["start"]], [a["stop"]], [_axis(b, node)], [a["step"]])


def _slice(
    b: Builder, node: Node, starts: list[int], ends: list[int], axes: list[int], steps: list[int]
) -> None:
    given = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    names = [b.constant(f"{node.name}.{key}", values) for key, values in given.items()]
    b.add("Slice", [*node.inputs, *names], node.name)


def _axis(b: Builder, node: Node) -> int:
    """The node's axis, with the batch."""
    return int(node.attributes["axis"]) % b.rank(node.inputs[0]) + 1


def zero_pad(b: Builder, node: Node) -> None:
    """Pad of channels."""
    before, after = node.attributes["before"], node.attributes["after"]
    b.add(
        "Pad",
        [*node.inputs, b.constant(f"{node.name}.pads", [0, before, 0, 0, 0, after, 0, 0])],
        node.name,
    )


def pad(b: Builder, node: Node) -> None:
    """Pad."""
    pads = node.attributes["pads"]
    half = len(pads) // 2
    names = [
        b.constant(f"{node.name}.pads", [0, *pads[:half], 0, *pads[half:]]),
        b.number(f"{node.name}.value", node.attributes["value"]),
    ]
    b.add("Pad", [*node.inputs, *names], node.name)


def concat(b: Builder, node: Node) -> None:
    """Concat."""
    b.add("Concat", node.inputs, node.name, axis=_axis(b, node))


def mean(b: Builder, node: Node) -> None:
    """ReduceMean."""
    rank = b.rank(node.inputs[0])
    axes = b.constant(f"{node.name}.axes", [axis % rank + 1 for axis in node.attributes["axes"]])
    b.add("ReduceMean", [*node.inputs, axes], node.name, keepdims=int(node.attributes["keepdims"]))


def resize(b: Builder, node: Node) -> None:
    """Resize."""
    a = node.attributes
    mode = {"nearest": "nearest", "bilinear": "linear"}[a["mode"]]
    scales, sizes = "", ""
    if a["scales"]:
        scales = b.constant(f"{node.name}.scales", [1, 1, *a["scales"]], "f4")
    else:
        C = b.graph.shapes[node.inputs[0]][0]
        batch = b.add("Shape", node.inputs, f"{node.name}.batch", start=0, end=1)
        rest = b.constant(f"{node.name}.size_of_one", [C, *a["size"]])
        sizes = b.add("Concat", [batch, rest], f"{node.name}.size", axis=0)
    roi = b.constant(f"{node.name}.roi", _roi(a["roi"]), "f4") if a["roi"] else ""
    settings = {
        "mode": mode,
        "coordinate_transformation_mode": a["coordinate_transformation_mode"],
        "extrapolation_value": a["extrapolation_value"],
    }
    if mode == "nearest":
        settings["nearest_mode"] = a["nearest_mode"]
    names = [*node.inputs, roi, scales, *([sizes] if sizes else [])]
    b.add("Resize", names, node.name, **settings)


def _roi(roi: tuple[float, ...]) -> list[float]:
    """Return the region of all four axes, starts then ends."""
    return [0, 0, *roi[:2], 1, 1, *roi[2:]]


def reshape(b: Builder, node: Node) -> None:
    """Reshape."""
    shape = b.constant(f"{node.name}.shape", [0, *b.graph.shapes[node.name]])
    b.add("Reshape", [*node.inputs, shape], node.name)


def flatten(b: Builder, node: Node) -> None:
    """Flatten, or Reshape where leading axes stay."""
    if b.rank(node.name) == 1:
        b.add("Flatten", node.inputs, node.name, axis=1)
    else:
        reshape(b, node)


def transpose(b: Builder, node: Node) -> None:
    """Transpose."""
    order = [0, *(axis + 1 for axis in node.attributes["permutation"])]
    b.add("Transpose", node.inputs, node.name, perm=order)


def matmul(b: Builder, node: Node) -> None:
    """MatMul."""
    b.add("MatMul", b.aligned(node, max(map(b.rank, node.inputs))), node.name)


def dropout(b: Builder, node: Node) -> None:
    """Dropout, which does nothing in inference."""
    ratio = b.constant(f"{node.name}.rate", node.attributes["rate"], "f4")
    b.add("Dropout", [*node.inputs, ratio], node.name)
