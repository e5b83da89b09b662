"""Mistakes in pooling: another mean, another border, another kind."""

from __future__ import annotations

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.pooling import windows_of
from fcpts_ref.layers.padding import ends
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import (
    Computed,
    Variants,
    gathered,
    layer,
)
from fcpts_ref.oracle.mistakes.values import value_of, window_of
from fcpts_ref.oracle.mistakes.weighted import bordered


def average_pool_variants(evidence: Evidence, node: Node) -> Variants:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    average = layers.average_pool_forward, layers.average_pool_backward
    right = node.attributes["count_include_pad"]
    yield "pool-without-padding", lambda: layer(*average, x, **window, count_include_pad=not right)
    size = float(np.prod(window["kernel"]))

    def added() -> Computed:
        mean = layer(*average, x, **window, count_include_pad=True)
        return Computed(size * mean.value, lambda dy: mean.backward(size * dy))

    yield "pool-sum", added
    yield (
        "pool-maximum",
        lambda: layer(layers.max_pool_forward, layers.max_pool_backward, x, **window),
    )


def max_pool_variants(evidence: Evidence, node: Node) -> Variants:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    yield (
        "pool-mean-for-maximum",
        lambda: layer(layers.average_pool_forward, layers.average_pool_backward, x, **window),
    )
    sides = ((0, 0), *ends(windows_of(node.attributes).padded(x.shape[2:])))

    def with_zeros() -> Computed:
        padded = gathered(x, bordered(x, sides, ""))
        pool = layers.max_pool_forward, layers.max_pool_backward
        maxima = layer(*pool, padded.value, **(window | {"padding": 0}))
        return Computed(maxima.value, lambda dy: padded.backward(maxima.backward(dy)[0][0]))

    yield "pool-zero-padding", with_zeros


def global_average_pool_variants(evidence: Evidence, node: Node) -> Variants:
    x = value_of(evidence, node.inputs[0])
    top = x.max(axis=(2, 3), keepdims=True)

    def spread(weights: Array, dy: Array) -> Array:
        return weights * dy[:, :, np.newaxis, np.newaxis]

    added = Computed(x.sum(axis=(2, 3)), lambda dy: ([spread(np.ones_like(x), dy)], {}))
    largest = Computed(top[:, :, 0, 0], lambda dy: ([spread(x == top, dy)], {}))
    yield "pool-sum", lambda: added
    yield "pool-maximum", lambda: largest
