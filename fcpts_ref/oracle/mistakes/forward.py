"""Mistakes in the forward pass: every node but batch norm, computed with each of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.activations import relu_variants
from fcpts_ref.oracle.mistakes.computed import (
    Variants,
    gathered,
    layer,
    places_of,
    pointwise,
)
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.oracle.mistakes.normalisation import batch_norm_variants
from fcpts_ref.oracle.mistakes.normalised_input import input_variants
from fcpts_ref.oracle.mistakes.pools import (
    average_pool_variants,
    global_average_pool_variants,
    max_pool_variants,
)
from fcpts_ref.oracle.mistakes.values import value_of
from fcpts_ref.oracle.mistakes.weighted import convolution_variants, linear_variants


def _add(evidence: Evidence, node: Node) -> Variants:
    a, b = (value_of(evidence, name) for name in node.inputs)
    yield "add-first-alone", lambda: pointwise(a, 1.0, 0.0)
    yield "add-second-alone", lambda: pointwise(b, 0.0, 1.0)
    yield "add-difference", lambda: pointwise(a - b, 1.0, -1.0)
    yield "add-difference", lambda: pointwise(b - a, -1.0, 1.0)
    yield "add-mean", lambda: pointwise((a + b) / 2, 0.5, 0.5)
    yield "add-product", lambda: pointwise(a * b, b, a)
    yield "add-relu", lambda: pointwise(np.maximum(a, 0) + b, a > 0, 1.0)
    yield "add-relu", lambda: pointwise(a + np.maximum(b, 0), 1.0, b > 0)


def _shortcut(evidence: Evidence, node: Node) -> Variants:
    x, stride = value_of(evidence, node.inputs[0]), node.attributes["stride"]
    moved = np.roll(places_of(x), (-1, -1), (1, 2))[:, ::stride, ::stride]
    yield "subsample-offset", lambda: gathered(x, moved)
    window: Any = {"kernel": (stride, stride), "stride": (stride, stride)}
    pool = layers.average_pool_forward, layers.average_pool_backward
    yield "subsample-mean", lambda: layer(*pool, x, **window)


def _zero_pad(evidence: Evidence, node: Node) -> Variants:
    x = value_of(evidence, node.inputs[0])
    more = node.attributes["before"] + node.attributes["after"]
    for name, channels in (("pad-at-end", (0, more)), ("pad-at-start", (more, 0))):
        places = np.pad(places_of(x), (channels, (0, 0), (0, 0)), constant_values=-1)
        yield name, partial(gathered, x, places)


def _flatten(evidence: Evidence, node: Node) -> Variants:
    x = value_of(evidence, node.inputs[0])
    for name, axes in (("channels-last", (1, 2, 0)), ("columns", (0, 2, 1))):
        places = places_of(x).transpose(axes).ravel()
        yield f"flatten-{name}", partial(gathered, x, places)


BY_OPERATION = {
    "convolution": convolution_variants,
    "linear": linear_variants,
    "batch_norm": batch_norm_variants,
    "normalise": input_variants,
    "relu": relu_variants,
    "relu6": relu_variants,
    "add": _add,
    "subsample": _shortcut,
    "zero_pad": _zero_pad,
    "average_pool": average_pool_variants,
    "max_pool": max_pool_variants,
    "global_average_pool": global_average_pool_variants,
    "flatten": _flatten,
}
"""By operation: the node computed with each mistake, on demand."""


def _logits(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """The logits are the value of the output's node."""
    other = {"dense_logits": "sparse_logits", "sparse_logits": "dense_logits"}[evidence.quantity]
    if other in evidence.given:
        yield "logits-of-other", evidence.given[other]
    yield (
        "logits-softmax",
        np.exp(evidence.value) / np.exp(evidence.value).sum(axis=1, keepdims=True),
    )
    T = evidence.conventions.temperature
    if T != 1:
        yield "logits-by-temperature", evidence.value / T


VALUES: dict[str, Values] = {"dense_logits": _logits, "sparse_logits": _logits}
