"""The cases of activations: random values, large ones, and kinks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import activations
from tools.vectors.draw import Draw
from tools.vectors.pairs import Inputs, add_pair, make_layer_group
from tools.vectors.suite import Group

SMOOTH = ("sigmoid", "tanh", "silu")
LARGE = np.array([-800.0, -100.0, -40.0, -9.0, 9.0, 40.0, 100.0, 800.0])


def make_groups() -> list[Group]:
    """Make the groups of smooth activations, and of those in pieces."""
    return [_smooth(), _pieces(), _dropout()]


def _values(**settings: Any) -> Inputs:
    return lambda draw: {"x": draw.weights(2, 3, 2, 2, scale=2.0)} | settings


def _at(values: Any, **settings: Any) -> Inputs:
    def inputs(draw: Draw) -> dict[str, Any]:
        return {"x": np.array(values, dtype=np.float64)} | settings

    return inputs


def _smooth() -> Group:
    names = (*SMOOTH, "gelu")
    rules = {f"{name}_{way}": "transcendental" for name in names for way in ("forward", "backward")}
    group = make_layer_group(
        activations, "smooth_activations", "Sigmoid, tanh, SiLU and GELU", **rules
    )
    group.note(
        "EXTREME",
        why="exp overflows near 710; 1 - tanh and erf lose every digit of small results.",
        effect="NaN, or gradients that are 0 too early.",
    )
    for number, name in zip((1, 11, 21), SMOOTH, strict=True):
        add_pair(group, number, name, "images", _values())
        add_pair(group, number + 1, name, "at 0", _at([0.0]), flags=("EDGE",))
        add_pair(group, number + 2, name, "large numbers", _at(LARGE), flags=("EXTREME",))
    for number, approximate in ((31, "none"), (41, "tanh")):
        settings = {"approximate": approximate}
        add_pair(group, number, "gelu", f"approximate {approximate}", _values(**settings))
        add_pair(group, number + 1, "gelu", "at 0", _at([0.0], **settings), flags=("EDGE",))
        add_pair(group, number + 2, "gelu", "large numbers", _at(LARGE, **settings),
                 flags=("EXTREME",))  # fmt: skip
    group.reject(90, "gelu_forward", "an unknown approximation",
                 {"x": np.ones(2), "approximate": "sigmoid"})  # fmt: skip
    return group


def _pieces() -> Group:
    group = make_layer_group(
        activations, "pieces", "Clip, leaky ReLU, hard sigmoid and hard swish",
        clip_forward="exact", clip_backward="exact",
        leaky_relu_forward="rounded", leaky_relu_backward="rounded",
        hard_sigmoid_forward="sum", hard_sigmoid_backward="rounded",
        hard_swish_forward="sum", hard_swish_backward="sum",
    )  # fmt: skip
    group.note(
        "BOUNDARY",
        why="The derivative at a kink is a choice: that of the flat side; leaky ReLU's slope at 0.",
        effect="Values that are exactly at a bound, as after another clip, let gradients through.",
    )
    edge = ("BOUNDARY",)
    add_pair(group, 1, "clip", "images", _values(low=-1.0, high=1.5))
    add_pair(group, 2, "clip", "as ReLU6", _values(low=0.0, high=6.0))
    add_pair(group, 3, "clip", "both kinks", _at([-2, -1, 0, 0.5, 1], low=-1.0, high=0.5),
             flags=edge)  # fmt: skip
    group.reject(90, "clip_forward", "the bounds are in the wrong order",
                 {"x": np.ones(2), "low": 1.0, "high": 0.0})  # fmt: skip
    add_pair(group, 11, "leaky_relu", "images", _values(slope=0.01))
    add_pair(group, 12, "leaky_relu", "a steep slope", _values(slope=0.25))
    add_pair(group, 13, "leaky_relu", "the kink", _at([-1, -0.0, 0, 1], slope=0.25), flags=edge)
    add_pair(group, 21, "hard_sigmoid", "PyTorch's", _values(alpha=1 / 6, beta=0.5))
    add_pair(group, 22, "hard_sigmoid", "ONNX's", _values(alpha=0.2, beta=0.5))
    add_pair(group, 23, "hard_sigmoid", "both kinks",
             _at([-3, -2, 0, 2, 3], alpha=0.25, beta=0.5), flags=edge)  # fmt: skip
    add_pair(group, 31, "hard_swish", "images", _values())
    add_pair(group, 32, "hard_swish", "both kinks", _at([-4, -3, 0, 3, 4]), flags=edge)
    return group


def _dropout() -> Group:
    group = make_layer_group(
        activations, "dropout", "Dropout as in evaluation",
        dropout_forward="exact", dropout_backward="exact",
    )  # fmt: skip
    add_pair(group, 1, "dropout", "nothing is dropped, nothing is scaled", _values(rate=0.5))
    return group
