"""A network from a graph of one's own and arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, shown
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import network_from_arrays
from fcpts_ref.interchange.reparametrised import split_masks


def load_weights(
    graph: Graph,
    weights: Mapping[str, Any],
    *,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
) -> Network:
    """Make a network of a graph and its weights.

    weights: arrays by name, or a state dict of PyTorch on the CPU; every name and shape that the
    graph has, and no others but counters of batches.  Prefixes of wrappers such as "module." may be
    there.  mean, std: the input normalisation for images in [0, 1], one number or one per channel.
    Masks and dtypes are treated as by ``import_network``.
    Raises InputError, one line, for arrays that are missing, too many or of another shape.
    """
    try:
        arrays = {name: np.asarray(weights[name]) for name in weights}
    except (TypeError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the weights cannot be read as arrays ({shown(str(error))}); expected NumPy arrays "
            "or tensors on the CPU without gradients: {n: t.detach().cpu() for n, t in ...}"
        ) from error
    state, masks = split_masks(arrays)
    network, _ = network_from_arrays(
        state, masks, graph, mean=_numbers(mean), std=_numbers(std), source="the dictionary"
    )
    return network


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(np.atleast_1d(np.asarray(value, np.float64)).tolist())
