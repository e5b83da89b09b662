"""Re-estimation of batch norm's running statistics after pruning."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.data.prepared import batches_of
from fcpts_ref.engines.base import Engine
from fcpts_ref.graphs.network import Network


def re_estimate_batch_norm(
    network: Network, images: Any, *, engine: Engine, batch_size: int = 64
) -> Network:
    """Return the network with batch norm's running statistics re-estimated on ``images``.

    They are the means over all full batches of the batch mean and the unbiased batch variance.
    images: (n, C, H, W) in [0, 1].
    Raises InputError if a layer has only one value per channel in a batch.
    """
    batch = min(batch_size, len(images))
    momentum = {
        f"{node.name}.{short}": node.attributes["momentum"]
        for node in network.graph.nodes
        if node.operation == "batch_norm"
        for short in ("running_mean", "running_var")
    }
    blank = dict(network.buffers) | {k: np.zeros_like(network.buffers[k]) for k in momentum}
    total = {k: np.zeros(network.buffers[k].shape) for k in momentum}
    starts = range(0, len(images) - batch + 1, batch)
    for found in batches_of(images, (slice(start, start + batch) for start in starts)):
        x = found.astype(network.dtype, copy=False)
        passed = engine.forward(
            network.parameters,
            blank,
            {network.graph.input: x},
            training=True,
            sparse=bool(network.masks),
        )
        for k, m in momentum.items():  # from zero, the new running value is momentum * batch's
            total[k] += passed.buffers[k] / m
    new = {k: (total[k] / len(starts)).astype(network.dtype) for k in momentum}
    return Network(network.graph, network.parameters, {**network.buffers, **new}, network.masks)
