"""Layer norm, biases, input normalisation and padding from their parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fcpts_ref.interchange.onnx.draft import Constant, Draft, Held
from fcpts_ref.interchange.onnx.operators.windows import decimal
from fcpts_ref.interchange.onnx.patterns.matching import Match


def layer_norm(match: Match, name: str) -> bool:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon)."""
    for deviation, spread in _quotients(match, name):
        root = match.node(spread, "sqrt")
        shifted = match.number(root.inputs[0], "add_parameter") if root else None
        variance = match.node(match.through(shifted[0]), "mean") if shifted else None
        if shifted is None or variance is None:
            continue
        x = _centred(match, deviation)
        squares = match.factors(match.through(variance.inputs[0]), [deviation])[0]
        if x is None or len(squares) != 2 or any(_centred(match, s) != x for s in squares):
            continue
        shape = _trailing(match, x[0], match.drafts.shapes[variance.inputs[0]][-1])
        if shape != x[1]:
            continue
        attributes = {"shape": shape, "epsilon": decimal(shifted[1]), "affine": False}
        match.drafts.change(
            name, operation="layer_norm", inputs=(x[0],), attributes=attributes, arrays={}
        )
        return True
    return False


def _quotients(match: Match, name: str) -> list[tuple[str, str]]:
    """Return (dividend, divisor) of a quotient, or of a product with a reciprocal."""
    if (node := match.node(name, "divide")) is not None:
        return [(node.inputs[0], match.through(node.inputs[1]))]
    if (node := match.node(name, "multiply")) is None:
        return []
    pairs = [node.inputs, node.inputs[::-1]]
    inverse = [(a, match.node(match.through(b), "reciprocal")) for a, b in pairs]
    return [(a, match.through(b.inputs[0])) for a, b in inverse if b is not None]


def _centred(match: Match, name: str) -> tuple[str, tuple[int, ...]] | None:
    """Return x, and its axes over which the mean is taken, if the value is x - mean(x)."""
    node = match.node(name, "subtract")
    mean = match.node(match.through(node.inputs[1]), "mean") if node else None
    if (
        node is None
        or mean is None
        or match.through(mean.inputs[0]) != match.through(node.inputs[0])
    ):
        return None
    if tuple(mean.attributes["axes"]) != (-1,):
        return None
    count = match.drafts.shapes[mean.inputs[0]][-1]
    shape = _trailing(match, node.inputs[0], count)
    return (node.inputs[0], shape) if shape else None


def _trailing(match: Match, x: str, count: int) -> tuple[int, ...]:
    """Return the last axes of ``x`` that hold ``count`` elements, () if there are none such."""
    shape = match.drafts.shapes[x]
    for first in reversed(range(len(shape))):
        if math.prod(shape[first:]) == count:
            return shape[first:]
    return ()


def keras_layer_norm(match: Match, name: str) -> bool:
    """x scale + (shift - mean scale), where scale = gamma / sqrt(variance + epsilon), as in Keras.

    Without a shift, which exporters leave out if it is 0, the scale stays a node of its own.
    """
    total = match.node(name, "add")
    for product, rest in () if total is None else (total.inputs, total.inputs[::-1]):
        shift = match.node(rest, "add_parameter")
        scale = _common_scale(match, product, shift.inputs[0] if shift else rest)
        if scale is None:
            continue
        x, gamma, epsilon = scale
        shape = (match.drafts.shapes[x][-1],)
        if gamma.attributes["shape"] != shape or (shift and shift.attributes["shape"] != shape):
            continue
        attributes = {"shape": shape, "epsilon": epsilon, "affine": shift is not None}
        if shift is not None:
            arrays = {"weight": gamma.arrays[""], "bias": shift.arrays[""]}
            match.drafts.change(
                name, operation="layer_norm", inputs=(x,), attributes=attributes, arrays=arrays
            )
        elif match.alone(product):
            match.drafts.change(
                product, operation="layer_norm", inputs=(x,), attributes=attributes, arrays={}
            )
            match.drafts.change(
                name, operation="multiply_parameter", inputs=(product,),
                attributes=gamma.attributes, arrays=gamma.arrays,
            )  # fmt: skip
        else:
            continue
        return True
    return False


def _common_scale(match: Match, product: str, negated: str) -> tuple[str, Draft, float] | None:
    """Return x, the node of gamma, and epsilon if the values are x scale and -mean(x) scale."""
    factors, others = match.node(product, "multiply"), match.factors(negated)
    if factors is None or len(others[0]) != 2:
        return None
    for x, scale in (factors.inputs, factors.inputs[::-1]):
        gamma = match.node(scale, "multiply_parameter")
        inverse = match.node(_uncopied(match, gamma.inputs[0]), "reciprocal") if gamma else None
        root = match.node(match.through(inverse.inputs[0]), "sqrt") if inverse else None
        epsilon = _epsilon(match, root.inputs[0], x) if root else None
        if gamma is None or epsilon is None or scale not in others[0]:
            continue
        value, factor = match.scaled(match.through(_other(others[0], scale)))
        mean = match.node(match.through(value), "mean")
        if mean is not None and mean.inputs[0] == x and factor * others[1] == -1:
            return x, gamma, epsilon
    return None


