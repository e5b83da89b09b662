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
# Further examples of one are named "operation: the case".
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
    "convolution: padding (top, left, bottom, right)": (
        ((3, 6, 5),),
        {"in_channels": 3, "out_channels": 4, "kernel": 3, "padding": (0, 1, 2, 0)},
    ),
    "convolution: padding at the end alone, stride 2": (
        ((3, 8, 8),),
        {"in_channels": 3, "out_channels": 4, "kernel": 3, "stride": 2, "padding": (0, 0, 1, 1)},
    ),
    "convolution: padding at the beginning alone": (
        ((2, 5, 4),),
        {"in_channels": 2, "out_channels": 3, "kernel": 2, "padding": (1, 1, 0, 0), "bias": True},
    ),
    "convolution: one pixel and a larger kernel": (
        ((2, 1, 1),),
        {"in_channels": 2, "out_channels": 2, "kernel": 4, "padding": (1, 2, 2, 1)},
    ),
    "max_pool: all settings": (
        ((2, 7, 6),),
        {"kernel": (2, 3), "stride": (2, 2), "padding": (1, 0, 0, 2), "dilation": (2, 1),
         "ceil_mode": True},
    ),
    "max_pool: of ResNet": (((2, 8, 8),), {"kernel": 3, "stride": 2, "padding": 1}),
    "max_pool: the last window reaches beyond": (
        ((2, 6, 5),), {"kernel": 3, "stride": 2, "ceil_mode": True}
    ),
    "average_pool: all settings": (
        ((2, 7, 6),),
        {"kernel": (2, 3), "stride": (2, 2), "padding": (1, 0, 0, 2), "dilation": (2, 1),
         "ceil_mode": True, "count_include_pad": False},
    ),
    "average_pool: the last window reaches beyond": (
        ((2, 6, 5),), {"kernel": 3, "stride": 2, "padding": (0, 1), "ceil_mode": True}
    ),
    "average_pool: padding does not count": (
        ((2, 4, 4),), {"kernel": 3, "stride": 1, "padding": 1, "count_include_pad": False}
    ),
    "leaky_relu": (((3, 4, 4),), {"slope": 0.2}),
    "clip": (((3, 4, 4),), {"low": -0.5, "high": 0.75}),
    "sigmoid": (((3, 4, 4),), {}),
    "hard_sigmoid": (((3, 4, 4),), {"alpha": 0.4, "beta": 0.3}),
    "tanh": (((3, 4, 4),), {}),
    "silu": (((3, 4, 4),), {}),
    "hard_swish": (((3, 4, 4),), {}),
    "gelu": (((3, 4, 4),), {}),
    "gelu: by tanh": (((7,),), {"approximate": "tanh"}),
    "dropout": (((3, 4, 4),), {"rate": 0.2}),
    "add: repeated pixels": (((3, 4, 4), (3, 1, 1)), {}),
    "add: fewer axes": (((5,), (3, 4, 5)), {}),
    "subtract": (((3, 4, 4), (3, 4, 4)), {}),
    "subtract: both repeated": (((3, 1, 4), (1, 5, 4)), {}),
    "multiply": (((3, 4, 4), (3, 4, 4)), {}),
    "multiply: squeeze and excitation": (((3, 1, 1), (3, 4, 5)), {}),
    "multiply: one channel": (((1, 4, 5), (3, 4, 5)), {}),
    "multiply: fewer axes": (((3, 4, 5), (4, 1)), {}),
    "multiply: one number": (((3, 4, 5), (1,)), {}),
    "divide": (((3, 4, 4), (3, 4, 4)), {}),
    "divide: repeated": (((4, 1), (3, 1, 5)), {}),
    "mean": (((3, 4, 5),), {"axes": (1, 2)}),
    "mean: without the axes": (((3, 4, 5),), {"axes": (-1,), "keepdims": False}),
    "mean: over channels": (((3, 4, 5),), {"axes": (0,)}),
    "mean: over all": (((6,),), {"axes": (0,)}),
    "concat": (((2, 4, 4), (3, 4, 4), (1, 4, 4)), {"axis": 0}),
    "concat: rows": (((2, 3, 4), (2, 1, 4)), {"axis": -2}),
    "concat: features": (((4,), (2,)), {"axis": 0}),
    "concat: one value": (((4, 2),), {"axis": 1}),
    "slice": (((6, 4, 4),), {"axis": 0, "start": 1, "stop": 6, "step": 2}),
    "slice: from the end": (((3, 5, 4),), {"axis": 1, "start": -1, "stop": -6, "step": -2}),
    "slice: clamped": (((3, 5, 4),), {"axis": -1, "start": 2, "stop": 2**31 - 1}),
    "pad": (((3, 4, 4),), {"pads": (1, 0, 2, 2, 1, 0), "value": 0.5}),
    "pad: features": (((4,),), {"pads": (1, 2)}),
    "resize": (
        ((2, 3, 5),),
        {"size": (7, 4), "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
         "scales": (2.5, 0.9)},
    ),
    "resize: bilinear": (((2, 4, 5),), {"size": (7, 3), "mode": "bilinear"}),
    "resize: corners": (
        ((2, 4, 5),),
        {"size": (7, 1), "mode": "bilinear", "coordinate_transformation_mode": "align_corners"},
    ),
    "resize: a region": (
        ((2, 6, 5),),
        {"size": (4, 3), "mode": "bilinear", "roi": (0.2, -0.1, 0.9, 0.7),
         "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 2.0},
    ),
    "resize: one pixel": (((3, 1, 1),), {"size": (2, 3)}),
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
VECTORS = {
    "subsample": "shortcut", "zero_pad": "shortcut", "relu6": "relu",
    **dict.fromkeys(("sigmoid", "tanh", "silu", "gelu"), "smooth_activations"),
    **dict.fromkeys(("clip", "leaky_relu", "hard_sigmoid", "hard_swish"), "pieces"),
    **dict.fromkeys(("subtract", "multiply", "divide"), "arithmetic"),
    "slice": "concat",
}  # fmt: skip


def graph_of(example: str) -> Graph:
    operation = example.split(":")[0]
    shapes, attributes = EXAMPLES[example]
    inputs = {f"input{i}": shape for i, shape in enumerate(shapes)}
    node = Node("node", operation, tuple(inputs), attributes)
    return Graph(operation, inputs, (node,), {"value": "node"})


def values_of(graph: Graph, count: int = 3) -> dict[str, Any]:
    generator = np.random.default_rng(4)
    return {name: generator.standard_normal((count, *s)) for name, s in graph.inputs.items()}


def test_every_operation_has_an_example():
    assert {example.split(":")[0] for example in EXAMPLES} == OPERATIONS.keys()


@pytest.mark.parametrize("example", EXAMPLES)
def test_attributes_are_in_canonical_form(example):
    row = OPERATIONS[example.split(":")[0]]
    complete = row.complete(EXAMPLES[example][1])
    assert complete.keys() == row.attributes.keys()
    assert row.complete(complete) == complete
    for attribute in row.attributes.values():
        assert attribute.check.__doc__  # error messages quote it


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("example", EXAMPLES)
def test_shape_forward_and_backward(example, training):
    graph = graph_of(example)
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
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_fast_engine_does_the_same(example, training):
    graph = graph_of(example)
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


@pytest.mark.parametrize("example", EXAMPLES)
def test_channels_match_the_jacobian(example):
    """Against the Jacobian: an output channel depends on the input channels that the row names."""
    graph = graph_of(example)
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


@pytest.mark.parametrize("example", EXAMPLES)
def test_stored_and_read_back(example, tmp_path):
    graph = graph_of(example)
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph
    network = make_network(graph) if graph.stored else None
    if network is not None:
        write_network(tmp_path / "n.h5", network)
        again, _ = read_network(tmp_path / "n.h5")
        assert again.graph == graph
        for name in graph.stored:
            arrays = ((n.parameters | n.buffers)[name] for n in (network, again))
            np.testing.assert_array_equal(*arrays)


@pytest.mark.parametrize("example", EXAMPLES)
def test_macs_belong_to_weights(example):
    graph = graph_of(example)
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
