"""Sparse initialisers: the values of a weight that are not zero, and their places."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np

from fcpts_ref.interchange.onnx.library import onnx_library

LEAST_ZEROS: Final = 2 / 3
"""A value takes 4 bytes and its place 8: with fewer zeros a sparse float32 array is larger."""


def make_sparse(model: Any, weights: Collection[str]) -> int:
    """Replace initialisers of mostly zeros by sparse ones, and return their number.

    weights: names of our arrays; initialisers of other names are sparse too if they have two axes
    or more.  The places are linear indices.
    """
    onnx = onnx_library()
    graph = model.graph
    chosen = []
    for tensor in graph.initializer:
        is_float = tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
        if is_float and (tensor.name in weights or len(tensor.dims) > 1):
            array = onnx.numpy_helper.to_array(tensor)
            if np.count_nonzero(array) < (1 - LEAST_ZEROS) * array.size:
                chosen.append((tensor, array))
    for tensor, array in chosen:
        places = np.flatnonzero(array)
        sparse = graph.sparse_initializer.add()
        values = onnx.numpy_helper.from_array(array.ravel()[places], tensor.name)
        sparse.values.CopyFrom(values)
        sparse.indices.CopyFrom(onnx.numpy_helper.from_array(places.astype(np.int64), ""))
        sparse.dims.extend(array.shape)
        graph.initializer.remove(tensor)
    return len(chosen)
