"""Removal of channels preserves the function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import OPERATIONS, graphs
from small_networks import make_images, make_network

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs import execution
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.channel_groups import find_groups
from fcpts_ref.graphs.channel_removal import (
    insert_channels,
    live_units,
    mask_channels,
    remove_channels,
)
from fcpts_ref.graphs.graph import Graph, macs
from fcpts_ref.graphs.network import Network
from fcpts_ref.storage.network_files import read_network, write_network

REMOVABLE = [name for name in ARCHITECTURES if not name.startswith(("vit", "deit"))]
SLOW = {"resnet34", "resnet50", "resnet101", "vgg16_bn_cifar"}


def random_keep(graph: Graph, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    keep = {}
    for group in find_groups(graph).groups:
        keep[group.name] = generator.random(group.units) < 0.6
        keep[group.name][generator.integers(group.units)] = True
    return keep


def assert_same(a: Network, b: Network, images: Any, tolerance: float) -> None:
    for want, got in zip(outputs(a, images), outputs(b, images), strict=True):
        assert np.abs(got - want).max() <= tolerance * max(np.abs(want).max(), 1)


def outputs(network: Network, images: Any) -> list[Any]:
    given = {network.graph.input: images.astype(network.dtype, copy=False)}
    passed = execution.forward(
        network.graph, network.parameters, network.buffers, given, training=False
    )
    return list(passed.outputs.values())


def small(name: str) -> Graph:
    row = ARCHITECTURES[name]
    shape = None if "cifar" in name else (3, 40, 40)
    return row.graph(input_shape=shape)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in REMOVABLE]
)
def test_every_architecture(name: str) -> None:
    check(small(name))


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_residual_networks_of_cifar(shortcut: Any) -> None:
    check(resnet(20, shortcut=shortcut, widths=(5, 8, 11)))


def check(graph: Graph) -> None:
    network, keep = make_network(graph), random_keep(graph)
    masked, removed = mask_channels(network, keep), remove_channels(network, keep)
    images = make_images(graph, 2)
    assert_same(masked, removed, images, 1e-12)
    assert_same(masked.astype(np.float32), removed.astype(np.float32), images, 1e-5)
    assert sum(removed.sizes.values()) == sum(int(m.sum()) for m in masked.masks.values())
    assert removed.graph != graph
    pairs = zip(outputs(masked, images), outputs(network, images), strict=True)
    assert not any(np.allclose(*pair) for pair in pairs)


def test_a_trained_network_in_float32_to_1e_6() -> None:
    network, _ = read_network(Path(__file__).resolve().parents[2] / "models" / "resnet8-digits.h5")
    keep = random_keep(network.graph)
    images = make_images(network.graph, 16, dtype=np.float32)
    masked, removed = mask_channels(network, keep)(images), remove_channels(network, keep)(images)
    assert np.abs(masked - removed).max() <= 1e-6 * np.abs(masked).max()


@given(graphs((*OPERATIONS, "depthwise", "grouped"), classes=4), st.integers(0, 2**32 - 1))
def test_random_graphs(graph: Graph, seed: int) -> None:
    network, keep = make_network(graph, seed=seed), random_keep(graph, seed)
    masked, removed = mask_channels(network, keep), remove_channels(network, keep)
    assert_same(masked, removed, make_images(graph, 2, seed=seed), 1e-12)
    assert_equal(insert_channels(network, removed, keep), masked)
    live = live_units(masked)
    for name, mask in keep.items():
        assert np.array_equal(live[name], mask)


def assert_equal(a: Network, b: Network) -> None:
    for arrays in ("parameters", "buffers", "masks"):
        mine, theirs = getattr(a, arrays), getattr(b, arrays)
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            assert np.array_equal(array, theirs[name]), name


def other_operations() -> Graph:
    """Padding, reshaping, parameters, slices, squeeze and excitation, a hidden linear layer."""
    net = GraphBuilder("others", (3, 9, 9))
    x = net.add("convolution", net.images, name="a", out_channels=5, kernel=3, bias=True)
    x = net.add("add_parameter", x, shape=(5, 1, 1))
    x = net.add("hard_swish", net.add("multiply_parameter", x, shape=(5, 1, 1)))
    x = net.add("pad", x, pads=(1, 0, 0, 2, 1, 0))
    y = net.add("convolution", x, name="b", out_channels=8, kernel=1)
    s = net.add("convolution", net.add("mean", y, axes=(1, 2)), name="c", out_channels=8, kernel=1)
    x = net.add("add", net.add("multiply", y, net.add("sigmoid", s)), x)
    left = net.add("slice", x, axis=0, start=0, stop=5)
    right = net.add("slice", x, axis=0, start=-3, stop=8)
    x = net.add("gelu", net.add("concat", right, left, axis=0))
    x = net.add("reshape", x, shape=(8, -1))
    x = net.add("flatten", x)
    x = net.add("relu", net.add("linear", x, name="hidden", out_features=7))
    return net.graph(net.add("linear", x, name="fc", out_features=3))


@pytest.mark.parametrize("seed", range(5))
def test_other_operations(seed: int) -> None:
    graph = other_operations()
    network, keep = make_network(graph, seed=seed), random_keep(graph, seed)
    assert {"a", "hidden"} <= set(keep)
    masked, removed = mask_channels(network, keep), remove_channels(network, keep)
    assert_same(masked, removed, make_images(graph), 1e-12)


def test_a_masked_channel_is_zero_after_batch_norm() -> None:
    graph = resnet(8, widths=(3, 5, 6))
    keep = {"layer1.0.conv1": np.array([True, False, True])}
    masked = mask_channels(make_network(graph), keep)
    part = masked.graph.between(("images",), ("layer1.0.bn1",))
    passed = make_engine(part, "numpy").forward(
        masked.parameters, masked.buffers, {"images": make_images(graph)}, training=False
    )
    value = passed.outputs["layer1.0.bn1"]
    assert np.all(value[:, 1] == 0)
    assert np.all(value[:, 0] != 0)


def test_multiplications_fall_by_the_product_of_both_sides() -> None:
    graph = resnet(8, shortcut="B")
    keep = {"conv1": np.arange(16) < 8, "layer1.0.conv1": np.arange(16) < 4}
    removed = remove_channels(make_network(graph), keep)
    before, after = macs(graph), macs(removed.graph)
    assert after["layer1.0.conv1.weight"] * 8 == before["layer1.0.conv1.weight"]
    assert after["conv1.weight"] * 2 == before["conv1.weight"]


def test_keeping_everything_changes_nothing() -> None:
    network = make_network(resnet(8))
    keep = {g.name: np.ones(g.units, np.bool_) for g in find_groups(network.graph).groups}
    for kept in ({}, keep):
        assert_equal(remove_channels(network, kept), network)


def test_units_that_are_zero_by_their_weights_but_not_by_their_shift_stay() -> None:
    network = make_network(resnet(8))
    weight = network.parameters["layer1.0.conv1.weight"].copy()
    weight[2] = 0
    network = network.with_parameters({**network.parameters, "layer1.0.conv1.weight": weight})
    assert live_units(network)["layer1.0.conv1"].all()
    shift = {n: network.parameters[n].copy() for n in ("layer1.0.bn1.weight", "layer1.0.bn1.bias")}
    for array in shift.values():
        array[2] = 0
    network = network.with_parameters({**network.parameters, **shift})
    assert np.flatnonzero(~live_units(network)["layer1.0.conv1"]).tolist() == [2]


def test_a_group_without_any_live_unit_keeps_its_first() -> None:
    network = make_network(resnet(8))
    zeros = {n: np.zeros_like(a) for n, a in network.parameters.items() if "layer1.0" in n}
    live = live_units(network.with_parameters({**network.parameters, **zeros}))
    assert np.flatnonzero(live["layer1.0.conv1"]).tolist() == [0]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"conv1": np.zeros(16, np.bool_)}, "'conv1' would lose all its channels"),
        ({"conv1": np.ones(15, np.bool_)}, r"expected truth values of shape \(16,\)"),
        ({"conv1": np.ones(16)}, "dtype float64; expected truth values"),
        ({"linear": np.ones(10, np.bool_)}, "there is no group 'linear'"),
    ],
)
def test_bad_masks(keep: Any, message: str) -> None:
    network = make_network(resnet(8))
    for change in (mask_channels, remove_channels):
        with pytest.raises(InputError, match=message):
            change(network, keep)


def test_the_smaller_network_is_stored_and_read(tmp_path: Path) -> None:
    network = make_network(resnet(8), dtype=np.float32)
    removed = remove_channels(network, random_keep(network.graph))
    write_network(tmp_path / "small.h5", removed, {})
    found, _ = read_network(tmp_path / "small.h5")
    assert found.graph == removed.graph
    assert_equal(found, removed)
