"""The row of an operation: everything that graphs, engines, files and methods know about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.attributes import Attribute, complete

Array = NDArray[Any]
Arrays = dict[str, Array]
Shape = tuple[int, ...]
Attributes = Mapping[str, Any]
Forward = Callable[[list[Array], Arrays, Attributes, bool], tuple[Array, Arrays, Any]]
Backward = Callable[[Array, Any], tuple[tuple[Array, ...], Arrays]]
Channels = NDArray[np.int64]

Role = Literal["weight", "scale", "bias", "embedding", "statistic", "constant"]
LEARNED: tuple[Role, ...] = ("weight", "scale", "bias", "embedding")
Initial = Literal["he", "ones", "zeros", "small"]


@dataclass(frozen=True)
class Stored:
    """One array that a node stores.

    role: a "weight" can be pruned (convention 14); "scale", "bias" and "embedding" are learned
        too; a "statistic" is updated in training; a "constant" never changes.
    initial: "he" (normal, variance 2 / fan-in), "ones", "zeros", or "small" (normal, standard
        deviation 0.02: Dosovitskiy et al. and their successors for embeddings).
    positive: "strictly" if all values must be above 0, "weakly" if they must be at least 0.
    """

    shape: Shape
    role: Role
    initial: Initial = "zeros"
    positive: Literal["no", "weakly", "strictly"] = "no"

    @property
    def learned(self) -> bool:
        """Whether the array is a parameter; otherwise it is a buffer."""
        return self.role in LEARNED


def _same_shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return inputs[0]


def _nothing_stored(attributes: Attributes) -> dict[str, Stored]:
    return {}


def _no_macs(inputs: Sequence[Shape], output: Shape, attributes: Attributes) -> int:
    return 0


def one_to_one(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """Every output channel carries the input channel of the same index."""
    return tuple(np.arange(shape[0]) for shape in inputs)


def mixed(inputs: Sequence[Shape], attributes: Attributes) -> tuple[Channels | None, ...]:
    """Every output channel reads every input channel."""
    return tuple(None for _ in inputs)


@dataclass(frozen=True)
class Operation:
    """One row of ``OPERATIONS``.  Shapes are without the batch; channels are the first axis.

    forward(inputs, stored, attributes, training) -> (value, changed buffers, cache); ``stored``
        holds the node's arrays by their short names ("weight", "running_mean").
    backward(dvalue, cache) -> (gradients of the inputs, gradients of the parameters by short name).
    attributes: the settings of a node, with types and defaults; any other name is an error.
    shape(input shapes, attributes) -> shape of the value.  Raises InputError if they do not fit.
    stored(attributes) -> the arrays that a node stores, by short name.
    macs(input shapes, output shape, attributes) -> multiply-accumulates with a weight per image.
    channels(input shapes, attributes) -> for each input, the input channel that every output
        channel carries, -1 for none of this input; None if it mixes all of them.
    arity: the number of values it reads; None for one or more.
    """

    forward: Forward
    backward: Backward
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    shape: Callable[[Sequence[Shape], Attributes], Shape] = _same_shape
    stored: Callable[[Attributes], dict[str, Stored]] = _nothing_stored
    macs: Callable[[Sequence[Shape], Shape, Attributes], int] = _no_macs
    channels: Callable[[Sequence[Shape], Attributes], tuple[Channels | None, ...]] = one_to_one
    arity: int | None = 1

    def complete(self, given: Attributes) -> dict[str, Any]:
        """Return all attributes of a node: the given ones, checked, and defaults for the others.

        Raises InputError for an unknown name, a missing value or one of the wrong type.
        """
        return complete(self.attributes, given)


def simple(forward: Callable[..., Any], backward: Callable[..., Any]) -> tuple[Forward, Backward]:
    """Forward and backward of a row that stores nothing; attributes are keyword arguments."""

    def run(inputs: list[Array], stored: Arrays, attributes: Attributes, training: bool) -> Any:
        value, cache = forward(*inputs, **attributes)
        return value, {}, cache

    def back(dvalue: Array, cache: Any) -> Any:
        gradients = backward(dvalue, cache)
        return (gradients if isinstance(gradients, tuple) else (gradients,)), {}

    return run, back


def weight_and_bias(
    dx: Array, dweight: Array, dbias: Array | None
) -> tuple[tuple[Array, ...], Arrays]:
    """Convert the gradients of a weighted layer to the form of ``Operation.backward``."""
    return (dx,), {"weight": dweight} | ({} if dbias is None else {"bias": dbias})


def weights_macs(inputs: Sequence[Shape], output: Shape, weight: Shape) -> int:
    """Multiply-accumulates where every output is a sum over one row of the weight (K, ...)."""
    return math.prod(output) * math.prod(weight[1:])


def image_shape(shape: Shape) -> tuple[int, int, int]:
    """Return (C, H, W).  Raises InputError for a value of another rank."""
    if len(shape) != 3:
        raise InputError(f"reads {shape}; expected channels, height and width")
    C, H, W = shape
    return C, H, W
