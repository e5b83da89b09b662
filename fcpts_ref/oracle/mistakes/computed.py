"""A node computed with a mistake: its value, and the gradients that follow from it.

Programs that differentiate automatically follow a mistake made in the forward pass, so a mistake
there predicts both: every one is a ``Computed``, with its derivative beside its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.values import run_forward

Gradients = tuple[Sequence[Array], Mapping[str, Array]]
"""Of the node's inputs, and of its stored arrays by their short names."""


@dataclass(frozen=True, eq=False)
class Computed:
    """backward: from the gradient of the value to those of inputs and stored arrays."""

    value: Array
    backward: Callable[[Array], Gradients]


Later = Callable[[], Computed]
Variants = Iterator[tuple[str, Later | Constant]]
"""The names of mistakes in a node, each with a function that computes the node with it."""


def pointwise(value: Array, *slopes: Any) -> Computed:
    """A function of single elements, with its derivative by every input."""
    return Computed(value, lambda dy: ([dy * slope for slope in slopes], {}))


def gathered(x: Array, places: Array) -> Computed:
    """Elements of x (B, ...) moved to other places: flat indices in an image, -1 for a 0."""
    flat = x.reshape(len(x), -1)

    def backward(dy: Array) -> Gradients:
        dx = np.zeros((flat.shape[1] + 1, len(x)))  # the last row receives what has no place
        np.add.at(dx, places, np.moveaxis(dy, 0, -1))
        return [dx[:-1].T.reshape(x.shape)], {}

    return Computed(np.where(places < 0, 0.0, flat[:, places]), backward)


def places_of(x: Array) -> Array:
    """Return the flat index of every element in its image, in the shape of an image."""
    return np.arange(x[0].size).reshape(x.shape[1:])


def layer(
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[..., Array],
    x: Array,
    **settings: Any,
) -> Computed:
    """Another layer of one input in the node's place."""
    y, cache = forward(x, **settings)
    return Computed(np.asarray(y), lambda dy: ([np.asarray(backward(dy, cache))], {}))


def rerun(
    evidence: Evidence,
    node: Node,
    changed: dict[str, Array],
    **through: Callable[[Array], Array],
) -> Computed:
    """The node with some of its arrays replaced.

    through: by short name, from the gradient of the array that was used to that of the stored one.
    """
    value, cache = run_forward(evidence, node, changed)

    def backward(dy: Array) -> Gradients:
        dinputs, dstored = node.row.backward(dy, cache)
        dstored = {n: through[n](d) if n in through else d for n, d in dstored.items()}
        return [np.asarray(dx) for dx in dinputs], dstored

    return Computed(value, backward)
