"""Graphs: shapes, names, multiply-accumulates, and invalid graphs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from small_networks import classifier, every_operation, make_images, make_network

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
        {"images": images},
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
    extra = set(resnet(20, shortcut="B").parameter_shapes) - names - {"fc.weight", "fc.bias"}
    assert {name.split(".downsample.")[0] for name in extra} == {"layer2.0", "layer3.0"}
    assert {name.split(".downsample.")[1] for name in extra} == {"0.weight", "1.weight", "1.bias"}


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


def node(*arguments):
    return arguments


def build(*nodes):
    return classifier("g", (2, 4, 4), tuple(Node(*arguments) for arguments in nodes))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "no nodes"),
        ((node("a", "swish", ("images",)),), "unknown operation 'swish'"),
        ((node("a", "relu", ("b",)), node("b", "relu", ("images",))), "names of 1 earlier nodes"),
        ((node("a", "relu", ("a",)),), "earlier nodes"),
        ((node("a", "relu", ()),), "earlier nodes"),
        ((node("a", "relu", ("images", "images")),), "names of 1 earlier nodes"),
        ((node("a", "add", ("images",)),), "names of 2 earlier nodes"),
        ((node("images", "relu", ("images",)),), "a name of its own"),
        ((node("a", "relu", ("images",)), node("a", "relu", ("a",))), "a name of its own"),
        ((node("a", "relu", ("images",)), node("b", "relu", ("images",))), "never reads a;"),
        ((node("a", "convolution", ("images",), CONV | {"in_channels": 3}),), "expected 3"),
        ((node("a", "convolution", ("images",), CONV | {"groups": 3}),), "multiples of its 3"),
        ((node("a", "convolution", ("images",), CONV | {"kernel": 9}),), "larger image"),
        ((node("a", "convolution", ("images",), CONV | {"stride": 0}),), "has stride '0'"),
        ((node("a", "convolution", ("images",), {}),), "a.*in_channels"),
        (
            (node("a", "linear", ("images",), {"in_features": 2, "out_features": 1}),),
            "expected 2 features",
        ),
        ((node("a", "batch_norm", ("images",), {"channels": 3}),), "expected 3 channels"),
        ((node("a", "subsample", ("images",), {"stride": 0}),), "at least 1"),
        ((node("a", "max_pool", ("images",), {"kernel": 5}),), "larger image"),
        (
            (node("a", "subsample", ("images",), {"stride": 2}), node("b", "add", ("a", "images"))),
            "do not broadcast",
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


# Several inputs and outputs, parts


def two_heads():
    """Two inputs that are joined, and two outputs, one of which other nodes read too."""
    conv = CONV | {"in_channels": 2}
    return Graph(
        "two heads",
        {"left": (2, 4, 4), "right": (2, 4, 4)},
        (
            Node("a", "convolution", ("left",), conv),
            Node("b", "convolution", ("right",), conv),
            Node("sum", "add", ("a", "b")),
            Node("pool", "global_average_pool", ("sum",)),
            Node("linear", "linear", ("pool",), {"in_features": 4, "out_features": 3}),
        ),
        {"features": "sum", "scores": "linear"},
    )


def test_several_inputs_and_outputs():
    graph = two_heads()
    assert graph.output_shapes == {"features": (4, 4, 4), "scores": (3,)}
    assert [n.name for n in graph.readers["sum"]] == ["pool"]
    with pytest.raises(InputError, match=r"inputs left, right; expected one"):
        _ = graph.input
    with pytest.raises(InputError, match="outputs features, scores; expected one"):
        _ = graph.classes


@pytest.mark.parametrize("outputs", [{}, {"y": "z"}, {"y": "a", "z": "a"}])
def test_refused_outputs(outputs):
    with pytest.raises(
        InputError, match="expected at least one, each the name of a different value"
    ):
        Graph("g", {"x": (2, 4, 4)}, (Node("a", "relu", ("x",)),), outputs)


def test_an_unread_input():
    with pytest.raises(InputError, match="never reads z;"):
        Graph("g", {"x": (2,), "z": (2,)}, (Node("a", "relu", ("x",)),), {"y": "a"})


def test_a_feature_map_is_not_a_row_of_logits():
    graph = Graph("g", {"x": (2, 4, 4)}, (Node("a", "relu", ("x",)),), {"y": "a"})
    with pytest.raises(InputError, match="expected one row of logits"):
        _ = graph.classes


def test_between():
    graph = two_heads()
    part = graph.between(["a", "b"], ["pool", "sum"])
    assert dict(part.inputs) == {"a": (4, 4, 4), "b": (4, 4, 4)}
    assert [n.name for n in part.nodes] == ["sum", "pool"]
    assert dict(part.outputs) == {"pool": "pool", "sum": "sum"}
    assert graph.between(graph.inputs, ["linear"]).nodes == graph.nodes
    with pytest.raises(InputError, match="no value 'c'"):
        graph.between(["c"], ["linear"])
    with pytest.raises(InputError, match="need the input right too"):
        graph.between(["left"], ["linear"])


def test_with_outputs():
    graph = plain(classes=4, widths=(3,), input_shape=(2, 6, 6)).with_outputs({"mid": "relu1"})
    assert dict(graph.outputs) == {"logits": "linear", "mid": "relu1"}


@pytest.mark.parametrize(
    ("operation", "attributes", "message"),
    [
        ("convolution", CONV | {"paddding": 3}, "no attribute 'paddding'; expected one of in_ch"),
        ("relu", {"slope": 1}, "no attribute 'slope'; expected none"),
        ("convolution", CONV | {"stride": "2"}, "has stride '2'; expected an integer of at least"),
        ("convolution", CONV | {"stride": (1, 1, 1)}, "expected an integer of at least 1, or two"),
        ("convolution", CONV | {"bias": 1}, "has bias '1'; expected true or false"),
        ("convolution", CONV | {"padding": -1}, "has padding '-1'; expected an integer of at"),
        ("convolution", CONV | {"padding": (1, 1, 1)}, "two .vertical, horizontal., or four"),
        ("concat", {"axis": "0"}, "has axis '0'; expected an integer"),
        ("clip", {"low": 0.0}, "lacks the attribute 'high'; expected a finite number"),
        ("gelu", {"approximate": "erf"}, "has approximate 'erf'; expected one of none, tanh"),
        ("pad", {"pads": 1}, "has pads '1'; expected a list of integers of at least 0"),
        ("resize", {"size": 2, "scales": (1, None)}, "expected a list of finite numbers"),
        ("batch_norm", {"channels": 2, "momentum": 1.5}, "momentum '1.5'; expected a number from"),
        ("batch_norm", {"channels": 2, "epsilon": float("nan")}, "epsilon 'nan'; expected a fin"),
        ("linear", {"in_features": True, "out_features": 1}, "has in_features 'True'"),
        ("zero_pad", {"before": -1, "after": 0}, "has before '-1'; expected an integer of at"),
        ("max_pool", {}, "lacks the attribute 'kernel'"),
    ],
)
def test_refused_attributes(operation, attributes, message):
    with pytest.raises(InputError, match=message):
        Node("a", operation, ("images",), attributes)


def test_defaults_stand_in_the_node():
    node = Node("a", "average_pool", ("images",), {"kernel": 3})
    assert dict(node.attributes) == {
        "kernel": (3, 3),
        "stride": (3, 3),
        "padding": (0, 0, 0, 0),
        "dilation": (1, 1),
        "ceil_mode": False,
        "count_include_pad": True,
    }
    assert Node("b", "batch_norm", ("a",), {"channels": 2}).attributes["epsilon"] == 1e-5