def _other(pair: list[str], one: str) -> str:
    return pair[1] if pair[0] == one else pair[0]


def _epsilon(match: Match, name: str, x: str) -> float | None:
    """Return epsilon if the value is the variance of x over its last axis, plus epsilon."""
    shifted = match.number(match.through(name), "add_parameter")
    variance = match.node(match.through(shifted[0]), "mean") if shifted else None
    if shifted is None or variance is None or tuple(variance.attributes["axes"]) != (-1,):
        return None
    squares = match.factors(match.through(variance.inputs[0]))[0]
    centred = [_centred(match, square) for square in squares]
    if len(squares) != 2 or any(one is None or one[0] != x for one in centred):
        return None
    return decimal(shifted[1])


def _uncopied(match: Match, name: str) -> str:
    """Return the value of which ``name`` is a row of copies, or a reshape of it."""
    name = match.through(name)
    row = match.node(name, "concat")
    return match.through(row.inputs[0]) if row and len(set(row.inputs)) == 1 else name


def affine(match: Match, name: str) -> bool:
    """Scale and shift after a layer norm, as its own arrays."""
    shift = match.node(name, "add_parameter")
    scale = match.node(shift.inputs[0], "multiply_parameter") if shift else None
    norm = match.node(scale.inputs[0], "layer_norm") if scale else None
    if shift is None or scale is None or norm is None or norm.attributes["affine"]:
        return False
    shape = norm.attributes["shape"]
    if {n.attributes["shape"] for n in (shift, scale)} != {shape}:
        return False
    if not (match.alone(shift.inputs[0]) and match.alone(scale.inputs[0])):
        return False
    match.drafts.change(
        name,
        label=norm.label,
        operation="layer_norm",
        inputs=norm.inputs,
        attributes={**norm.attributes, "affine": True},
        arrays={"weight": scale.arrays[""], "bias": shift.arrays[""]},
    )
    return True


def bias(match: Match, name: str) -> bool:
    """A bias that is added after a linear layer or a convolution without one."""
    shift = match.node(name, "add_parameter")
    layer = match.node(shift.inputs[0], "linear", "convolution") if shift else None
    if shift is None or layer is None or layer.attributes["bias"]:
        return False
    K = layer.arrays["weight"].constant.array.shape[0]
    expected = (K,) if layer.operation == "linear" else (K, 1, 1)
    held = shift.arrays[""]
    if shift.attributes["shape"] != expected or not match.alone(shift.inputs[0]):
        return False
    match.drafts.change(
        name,
        label=layer.label,
        operation=layer.operation,
        inputs=layer.inputs,
        attributes={**layer.attributes, "bias": True},
        arrays={**layer.arrays, "bias": replace(held, constant=held.constant.reshaped((K,)))},
    )
    return True


def normalise(match: Match, name: str) -> bool:
    """(x - mean) / std of the network's images."""
    scale = match.node(name, "multiply_parameter")
    shift = match.node(scale.inputs[0], "add_parameter") if scale else None
    if scale is None or shift is None or shift.inputs[0] not in match.drafts.inputs:
        return False
    shape = match.drafts.shapes[shift.inputs[0]]
    C = shape[0]
    arrays = [node.arrays[""] for node in (shift, scale)]
    if len(shape) != 3 or any(a.constant.array.shape not in ((1,), (C, 1, 1)) for a in arrays):
        return False
    minus_mean, factor = (np.broadcast_to(a.constant.array.ravel(), (C,)) for a in arrays)
    if not (np.isfinite(factor) & (factor > 0)).all():
        return False
    made = {"mean": -minus_mean, "std": 1 / factor}
    match.drafts.change(
        name,
        label="normalise",
        operation="normalise",
        inputs=shift.inputs,
        attributes={"channels": C},
        arrays=_computed(made, arrays[0]),
    )
    return True


def _computed(arrays: Mapping[str, Any], like: Held) -> dict[str, Held]:
    return {short: replace(like, constant=Constant(array)) for short, array in arrays.items()}


def padding(match: Match, name: str) -> bool:
    """Zeros around images before a convolution, as its padding."""
    layer = match.node(name, "convolution")
    pad = match.node(layer.inputs[0], "pad") if layer else None
    if layer is None or pad is None or not _is_border(pad):
        return False
    _, top, left, _, bottom, right = pad.attributes["pads"]
    sides = zip(layer.attributes["padding"], (top, left, bottom, right), strict=True)
    attributes = {**layer.attributes, "padding": tuple(a + b for a, b in sides)}
    match.drafts.change(name, inputs=pad.inputs, attributes=attributes)
    return True


def _is_border(pad: Draft) -> bool:
    pads = pad.attributes["pads"]
    channels = len(pads) == 6 and (pads[0], pads[3]) == (0, 0)
    return channels and min(pads) >= 0 and pad.attributes["value"] == 0
