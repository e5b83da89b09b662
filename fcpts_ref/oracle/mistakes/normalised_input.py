"""Mistakes in the normalised input."""

from __future__ import annotations

from functools import partial

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import Variants, pointwise
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.values import stored_of, value_of, wide


def input_variants(evidence: Evidence, node: Node) -> Variants:
    """Yield the normalised input with each mistake."""
    x, stored = value_of(evidence, node.inputs[0]), stored_of(evidence, node)
    mean, std = wide(stored["mean"]), wide(stored["std"])
    for name, value, slope in (
        ("input-not-normalised", x, 1.0),
        ("input-mean-not-subtracted", x / std, 1 / std),
        ("input-not-divided", x - mean, 1.0),
        ("input-multiplied", (x - mean) * std, std),
        ("input-by-variance", (x - mean) / (std * std), std**-2),
        ("input-twice", ((x - mean) / std - mean) / std, std**-2),
        ("input-mean-after", x / std - mean, 1 / std),
        ("input-mean-added", (x + mean) / std, 1 / std),
        ("input-channels-reversed", (x - mean[::-1]) / std[::-1], 1 / std[::-1]),
        ("input-from-minus-1", (2 * x - 1 - mean) / std, 2 / std),
        ("input-from-minus-1", 2 * x - 1, 2.0),
    ):
        yield name, partial(pointwise, value, slope)

    def read(found: Array) -> list[float]:
        """Solve (c x - mean) / std = found for c."""
        return ratio(found * std + mean, x) if found.shape == x.shape else []

    yield (
        "input-scaled",
        Constant(read, lambda c: pointwise((c * x - mean) / std, c / std), (0.0, 1.0)),
    )
