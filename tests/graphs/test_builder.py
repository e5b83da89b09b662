"""Graphs that are written by hand."""

from __future__ import annotations

import pytest

from fcpts_ref.architectures.plain import plain
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph, Node


def test_the_same_graph_as_from_a_list_of_nodes():
    net = GraphBuilder("plain2", (3, 8, 8))
    x = net.add("normalise", net.images)
    for i, width in enumerate((4, 6), start=1):
        x = net.add("convolution", x, name=f"conv{i}", out_channels=width, kernel=3, padding=1)
        x = net.add("batch_norm", x, name=f"bn{i}")
        x = net.add("relu", x, name=f"relu{i}")
        x = net.add("max_pool", x, name=f"pool{i}", kernel=2)
    x = net.add("linear", net.add("flatten", x), out_features=5)
    assert net.graph(x) == plain(classes=5, widths=(4, 6), input_shape=(3, 8, 8))


def test_sizes_follow_from_what_is_read():
    net = GraphBuilder("small", (2, 9, 6))
    assert net.shapes == {"images": (2, 9, 6)}
    x = net.add("convolution", net.images, out_channels=4, kernel=3)
    assert net.shapes[x] == (4, 7, 4)
    x = net.add("linear", net.add("global_average_pool", x), out_features=3)
    attributes = net.graph().nodes[-1].attributes
    assert (attributes["in_features"], attributes["out_features"]) == (4, 3)


def test_default_names_are_numbered():
    net = GraphBuilder("small", (1, 4, 4))
    x = net.add("relu", net.add("relu", net.images))
    assert x == "relu2"
    assert net.add("relu", x) == "relu3"
    assert [node.name for node in net.graph().nodes] == ["relu", "relu2", "relu3"]


def test_a_value_with_several_readers():
    net = GraphBuilder("small", (1, 4, 4))
    x = net.add("relu", net.images)
    x = net.add("add", x, net.images)
    assert net.graph(x).nodes[-1] == Node("add", "add", ("relu", "images"))


def test_outputs_by_name():
    net = GraphBuilder("two", (1, 4, 4), images="photographs")
    x = net.add("relu", "photographs")
    y = net.add("flatten", x)
    graph = net.graph(features=x, rows=y)
    assert graph.outputs == {"features": "relu", "rows": "flatten"}
    assert graph.input == "photographs"
    assert isinstance(net.graph(y, features=x), Graph)


def test_a_graph_may_grow_after_it_was_taken():
    net = GraphBuilder("small", (1, 4, 4))
    x = net.add("relu", net.images)
    first = net.graph(x)
    net.add("flatten", x)
    assert len(first.nodes) == 1
    assert len(net.graph().nodes) == 2


@pytest.mark.parametrize(
    ("words", "attributes", "message"),
    [
        (("relu7", "images"), {}, "unknown operation 'relu7'"),
        (("relu", "nothing"), {}, "expected names of earlier values"),
        (("relu", "images"), {"name": "images"}, "a name of its own"),
        (("relu",), {}, "expected the names of 1 earlier"),
        (("add", "images"), {}, "expected the names of 2 earlier"),
        (("convolution", "images"), {"kernel": 3}, "lacks the attribute 'out_channels'"),
        (("convolution", "images"), {"kernel": 9, "out_channels": 2}, "node 'convolution'"),
        (("linear", "images"), {"in_features": 7, "out_features": 2}, "node 'linear'"),
        (("relu", "images"), {"slope": 0.1}, "has no attribute 'slope'"),
    ],
)
def test_mistakes_are_named_at_the_line_where_they_are_made(words, attributes, message):
    net = GraphBuilder("small", (1, 4, 4))
    with pytest.raises(InputError, match=message):
        net.add(*words, **attributes)
    assert not net.nodes
    assert net.shapes == {"images": (1, 4, 4)}


def test_a_value_that_nothing_reads():
    net = GraphBuilder("small", (1, 4, 4))
    net.add("relu", net.images)
    x = net.add("flatten", net.images)
    with pytest.raises(InputError, match="never reads relu"):
        net.graph(x)


def test_nothing_was_added():
    with pytest.raises(InputError, match="has no nodes"):
        GraphBuilder("small").graph()
