"""Forward and backward of whole networks: gradients, running statistics, fan-out."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from small_networks import (
    classifier,
    every_operation,
    make_images,
    make_network,
    small_plain,
    small_resnet,
)

from fcpts_ref import layers
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.graphs import execution
from fcpts_ref.graphs.graph import Node

GRAPHS = {
    "A": small_resnet("A"),
    "B": small_resnet("B"),
    "plain": small_plain(),
    "bias": small_plain(batch_norm=False),
    "everything": every_operation(),
}


def away_from_kinks(graph, network, images, training):
    """Whether no ReLU reads a value near a kink; exact zeros have no tangent here."""
    kinked = {n.inputs[0] for n in graph.nodes if n.operation in ("relu", "relu6")}
    distances = []

    def observe(name, value):
        if name in kinked:
            value = value[value != 0]
            distances.append(min(np.abs(value).min(), np.abs(value - 6).min()))

    execution.forward(
        graph,
        network.parameters,
        network.buffers,
        {"images": images},
        training=training,
        observe=observe,
    )
    return min(distances) > 1e-7


def every_gradient(graph, passed, doutputs):
    """Gradients of parameters and inputs by name."""
    gradients, dinputs = execution.backward(graph, passed, doutputs)
    return gradients | dinputs


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_by_complex_step(name, training):
    """<u, J v> along random v in all parameters and the images together, exactly, against J'u.

    ReLU and max pooling are analytic away from their kinks, and a complex step of 1e-30 along the
    imaginary axis leaves every comparison as it is.
    """
    graph = GRAPHS[name]
    network, images = make_network(graph), make_images(graph)
    assert away_from_kinks(graph, network, images, training)
    passed = execution.forward(
        graph, network.parameters, network.buffers, {"images": images}, training=training
    )
    for seed in range(3):
        generator = np.random.default_rng(100 + seed)
        dlogits = generator.standard_normal(passed.outputs["logits"].shape)
        gradients = every_gradient(graph, passed, {"logits": dlogits})
        given = {**network.parameters, "images": images}
        assert gradients.keys() == given.keys()
        total, size = 0.0, 0.0
        moved = {}
        for key, array in given.items():
            v = generator.standard_normal(array.shape)
            moved[key] = array + 1e-30j * v
            assert gradients[key].shape == array.shape
            total += (gradients[key] * v).sum()
            size += np.abs(gradients[key] * v).sum()
        ahead = execution.forward(graph, moved, network.buffers, moved, training=training).outputs[
            "logits"
        ]
        want = (dlogits * ahead.imag / 1e-30).sum()
        assert abs(total - want) <= 1e-12 * size


@pytest.mark.parametrize("training", [True, False])
def test_full_jacobian(training):
    """Every parameter of a tiny network one by one, by complex steps."""
    graph = classifier(
        "tiny",
        (1, 3, 3),
        (
            Node("conv", "convolution", ("images",),
                 {"in_channels": 1, "out_channels": 2, "kernel": 2, "bias": False}),
            Node("bn", "batch_norm", ("conv",), {"channels": 2}),
            Node("relu", "relu", ("bn",)),
            Node("pool", "global_average_pool", ("relu",)),
            Node("linear", "linear", ("pool",), {"in_features": 2, "out_features": 2}),
        ),
    )  # fmt: skip
    network, images = make_network(graph), make_images(graph, 2)
    passed = execution.forward(
        graph, network.parameters, network.buffers, {"images": images}, training=training
    )
    rows = [every_gradient(graph, passed, {"logits": np.eye(4)[k].reshape(2, 2)}) for k in range(4)]
    for name, array in network.parameters.items():
        for i in np.ndindex(array.shape):
            moved = array.astype(complex)
            moved[i] += 1e-30j
            parameters = {k: a.astype(complex) for k, a in network.parameters.items()}
            ahead = execution.forward(
                graph,
                parameters | {name: moved},
                network.buffers,
                {"images": images},
                training=training,
            )
            column = [row[name][i] for row in rows]
            assert_close(column, ahead.outputs["logits"].imag.ravel() / 1e-30, 1e-12, name)


def test_fan_out_adds_up():
    graph = classifier(
        "fan",
        (1, 1, 1),
        (
            Node("a", "relu", ("images",)),
            Node("b", "relu", ("a",)),
            Node("c", "add", ("a", "b")),
            Node("d", "add", ("c", "a")),
            Node("flat", "flatten", ("d",)),
        ),
    )
    passed = execution.forward(graph, {}, {}, {"images": np.array([[[[2.0]]]])}, training=False)
    assert passed.outputs["logits"].item() == 6
    observed = []
    _, dinputs = execution.backward(
        graph,
        passed,
        {"logits": np.array([[5.0]])},
        observe=lambda name, dvalue: observed.append((name, dvalue.item())),
    )
    assert dinputs["images"].item() == 15
    assert observed == [("flat", 5), ("d", 5), ("c", 5), ("b", 5), ("a", 15)]


@pytest.mark.parametrize("name", ["A", "everything"])
def test_running_statistics(name):
    graph = GRAPHS[name]
    network, images = make_network(graph), make_images(graph)
    before = {key: array.copy() for key, array in network.buffers.items()}
    values = {}
    passed = execution.forward(
        graph,
        network.parameters,
        network.buffers,
        {"images": images},
        training=True,
        observe=lambda node, value: values.update({node: value}),
    )
    evaluated = execution.forward(
        graph, network.parameters, network.buffers, {"images": images}, training=False
    )
    for key, array in before.items():
        assert_same_bits(network.buffers[key], array)
        assert_same_bits(evaluated.buffers[key], array)
        if not key.startswith("normalise"):
            assert (passed.buffers[key] != array).any()
    for node in graph.nodes:
        if node.operation == "batch_norm":
            momentum = node.attributes.get("momentum", 0.1)
            batch = values[node.inputs[0]].mean(axis=(0, 2, 3))
            want = (1 - momentum) * before[f"{node.name}.running_mean"] + momentum * batch
            assert_close(passed.buffers[f"{node.name}.running_mean"], want, 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", GRAPHS)
def test_keeps_the_dtype(name, training, dtype):
    graph = GRAPHS[name]
    network, images = make_network(graph, dtype=dtype), make_images(graph, dtype=dtype)
    passed = execution.forward(
        graph, network.parameters, network.buffers, {"images": images}, training=training
    )
    gradients = every_gradient(graph, passed, {"logits": np.ones_like(passed.outputs["logits"])})
    for array in (passed.outputs["logits"], *passed.buffers.values(), *gradients.values()):
        assert array.dtype == dtype


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one_image(count):
    graph = GRAPHS["A"]
    network, images = make_network(graph), make_images(graph, count)
    passed = execution.forward(
        graph, network.parameters, network.buffers, {"images": images}, training=False
    )
    gradients = every_gradient(graph, passed, {"logits": np.ones((count, 5))})
    assert passed.outputs["logits"].shape == (count, 5)
    assert gradients["linear.bias"].tolist() == [count] * 5
    assert gradients["images"].shape == images.shape


def test_kept_weight_gradients():
    graph = GRAPHS["A"]
    network, images = make_network(graph), make_images(graph)
    weight = network.parameters["layer2.0.conv1.weight"].copy()
    weight[np.abs(weight) < 0.2] = 0
    parameters = {**network.parameters, "layer2.0.conv1.weight": weight}
    engine = NumpyEngine(graph)
    passed = engine.forward(
        parameters, network.buffers, {"images": images}, training=True, sparse=True
    )
    dlogits = layers.softmax_forward(passed.outputs["logits"])[0]
    every = engine.backward(passed, {"logits": dlogits})
    kept = engine.backward(passed, {"logits": dlogits}, weight_gradient="kept")
    assert every.keys() == kept.keys() == network.parameters.keys()
    for name, gradient in every.items():
        zero = (parameters[name] == 0) & (name in graph.prunable)
        np.testing.assert_array_equal(kept[name], np.where(zero, 0, gradient))
    assert (every["layer2.0.conv1.weight"][weight == 0] != 0).any()
