"""The types of vectors, and sizes that kernels are compiled for."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES

# A size that kernels are compiled for: a tuple of that length, whose items take no memory.
StaticSize = tuple[None, ...]


def static_size(size: int) -> StaticSize:
    """The size as kernels take it."""
    return (None,) * size


def lanes(dtype: Any) -> int:
    """Numbers of this dtype in one vector."""
    return VECTOR_BYTES // int(np.dtype(dtype).itemsize)


class VectorType(types.Type):
    """Numba type of one vector of float32 or float64, by default of a whole register."""

    def __init__(self, dtype: types.Float, lanes: int | None = None) -> None:
        self.dtype = dtype
        self.lanes = lanes or VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: VectorType) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))
