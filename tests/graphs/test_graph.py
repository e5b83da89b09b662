"""Graphs: shapes, names, multiply-accumulates, and what is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from small_networks import every_operation, make_images, make_network

from fcpts_ref.architectures.plain import plain
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.graphs import execution
from fcpts_ref.graphs.graph import Graph, Node, macs

CONV = {"in_channels": 2, "out_channels": 4, "kernel": 3, "stride": 1, "padding": 1, "bias": False}


def test_shapes_are_those_of_the_values():
    graph = every_operation()
    network, images = make_network(graph), make_images(graph, 3)
    seen = {}
    execution.forward(
        graph,
        network.parameters,
        network.buffers,
        images,
        training=False,
        observe=lambda name, value: seen.update({name: value.shape}),
    )
    assert list(seen) == [node.name for node in graph.nodes]
    assert {name: shape[1:] for name, shape in seen.items()} | {"images": (2, 9, 9)} == graph.shapes
    assert graph.classes == 3


def test_names_and_shapes_of_what_is_stored():
    graph = every_operation()
    assert graph.parameter_shapes == {
        "conv.weight": (4, 1, 3, 2),
        "conv.bias": (4,),
        "bn.weight": (4,),
        "bn.bias": (4,),
        "linear.weight": (3, 72),
        "linear.bias": (3,),
    }
    assert list(graph.buffer_shapes) == [
        "normalise.mean",
        "normalise.std",
        "bn.running_mean",
        "bn.running_var",
    ]
    assert graph.prunable == ("conv.weight", "linear.weight")


def test_macs():
    graph = plain(classes=10, widths=(4,), input_shape=(3, 8, 8))
    assert macs(graph) == {"conv1.weight": 4 * 8 * 8 * 3 * 9, "linear.weight": 10 * 64}


@pytest.mark.parametrize(("depth", "size"), [(20, 269_722), (32, 464_154), (56, 853_018)])
def test_resnets_have_their_published_sizes(depth, size):
    """0.27, 0.46 and 0.85 million parameters with option A (He et al., table 6)."""
    graph = resnet(depth)
    assert len(graph.prunable) == depth
    assert sum(int(np.prod(shape)) for shape in graph.parameter_shapes.values()) == size
    assert graph.shapes["layer3.0.relu2"] == (64, 8, 8)
    if depth == 20:
        assert round(sum(macs(graph).values()) / 1e6, 1) == 40.6


def test_resnet_names_follow_the_checkpoints():
    names = set(resnet(20).parameter_shapes)
    assert {"conv1.weight", "bn1.bias", "layer2.0.conv1.weight", "layer3.2.bn2.weight"} <= names
    assert not any("shortcut" in name for name in names)
    extra = set(resnet(20, shortcut="B").parameter_shapes) - names
    assert {name.split(".shortcut.")[0] for name in extra} == {"layer2.0", "layer3.0"}
    assert {name.split(".shortcut.")[1] for name in extra} == {"0.weight", "1.weight", "1.bias"}


@pytest.mark.parametrize("depth", [0, 2, 7, 9, 18, 50 - 1])
def test_resnet_depths(depth):
    with pytest.raises(InputError, match=r"expected 6n \+ 2"):
        resnet(depth)


def test_resnet_bad_settings():
    with pytest.raises(InputError, match="expected 'A' or 'B'"):
        resnet(8, shortcut="C")
    with pytest.raises(InputError, match="option A can only add channels"):
        resnet(8, widths=(8, 4, 8))
    assert resnet(8, widths=(8, 4, 8), shortcut="B").classes == 10
    assert resnet(8, widths=(4, 4, 4)).shapes["layer2.0.shortcut.pad"] == (4, 16, 16)


def test_plain_bad_settings():
    with pytest.raises(InputError, match="at least one width"):
        plain(widths=())
    with pytest.raises(InputError, match="halved that often"):
        plain(widths=(4, 4), input_shape=(1, 3, 8))


def build(*nodes):
    return Graph("g", (2, 4, 4), nodes)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "no nodes"),
        ((Node("a", "swish", ("images",)),), "unknown operation 'swish'"),
        ((Node("a", "relu", ("b",)), Node("b", "relu", ("images",))), "names of 1 earlier nodes"),
        ((Node("a", "relu", ("a",)),), "earlier nodes"),
        ((Node("a", "relu", ()),), "earlier nodes"),
        ((Node("a", "relu", ("images", "images")),), "names of 1 earlier nodes"),
        ((Node("a", "add", ("images",)),), "names of 2 earlier nodes"),
        ((Node("images", "relu", ("images",)),), "a name of its own"),
        ((Node("a", "relu", ("images",)), Node("a", "relu", ("a",))), "a name of its own"),
        ((Node("a", "relu", ("images",)), Node("b", "relu", ("images",))), "nobody reads a "),
        ((Node("a", "convolution", ("images",), CONV | {"in_channels": 3}),), "expected 3"),
        ((Node("a", "convolution", ("images",), CONV | {"groups": 3}),), "multiples of its 3"),
        ((Node("a", "convolution", ("images",), CONV | {"kernel": 9}),), "larger image"),
        ((Node("a", "convolution", ("images",), CONV | {"stride": 0}),), "expected stride"),
        ((Node("a", "convolution", ("images",), {}),), "a.*in_channels"),
        ((Node("a", "linear", ("images",), {"in_features": 2, "out_features": 1}),), r"\(2,\)"),
        ((Node("a", "batch_norm", ("images",), {"channels": 3}),), "expected 3 channels"),
        ((Node("a", "subsample", ("images",), {"stride": 0}),), "at least 1"),
        ((Node("a", "max_pool", ("images",), {"kernel": 5}),), "larger image"),
        (
            (Node("a", "subsample", ("images",), {"stride": 2}), Node("b", "add", ("a", "images"))),
            "expected the same",
        ),
    ],
)
def test_refused(nodes, message):
    with pytest.raises(InputError, match=message) as caught:
        build(*nodes)
    assert "\n" not in str(caught.value)


def test_attributes_cannot_be_changed():
    node = Node("a", "convolution", ("images",), CONV)
    with pytest.raises(TypeError):
        node.attributes["stride"] = 2


def test_copies():
    graph = every_operation()
    copied = copy.deepcopy(graph)
    assert copied == graph
    assert copied.nodes[1].attributes is not graph.nodes[1].attributes
