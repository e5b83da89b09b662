"""Initial parameters and buffers of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.graphs.operations.operation import Stored

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

    Convolution and linear weights: normal, variance 2 / fan-in (He et al., 2015, "Delving deep
    into rectifiers", equation 10); embeddings: normal, standard deviation 0.02; biases 0; the
    scale of a normalisation 1, its shift 0, running mean 0 and variance 1.

    mean, std: the input normalisation per channel, in units of the images ([0, 1]); default 0, 1.
    """
    given = {"mean": mean, "std": std}
    arrays: dict[str, Array] = {}
    for name, stored in graph.stored.items():
        values = given.get(name.rsplit(".", 1)[1]) if stored.role == "constant" else None
        if values is not None:
            arrays[name] = np.full(stored.shape, values, dtype=dtype)
        else:
            arrays[name] = _initial(stored, generator).astype(dtype)
    return Network(
        graph,
        {name: arrays[name] for name in graph.parameter_shapes},
        {name: arrays[name] for name in graph.buffer_shapes},
    )


def _initial(stored: Stored, generator: np.random.Generator) -> Array:
    if stored.initial == "he":
        spread = np.sqrt(2 / np.prod(stored.shape[1:]))
        return np.asarray(generator.standard_normal(stored.shape) * spread)
    if stored.initial == "small":
        return np.asarray(0.02 * generator.standard_normal(stored.shape))
    return np.full(stored.shape, 1.0 if stored.initial == "ones" else 0.0)
