"""The requirements of every row of the operations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import assert_close
from small_networks import make_network

from fcpts_ref.engines.make import make_engine
from fcpts_ref.gradcheck.layers import make_examples
from fcpts_ref.gradcheck.network import make_network_pair
from fcpts_ref.gradcheck.numeric import check_gradients
from fcpts_ref.graphs import execution
from fcpts_ref.graphs.graph import Graph, Node, macs
from fcpts_ref.graphs.operations import OPERATIONS
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.network_files import (
    graph_from_json,
    graph_to_json,
    read_network,
    write_network,
)

ROOT = Path(__file__).resolve().parents[2]

Example = tuple[tuple[tuple[int, ...], ...], dict[str, Any]]

# For every operation: the shapes of its inputs, and attributes that differ from the defaults.
EXAMPLES: dict[str, Example] = {
    "normalise": (((3, 5, 4),), {"channels": 3}),
    "convolution": (
        ((4, 7, 6),),
        {"in_channels": 4, "out_channels": 6, "kernel": (3, 2), "stride": (2, 1),
         "padding": (1, 0), "dilation": (1, 2), "groups": 2, "bias": True},
    ),
    "linear": (((6,),), {"in_features": 6, "out_features": 3, "bias": False}),
    "batch_norm": (((3, 4, 4),), {"channels": 3, "momentum": 0.3, "epsilon": 1e-3}),
    "relu": (((3, 4, 4),), {}),
    "relu6": (((3, 4, 4),), {}),
    "max_pool": (((3, 6, 5),), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    "average_pool": (((3, 6, 5),), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    "global_average_pool": (((3, 4, 5),), {}),
    "subsample": (((3, 5, 4),), {"stride": 2}),
    "zero_pad": (((3, 4, 4),), {"before": 1, "after": 2}),
    "add": (((3, 4, 4), (3, 4, 4)), {}),
    "flatten": (((3, 4, 2),), {}),
    "softmax": (((7,),), {}),
    "log_softmax": (((7,),), {}),
    "matmul": (((2, 3, 4), (4, 5)), {}),
    "reshape": (((4, 3, 5),), {"shape": (2, -1, 3)}),
    "transpose": (((3, 4, 2),), {"permutation": (2, 0, 1)}),
    "layer_norm": (((5, 6),), {"shape": (6,), "epsilon": 1e-3}),
    "attention": (((4, 6), (5, 6), (5, 8)), {"heads": 2}),
    "class_token": (((4, 6),), {"features": 6}),
    "add_parameter": (((4, 6),), {"shape": (4, 6), "role": "embedding"}),
    "multiply_parameter": (((3, 4, 6),), {"shape": (4, 1)}),
}  # fmt: skip

# The conformance vectors of an operation, where they bear another name.
VECTORS = {"subsample": "shortcut", "zero_pad": "shortcut", "relu6": "relu"}


def graph_of(operation: str) -> Graph:
    shapes, attributes = EXAMPLES[operation]
    inputs = {f"input{i}": shape for i, shape in enumerate(shapes)}
    node = Node("node", operation, tuple(inputs), attributes)
    return Graph(operation, inputs, (node,), {"value": "node"})


def values_of(graph: Graph, count: int = 3) -> dict[str, Any]:
    generator = np.random.default_rng(4)
    return {name: generator.standard_normal((count, *s)) for name, s in graph.inputs.items()}


def test_every_operation_has_an_example():
    assert EXAMPLES.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_attributes_are_in_canonical_form(operation):
    row = OPERATIONS[operation]
    complete = row.complete(EXAMPLES[operation][1])
    assert complete.keys() == row.attributes.keys()
    assert row.complete(complete) == complete
    for attribute in row.attributes.values():
        assert attribute.check.__doc__  # error messages quote it


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_shape_forward_and_backward(operation, training):
    graph = graph_of(operation)
    network, inputs = make_network(graph), values_of(graph)
    passed = execution.forward(
        graph, network.parameters, network.buffers, inputs, training=training
    )
    value = passed.outputs["value"]
    assert value.shape == (3, *graph.shapes["node"])
    assert passed.buffers.keys() == graph.buffer_shapes.keys()
    generator = np.random.default_rng(5)
    dvalue = generator.standard_normal(value.shape)
    gradients, dinputs = execution.backward(graph, passed, {"value": dvalue})
    assert gradients.keys() == graph.parameter_shapes.keys()
    given = {**network.parameters, **inputs}
    moved, total, size = {}, 0.0, 0.0
    for name, gradient in (gradients | dinputs).items():
        v = generator.standard_normal(given[name].shape)
        moved[name] = given[name] + 1e-30j * v  # crosses no kink
        assert gradient.shape == v.shape
        total += (gradient * v).sum()
        size += np.abs(gradient * v).sum()
    ahead = execution.forward(graph, moved, network.buffers, moved, training=training)
    want = (dvalue * ahead.outputs["value"].imag / 1e-30).sum()
    assert abs(total - want) <= 1e-12 * size


def test_the_package_checks_networks_too():
    """The public gradient check, on an operation with one input."""
    graph = graph_of("convolution")
    network = make_network(graph)
    images = values_of(graph)["input0"]
    pair, given = make_network_pair(
        graph, network.parameters, network.buffers, images, training=True
    )
    assert all(f.ok for f in check_gradients(pair, given, methods=("complex",)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_fast_engine_does_the_same(operation, training):
    graph = graph_of(operation)
    network, inputs = make_network(graph), values_of(graph)
    results = []
    for name in ("numpy", "numba"):
        engine = make_engine(graph, name)
        passed = engine.forward(
            network.parameters, network.buffers, inputs, training=training, keep=True
        )
        dvalue = np.random.default_rng(6).standard_normal(passed.outputs["value"].shape)
        gradients = engine.backward(passed, {"value": dvalue})
        results.append({**passed.outputs, **passed.buffers, **gradients})
    assert results[0].keys() == results[1].keys()
    for name, want in results[0].items():
        assert_close(results[1][name], want, 1e-12, name)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_channels_match_the_jacobian(operation):
    """Against the Jacobian: an output channel depends on the input channels that the row names."""
    graph = graph_of(operation)
    node = graph.nodes[0]
    network, inputs = make_network(graph), values_of(graph, 1)
    shapes = [graph.shapes[name] for name in node.inputs]
    maps = node.row.channels(shapes, node.attributes)
    assert len(maps) == len(node.inputs)
    for name, channels in zip(node.inputs, maps, strict=True):
        reached = reaches(graph, network, inputs, name)  # (channels out, channels in)
        if channels is None:
            assert (reached.sum(axis=1) > 1).any()
            continue
        assert channels.shape == reached.shape[:1]
        allowed = channels[:, np.newaxis] == np.arange(reached.shape[1])
        assert not (reached & ~allowed).any()


def reaches(graph: Graph, network: Any, inputs: Any, name: str) -> Any:
    """Whether a channel of the output changes with a channel of the input."""
    parameters, buffers = network.parameters, network.buffers
    columns = []
    for c in range(graph.shapes[name][0]):
        moved = {k: x.astype(complex) for k, x in inputs.items()}
        generator = np.random.default_rng(c)
        moved[name][:, c] += 1e-30j * generator.standard_normal(moved[name][:, c].shape)
        value = execution.forward(graph, parameters, buffers, moved, training=False)
        imaginary = np.abs(value.outputs["value"].imag)
        columns.append(imaginary.reshape(*imaginary.shape[:2], -1).max(axis=(0, 2)) > 0)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_stored_and_read_back(operation, tmp_path):
    graph = graph_of(operation)
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph
    network = make_network(graph) if graph.stored else None
    if network is not None:
        write_network(tmp_path / "n.h5", network)
        again, _ = read_network(tmp_path / "n.h5")
        assert again.graph == graph
        for name in graph.stored:
            arrays = ((n.parameters | n.buffers)[name] for n in (network, again))
            np.testing.assert_array_equal(*arrays)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_macs_belong_to_weights(operation):
    graph = graph_of(operation)
    assert macs(graph).keys() == set(graph.prunable)
    assert all(count > 0 for count in macs(graph).values())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_conformance_vectors(operation):
    suite = resource_path(f"vectors/{VECTORS.get(operation, operation)}.json")
    text = suite.read_text(encoding="utf-8")
    for way in ("forward", "backward"):
        assert f'"{operation}_{way}"' in text


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_gradient_check_has_it(operation):
    """``fcpts-ref gradcheck`` shows a pair for every layer."""
    assert operation in {pair.name.split()[0] for pair, _, _ in make_examples()}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_page_has_it(operation):
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{operation}` |")]
    for name in OPERATIONS[operation].attributes:
        assert f"`{name}`" in row
    for short in OPERATIONS[operation].stored(graph_of(operation).nodes[0].attributes):
        assert f"`{short}`" in row
