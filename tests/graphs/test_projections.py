"""Queries, keys and values as one matrix or three."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from small_networks import make_images, make_network, small_plain

from fcpts_ref.architectures.vision_transformer import vision_transformer
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.projections import join_projections, split_projections
from fcpts_ref.pruning.registry import sparsify

GRAPH = vision_transformer(patch=4, features=8, depth=2, heads=2, classes=4, input_shape=(3, 8, 8))
LAYER = "encoder.layers.encoder_layer_1.self_attention"


def test_three_layers_are_the_same_function():
    network, images = make_network(GRAPH), make_images(GRAPH)
    split = split_projections(network)
    assert_close(split(images), network(images), 1e-13)
    assert len(split.graph.prunable) == len(GRAPH.prunable) + 2 * 2
    for i, part in enumerate(("query", "key", "value")):
        weight = split.parameters[f"{LAYER}.in_proj.{part}.weight"]
        assert_same_bits(weight, network.parameters[f"{LAYER}.in_proj.weight"][8 * i : 8 * i + 8])
    assert sum(split.sizes.values()) == sum(network.sizes.values())


def test_joined_again():
    network = make_network(GRAPH)
    masks = {n: np.random.default_rng(0).random(network.parameters[n].shape) < 0.5
             for n in GRAPH.prunable}  # fmt: skip
    network = replace(network, masks=masks)
    again = join_projections(split_projections(network))
    assert again.graph == GRAPH
    for kind in ("parameters", "masks"):
        for name, array in getattr(network, kind).items():
            assert_same_bits(getattr(again, kind)[name], array, name)
    assert join_projections(network) is network


def test_a_network_without_attention():
    with pytest.raises(InputError, match="leave projections joint"):
        split_projections(make_network(small_plain()))


def test_each_part_has_a_rate_of_its_own():
    """Values ten times larger than queries keep more weights only where they share a threshold."""
    network = make_network(GRAPH, dtype=np.float32)
    weight = network.parameters[f"{LAYER}.in_proj.weight"].copy()
    weight[16:] *= 10
    network = network.with_parameters({**network.parameters, f"{LAYER}.in_proj.weight": weight})
    images = make_images(GRAPH, dtype=np.float32)
    settings = {"method": "one-shot", "allocation": "erk", "engine": "numpy"}
    joint = sparsify(network, images, target=0.6, **settings)
    apart = sparsify(split_projections(network), images, target=0.6, **settings)
    kept = joint.network.masks[f"{LAYER}.in_proj.weight"]
    assert kept[16:].mean() > 2 * kept[:8].mean()  # one threshold for all
    parts = [apart.rates[f"{LAYER}.in_proj.{part}.weight"] for part in ("query", "value")]
    assert abs(parts[0] - parts[1]) < 0.05  # a threshold for each
