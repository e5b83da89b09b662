"""Parameters and buffers of a network before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network

Array = NDArray[Any]


def initialise(
    graph: Graph,
    generator: np.random.Generator,
    *,
    dtype: Any = np.float32,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Network:
    """A network with random weights.

    Convolution and linear weights: normal, variance 2 / (inputs of a unit) (He et al., 2015,
    "Delving deep into rectifiers", equation 10); biases 0; batch norm's scale 1, shift 0, running
    mean 0 and variance 1.  ``mean`` and ``std``: the input normalisation per channel, in units of
    the images ([0, 1]); default 0 and 1.
    """
    parameters: dict[str, Array] = {}
    for name, shape in graph.parameter_shapes.items():
        if name in graph.prunable:
            spread = np.sqrt(2 / np.prod(shape[1:]))
            parameters[name] = (generator.standard_normal(shape) * spread).astype(dtype)
        else:  # the scale of batch norm is the only other "weight"
            one = name.endswith(".weight")
            parameters[name] = np.full(shape, 1 if one else 0, dtype=dtype)
    given = {"mean": mean, "std": std}
    buffers: dict[str, Array] = {}
    for name, shape in graph.buffer_shapes.items():
        short = name.rsplit(".", 1)[1]
        values = given.get(short)
        default = 1.0 if short in ("std", "running_var") else 0.0
        buffers[name] = np.full(shape, default if values is None else values, dtype=dtype)
    return Network(graph, parameters, buffers)
