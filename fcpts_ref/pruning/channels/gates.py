"""Masks of channels as factors of parameters: m (gamma x + beta) = (m gamma) x + (m beta).

A mask after batch norm is a factor of its scale and shift, so any engine runs a masked network, and
the gradients of the parameters give that of the mask.  Where no batch norm follows, the factor is
on the filters and biases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.channel_groups import Group
from fcpts_ref.pruning.channels.space import Space, following_norm

Array = NDArray[Any]
Arrays = Mapping[str, Array]


def gated(space: Space, group: Group) -> dict[str, Array]:
    """Return the parameters that a group's mask multiplies: their rows by unit (units, n)."""
    found = {}
    for node in space.graph.nodes:
        if node.name not in group.slots or node.operation == "multiply_parameter":
            continue
        layer = node.operation in ("convolution", "linear")
        if layer and following_norm(space.graph, node.name) is not None:
            continue
        for name, stored in node.stored.items():
            if stored.learned:
                found[name] = group.slots[node.name]
    return found


def with_masks(parameters: Arrays, gates: list[dict[str, Array]], masks: list[Array]) -> Arrays:
    """Return the parameters times the masks (units,) of all groups."""
    result = dict(parameters)
    for rows_of, mask in zip(gates, masks, strict=True):
        for name, rows in rows_of.items():
            array = result[name] = result[name].copy()
            array[rows] *= _wide(mask, array[rows])
    return result


def mask_gradients(
    parameters: Arrays, gates: list[dict[str, Array]], dmasked: Arrays
) -> list[Array]:
    """Return dL/dm (units,) of every group, from the gradients of the masked parameters.

    The sum over all copies of the mask: those of every layer of the group.
    """
    found = []
    for rows_of in gates:
        total: Any = 0.0
        for name, rows in rows_of.items():
            product = (dmasked[name][rows] * parameters[name][rows]).astype(np.float64)
            total = total + product.reshape(len(rows), -1).sum(axis=1)
        found.append(np.asarray(total))
    return found


def _wide(mask: Array, rows: Array) -> Array:
    return mask.astype(rows.dtype).reshape(-1, *[1] * (rows.ndim - 1))
