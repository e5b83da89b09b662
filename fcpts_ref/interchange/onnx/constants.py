"""Evaluation of nodes whose inputs are all known: shapes, indices, weights that are rearranged.

Each operator is one NumPy expression; a result is not made before its size is known to be small
against what it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.evaluators import ELEMENTWISE, EVALUATORS, range_length
from fcpts_ref.interchange.onnx.reading import OnnxNode

Array = NDArray[Any]
Settings = dict[str, Any]

ALLOWANCE: Final = 1 << 26  # bytes that all results together may take,
EXPANSION: Final = 8  # and so many times the bytes of the model's arrays


@dataclass
class Budget:
    """The bytes that evaluated constants may still take."""

    limit: int
    used: int = field(default=0, init=False)

    def take(self, size: int) -> None:
        """Raise InputError if ``size`` more bytes exceed the limit."""
        self.used += size
        if self.used > self.limit:
            raise InputError(
                f"its constants take over {self.limit:,} bytes when evaluated: refused"
            )


def evaluate(node: OnnxNode, inputs: Sequence[Array | None], budget: Budget) -> list[Array] | None:
    """Return a node's outputs from known inputs, None for an operator that is not evaluated.

    Raises InputError for inputs that do not fit and results that are too large.
    """
    function = EVALUATORS.get(node.kind)
    if function is None:
        return None
    try:
        budget.take(_bound(node, inputs))
        with np.errstate(all="ignore"):
            result = function(node.settings, *inputs)
    except InputError:
        raise
    except _MISFITS as error:
        raise InputError(f"{node} cannot be evaluated ({str(error)[:80]})") from error
    arrays = result if isinstance(result, list) else [result]
    return [np.asarray(array) for array in arrays]


_MISFITS = (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError)


def _bound(node: OnnxNode, inputs: Sequence[Array | None]) -> int:
    """Return an upper bound of the result's bytes."""
    known = [array for array in inputs if array is not None]
    growth = GROWTH.get(node.kind)
    if growth is not None:
        return 8 * growth(node.settings, *inputs)
    if node.kind in ELEMENTWISE:
        return 8 * math.prod(np.broadcast_shapes(*(array.shape for array in known)))
    return 8 * sum(array.size for array in known) + 8


def _tile_size(settings: Settings, x: Any, repeats: Any) -> int:
    return int(x.size * math.prod(int(n) for n in repeats))


def _shape_size(settings: Settings, shape: Any) -> int:
    return math.prod(max(0, int(n)) for n in shape)


def _expand_size(settings: Settings, x: Any, shape: Any) -> int:
    return math.prod(np.broadcast_shapes(x.shape, tuple(int(n) for n in shape)))


def _gather_size(settings: Settings, x: Any, indices: Any) -> int:
    return int(max(1, indices.size) * x.size // max(1, x.shape[settings.get("axis", 0)]))


def _matmul_size(settings: Settings, a: Any, b: Any) -> int:
    if a.ndim != 2 or b.ndim != 2:
        raise InputError("a matrix product of constants that are no matrices is not supported")
    return int(a.shape[0] * b.shape[1])


GROWTH: Final[dict[str, Callable[..., int]]] = {
    "Range": range_length,
    "Tile": _tile_size,
    "ConstantOfShape": _shape_size,
    "Expand": _expand_size,
    "Gather": _gather_size,
    "MatMul": _matmul_size,
}
