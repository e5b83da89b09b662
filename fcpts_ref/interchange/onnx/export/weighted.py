"""Operations with arrays of their own, as ONNX operators."""

from __future__ import annotations

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.interchange.onnx.export.builder import Builder


def normalise(b: Builder, node: Node) -> None:
    """Sub and Div."""
    C = node.attributes["channels"]
    mean, std = (b.reshaped_array(node, short, (C, 1, 1)) for short in ("mean", "std"))
    centred = b.add("Sub", [node.inputs[0], mean], f"{node.name}.centred")
    b.add("Div", [centred, std], node.name)


def convolution(b: Builder, node: Node) -> None:
    """Conv."""
    settings = node.attributes
    arrays = [b.array(node, short) for short in node.row.stored(settings)]
    b.add(
        "Conv",
        [*node.inputs, *arrays],
        node.name,
        kernel_shape=settings["kernel"],
        strides=settings["stride"],
        pads=settings["padding"],
        dilations=settings["dilation"],
        group=settings["groups"],
    )


def linear(b: Builder, node: Node) -> None:
    """Gemm for rows of features; else MatMul with the transposed weight, and Add."""
    arrays = [b.array(node, short) for short in node.row.stored(node.attributes)]
    if b.rank(node.inputs[0]) == 1:
        b.add("Gemm", [*node.inputs, *arrays], node.name, transB=1)
        return
    weight = b.add("Transpose", arrays[:1], f"{node.name}.transposed", perm=[1, 0])
    has_bias = len(arrays) > 1
    product = f"{node.name}.product" if has_bias else node.name
    b.add("MatMul", [*node.inputs, weight], product)
    if has_bias:
        b.add("Add", [product, arrays[1]], node.name)


def batch_norm(b: Builder, node: Node) -> None:
    """BatchNormalization."""
    arrays = [b.array(node, s) for s in ("weight", "bias", "running_mean", "running_var")]
    b.add(
        "BatchNormalization",
        [*node.inputs, *arrays],
        node.name,
        epsilon=node.attributes["epsilon"],
        momentum=1 - node.attributes["momentum"],
    )


def layer_norm(b: Builder, node: Node) -> None:
    """LayerNormalization."""
    shape = node.attributes["shape"]
    if node.attributes["affine"]:
        arrays = [b.array(node, short) for short in ("weight", "bias")]
    else:
        arrays = [b.constant(f"{node.name}.ones", np.ones(shape), b.dtype)]
    epsilon = node.attributes["epsilon"]
    b.add(
        "LayerNormalization", [*node.inputs, *arrays], node.name, axis=-len(shape), epsilon=epsilon
    )


def class_token(b: Builder, node: Node) -> None:
    """The token repeated for every image, and Concat."""
    (short,) = node.row.stored(node.attributes)
    D = node.attributes["features"]
    token = b.array(node, short)
    batch = b.add("Shape", node.inputs, f"{node.name}.batch", start=0, end=1)
    rest = b.constant(f"{node.name}.shape_of_one", [1, D])
    shape = b.add("Concat", [batch, rest], f"{node.name}.shape", axis=0)
    tokens = b.add("Expand", [token, shape], f"{node.name}.tokens")
    b.add("Concat", [tokens, *node.inputs], node.name, axis=1)


def add_parameter(b: Builder, node: Node) -> None:
    """Add of a stored array."""
    _with_parameter(b, node, "Add")


def multiply_parameter(b: Builder, node: Node) -> None:
    """Mul by a stored array."""
    _with_parameter(b, node, "Mul")


def _with_parameter(b: Builder, node: Node, kind: str) -> None:
    (short,) = node.row.stored(node.attributes)
    value = b.aligned(node, len(node.attributes["shape"]))
    b.add(kind, [*value, b.array(node, short)], node.name)
