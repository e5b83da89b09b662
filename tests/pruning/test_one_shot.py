"""One-shot pruning: the allocation, then the smallest weights of each layer."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_same_bits
from small_networks import make_images, make_network, small_resnet

from fcpts_ref import sparsify
from fcpts_ref.errors import InputError
from fcpts_ref.spec.allocation import ALLOCATIONS, allocate

GRAPH = small_resnet()
NETWORK = make_network(GRAPH)
IMAGES = make_images(GRAPH, 2)
SIZE = sum(NETWORK.sizes.values())
WEIGHTS = {name: NETWORK.parameters[name] for name in GRAPH.prunable}


def run(network=NETWORK, **settings):
    return sparsify(network, IMAGES, method="one-shot", engine="numpy", **settings)


@pytest.mark.parametrize("target", [0.0, 3 / SIZE, 0.5, 0.8])
@pytest.mark.parametrize("name", ALLOCATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smallest_weights_of_every_layer_go(name, target, dtype):
    network = NETWORK.astype(dtype)
    result = run(network, target=target, allocation=name)
    count = round(target * SIZE)
    assert sum((~m).sum() for m in result.network.masks.values()) == count
    allocation = allocate(name, {k: network.parameters[k] for k in WEIGHTS}, target)
    assert result.initial_rates == allocation.rates
    for layer, mask in result.network.masks.items():
        magnitude = np.abs(network.parameters[layer])
        assert magnitude[~mask].max(initial=0) <= magnitude[mask].min()
        wanted = round(allocation.rates[layer] * mask.size)
        assert abs((~mask).sum() - wanted) <= len(WEIGHTS)
        after = result.network.parameters[layer]
        assert_same_bits(after, np.where(mask, network.parameters[layer], dtype(0)))
    assert abs(result.rate_before_projection * SIZE - count) <= len(WEIGHTS)


def test_other_arrays_are_unchanged():
    result = run(target=0.5)
    for name, array in NETWORK.parameters.items():
        if name not in WEIGHTS:
            assert_same_bits(result.network.parameters[name], array)
    for name, array in NETWORK.buffers.items():
        assert_same_bits(result.network.buffers[name], array)
    assert result.history == {}


def test_dense_layers_are_named():
    assert run(target=0.2).dense_layers


def test_more_exact_zeros_than_the_budget():
    parameters = dict(NETWORK.parameters)
    for name in WEIGHTS:
        weight = parameters[name].copy()
        weight[np.abs(weight) < np.quantile(np.abs(weight), 0.6)] = 0
        parameters[name] = weight
    result = run(NETWORK.with_parameters(parameters), target=0.3, allocation="uniform")
    assert sum((~m).sum() for m in result.network.masks.values()) == round(0.3 * SIZE)
    for name, mask in result.network.masks.items():
        assert (parameters[name][~mask] == 0).all()


def test_bad_input():
    with pytest.raises(InputError, match="unknown allocation"):
        run(target=0.5, allocation="flat")
    with pytest.raises(InputError, match="has no setting 'epochs'"):
        run(target=0.5, epochs=3)
