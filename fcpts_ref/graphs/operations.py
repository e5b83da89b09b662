"""What each operation of a graph means: its layer functions, shapes, parameters and buffers.

Adding a layer to the house: write its file in ``fcpts_ref/layers``, then add its row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fcpts_ref import layers
from fcpts_ref.errors import InputError
from fcpts_ref.layers.convolution import as_pair, geometry, output_size

Array = NDArray[Any]
Shape = tuple[int, ...]
Attributes = Mapping[str, Any]
Arrays = dict[str, Array]
Forward = Callable[[list[Array], Arrays, Attributes, bool], tuple[Array, Arrays, Any]]
Backward = Callable[[Array, Any], tuple[tuple[Array, ...], Arrays]]


def _nothing(attributes: Attributes) -> dict[str, Shape]:
    return {}


def _same_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return inputs[0]


@dataclass(frozen=True)
class Operation:
    """One row of ``OPERATIONS``.

    forward(inputs, stored, attributes, training) -> (value, changed buffers, cache); ``stored``
    holds the node's parameters and buffers by their short names ("weight", "running_mean").
    backward(dvalue, cache) -> (gradients of the inputs, gradients of the parameters by short name).
    shape(input shapes, attributes) -> shape of the value; shapes are without the batch.
    parameters(attributes), buffers(attributes) -> shapes by short name.
    arity: how many values it reads.
    """

    forward: Forward
    backward: Backward
    shape: Callable[[Sequence[Shape], Attributes], Shape] = _same_shape
    parameters: Callable[[Attributes], dict[str, Shape]] = _nothing
    buffers: Callable[[Attributes], dict[str, Shape]] = _nothing
    arity: int = 1


def _plain(
    forward: Callable[..., Any], backward: Callable[..., Any], *settings: str
) -> tuple[Forward, Backward]:
    """Forward and backward of an operation that stores nothing; ``settings`` name its keywords."""

    def run(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
        keywords = {name: attributes[name] for name in settings if name in attributes}
        value, cache = forward(*inputs, **keywords)
        return value, {}, cache

    def back(dvalue: Array, cache: Any) -> Any:
        gradients = backward(dvalue, cache)
        return (gradients if isinstance(gradients, tuple) else (gradients,)), {}

    return run, back


# Convolution and linear

_WALK = ("stride", "padding", "dilation", "groups")


def _convolution_forward(
    inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool
) -> Any:
    walk = {name: attributes[name] for name in _WALK if name in attributes}
    y, cache = layers.convolution_forward(inputs[0], stored["weight"], stored.get("bias"), **walk)
    return y, {}, cache


def _convolution_backward(dy: Array, cache: Any) -> Any:
    return _weight_and_bias(*layers.convolution_backward(dy, cache))


def _convolution_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = inputs[0]
    if attributes["in_channels"] != C:
        raise InputError(f"reads {C} channels; expected {attributes['in_channels']}")
    walk = geometry(**{name: attributes[name] for name in _WALK if name in attributes})
    if C % walk.groups or attributes["out_channels"] % walk.groups:
        raise InputError(
            f"has {C} and {attributes['out_channels']} channels; expected multiples of its "
            f"{walk.groups} groups"
        )
    R, S = as_pair(attributes["kernel"])
    P = output_size(H, R, walk.stride[0], walk.padding[0], walk.dilation[0])
    Q = output_size(W, S, walk.stride[1], walk.padding[1], walk.dilation[1])
    return attributes["out_channels"], P, Q


def _convolution_parameters(attributes: Attributes) -> dict[str, Shape]:
    C, K, G = attributes["in_channels"], attributes["out_channels"], attributes.get("groups", 1)
    shapes: dict[str, Shape] = {"weight": (K, C // G, *as_pair(attributes["kernel"]))}
    return shapes | ({"bias": (K,)} if attributes.get("bias", False) else {})


def _linear_forward(
    inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool
) -> Any:
    y, cache = layers.linear_forward(inputs[0], stored["weight"], stored.get("bias"))
    return y, {}, cache


def _linear_backward(dy: Array, cache: Any) -> Any:
    return _weight_and_bias(*layers.linear_backward(dy, cache))


def _linear_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    if inputs[0] != (attributes["in_features"],):
        raise InputError(f"reads {inputs[0]}; expected ({attributes['in_features']},)")
    return (attributes["out_features"],)


def _linear_parameters(attributes: Attributes) -> dict[str, Shape]:
    K, C = attributes["out_features"], attributes["in_features"]
    shapes: dict[str, Shape] = {"weight": (K, C)}
    return shapes | ({"bias": (K,)} if attributes.get("bias", True) else {})


def _weight_and_bias(dx: Array, dweight: Array, dbias: Array | None) -> Any:
    return (dx,), {"weight": dweight} | ({} if dbias is None else {"bias": dbias})


# Batch norm and normalisation


def _batch_norm_forward(
    inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool
) -> Any:
    settings = {name: attributes[name] for name in ("momentum", "epsilon") if name in attributes}
    (y, mean, var), cache = layers.batch_norm_forward(
        inputs[0],
        stored["weight"],
        stored["bias"],
        stored["running_mean"],
        stored["running_var"],
        training=training,
        **settings,
    )
    return y, ({"running_mean": mean, "running_var": var} if training else {}), cache


def _batch_norm_backward(dy: Array, cache: Any) -> Any:
    dx, dgamma, dbeta = layers.batch_norm_backward(dy, cache)
    return (dx,), {"weight": dgamma, "bias": dbeta}


def _batch_norm_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    if len(inputs[0]) != 3 or inputs[0][0] != attributes["channels"]:
        raise InputError(f"reads {inputs[0]}; expected {attributes['channels']} channels")
    return inputs[0]


def _normalise_forward(
    inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool
) -> Any:
    y, cache = layers.normalise_forward(inputs[0], stored["mean"], stored["std"])
    return y, {}, cache


# Shapes of the rest


def _pool_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = inputs[0]
    (R, S), (top, left) = as_pair(attributes["kernel"]), as_pair(attributes.get("padding", 0))
    down, right = as_pair(attributes.get("stride") or attributes["kernel"])
    return C, output_size(H, R, down, top), output_size(W, S, right, left)


def _subsample_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = inputs[0]
    stride = attributes["stride"]
    if stride < 1:
        raise InputError(f"has stride {stride}; expected at least 1")
    return C, -(-H // stride), -(-W // stride)


def _zero_pad_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = inputs[0]
    return attributes["before"] + C + attributes["after"], H, W


def _global_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, _, _ = inputs[0]
    return (C,)


def _flatten_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    features = 1
    for side in inputs[0]:
        features *= side
    return (features,)


def _add_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    a, b = inputs
    if a != b:
        raise InputError(f"adds shapes {a} and {b}; expected the same")
    return a


OPERATIONS: dict[str, Operation] = {
    "normalise": Operation(
        _normalise_forward,
        lambda dy, cache: ((layers.normalise_backward(dy, cache),), {}),
        buffers=lambda attributes: {
            "mean": (attributes["channels"],),
            "std": (attributes["channels"],),
        },
    ),
    "convolution": Operation(
        _convolution_forward, _convolution_backward, _convolution_shape, _convolution_parameters
    ),
    "linear": Operation(_linear_forward, _linear_backward, _linear_shape, _linear_parameters),
    "batch_norm": Operation(
        _batch_norm_forward,
        _batch_norm_backward,
        _batch_norm_shape,
        parameters=lambda attributes: {
            "weight": (attributes["channels"],),
            "bias": (attributes["channels"],),
        },
        buffers=lambda attributes: {
            "running_mean": (attributes["channels"],),
            "running_var": (attributes["channels"],),
        },
    ),
    "relu": Operation(*_plain(layers.relu_forward, layers.relu_backward)),
    "relu6": Operation(*_plain(layers.relu6_forward, layers.relu6_backward)),
    "max_pool": Operation(
        *_plain(layers.max_pool_forward, layers.max_pool_backward, "kernel", "stride", "padding"),
        _pool_shape,
    ),
    "average_pool": Operation(
        *_plain(
            layers.average_pool_forward,
            layers.average_pool_backward,
            "kernel",
            "stride",
            "padding",
        ),
        _pool_shape,
    ),
    "global_average_pool": Operation(
        *_plain(layers.global_average_pool_forward, layers.global_average_pool_backward),
        _global_shape,
    ),
    "subsample": Operation(
        *_plain(layers.subsample_forward, layers.subsample_backward, "stride"), _subsample_shape
    ),
    "zero_pad": Operation(
        *_plain(layers.zero_pad_forward, layers.zero_pad_backward, "before", "after"),
        _zero_pad_shape,
    ),
    "add": Operation(*_plain(layers.add_forward, layers.add_backward), _add_shape, arity=2),
    "flatten": Operation(*_plain(layers.flatten_forward, layers.flatten_backward), _flatten_shape),
    "softmax": Operation(*_plain(layers.softmax_forward, layers.softmax_backward)),
    "log_softmax": Operation(*_plain(layers.log_softmax_forward, layers.log_softmax_backward)),
}
