"""The detectors' graphs: outputs, priors and checkpoints."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_networks import make_images, make_network, small_resnet

from fcpts_ref.architectures.registry import architecture, find_architecture
from fcpts_ref.architectures.ssd import priors_of
from fcpts_ref.engines.numba.engine import NumbaEngine
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.interchange.recognise import recognise

DETECTORS = ("mobilenet_v1_ssd", "mobilenet_v2_ssd_lite")


def narrow(name: str, side: int = 64, classes: int = 4) -> Graph:
    return find_architecture(name).graph(classes=classes, width=0.125, input_shape=(3, side, side))


@pytest.mark.parametrize("name", DETECTORS)
def test_outputs_and_priors(name):
    graph = architecture(name)
    assert graph.output_shapes == {"scores": (3000, 21), "boxes": (3000, 4)}
    assert priors_of(graph).shape == (3000, 4)


@pytest.mark.parametrize(
    ("name", "weights"), [("mobilenet_v1_ssd", 3_801_600), ("mobilenet_v2_ssd_lite", 493_440)]
)
def test_weights_of_the_heads(name, weights):
    graph = architecture(name)
    heads = [n for n in graph.prunable if "headers" in n]
    assert sum(math.prod(graph.parameter_shapes[n]) for n in heads) == weights


@pytest.mark.parametrize("name", DETECTORS)
def test_a_prior_has_its_logits_side_by_side(name):
    """Channel = prior * classes + class: a bias moves one class of one prior in all cells."""
    network = make_network(narrow(name))
    bias = network.parameters["classification_headers.5.bias"].copy()
    bias[2 * 4 + 3] += 1
    moved = network.with_parameters({**network.parameters, "classification_headers.5.bias": bias})
    images = make_images(network.graph, 1)
    before, after = (
        NumpyEngine(network.graph)
        .forward(n.parameters, n.buffers, {"images": images}, training=False)
        .outputs["scores"]
        for n in (network, moved)
    )
    assert np.argwhere(np.abs(after - before) > 0.5).tolist() == [[0, before.shape[1] - 4, 3]]


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("training", [True, False])
def test_both_engines(name, training):
    network = make_network(narrow(name))
    images = make_images(network.graph, 2)
    rng = np.random.default_rng(0)
    results = []
    doutputs = {n: rng.normal(size=(2, *s)) for n, s in network.graph.output_shapes.items()}
    for make in (NumpyEngine, NumbaEngine):
        engine = make(network.graph)
        passed = engine.forward(
            network.parameters, network.buffers, {"images": images}, training=training, keep=True
        )
        outputs = {n: np.array(o) for n, o in passed.outputs.items()}
        results.append({**outputs, **engine.backward(passed, doutputs)})
    largest = max(np.abs(expected).max() for expected in results[0].values())
    for key, expected in results[0].items():
        scale = max(np.abs(expected).max(), 1e-3 * largest)  # a bias before batch norm has none
        assert np.abs(results[1][key] - expected).max() < 1e-9 * scale, key


@pytest.mark.parametrize("name", DETECTORS)
def test_the_other_detector_is_not_recognised(name):
    graph = architecture(name, classes=6)
    shapes = {n: s.shape for n, s in graph.stored.items() if s.role != "constant"}
    (found,) = recognise(shapes)
    assert found.name == name
    assert found.settings["classes"] == 6


def test_two_classes_at_least():
    with pytest.raises(InputError, match="background"):
        architecture("mobilenet_v1_ssd", classes=1)


def test_a_classifier_has_no_priors():
    with pytest.raises(InputError, match="expected a detector"):
        priors_of(small_resnet())
