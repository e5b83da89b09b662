"""Every objective: its gradient, what it compares, and a whole run with it."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref.architectures import ssd
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.objectives.detector_outputs import DetectorOutputs
from fcpts_ref.objectives.features import Features
from fcpts_ref.objectives.kl import KLDivergence
from fcpts_ref.objectives.make import make_objective
from fcpts_ref.objectives.objective import Objective
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.spec.conventions import Conventions, profile

# Choices of the conventions for every objective, by the name that convention 6 has for it.
EXAMPLES: dict[str, dict[str, Any]] = {
    "logits": {"temperature": 3.0},
    "features": {"feature_layers": "layer1.0.add,layer3.0.add"},
    "logits: of a detector": {"temperature": 3.0, "box_weight": 0.7},
    "logits: squared error": {"box_error": "squared", "prior_weight": "uniform"},
}
GRAPH = small_resnet()
DETECTOR = ssd.mobilenet_v2_ssd_lite(classes=3, width=0.125, input_shape=(3, 40, 40))


def choices_of(name: str) -> dict[str, Any]:
    return {"reconstructs": name.partition(":")[0], **EXAMPLES[name]}


def graph_of(name: str) -> Graph:
    return DETECTOR if ":" in name else GRAPH


def objective_of(name: str) -> Objective:
    return make_objective(profile("paper").with_choices(choices_of(name)), graph_of(name))


def values(graph: Graph, names: dict[str, str], seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal((3, *graph.shapes[v])) for name, v in names.items()}


def test_every_choice_has_an_example() -> None:
    assert set(get_args(get_type_hints(Conventions)["reconstructs"])) == {
        name.partition(":")[0] for name in EXAMPLES
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_gradient_is_that_of_the_loss(name: str) -> None:
    objective = objective_of(name)
    names = objective.outputs(graph_of(name))
    dense, sparse = values(graph_of(name), names, 1), values(graph_of(name), names, 2)
    loss, gradients = objective.loss_and_gradients(dense, sparse)
    assert loss > 0
    assert gradients.keys() == names.keys()
    generator, step = np.random.default_rng(3), 1e-6
    for key, gradient in gradients.items():
        assert gradient.shape == sparse[key].shape
        v = generator.standard_normal(gradient.shape)
        ahead, behind = (
            objective.loss_and_gradients(dense, sparse | {key: sparse[key] + sign * step * v})[0]
            for sign in (1, -1)
        )
        want = (ahead - behind) / (2 * step)
        assert abs((gradient * v).sum() - want) <= 1e-7 * max(abs(want), 1e-3)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_loss_where_nothing_differs(name: str) -> None:
    objective = objective_of(name)
    dense = values(graph_of(name), objective.outputs(graph_of(name)), 1)
    loss, gradients = objective.loss_and_gradients(dense, dense)
    assert abs(loss) <= 1e-15
    assert max(np.abs(g).max() for g in gradients.values()) <= 1e-15


@pytest.mark.parametrize("name", EXAMPLES)
def test_dtype_in_dtype_out(name: str) -> None:
    objective = objective_of(name)
    names = objective.outputs(graph_of(name))
    pair = [
        {k: a.astype(np.float32) for k, a in values(graph_of(name), names, s).items()}
        for s in (1, 2)
    ]
    _, gradients = objective.loss_and_gradients(*pair)
    assert {g.dtype for g in gradients.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_run_brings_the_loss_down(name: str, engine: str) -> None:
    network = make_network(graph_of(name))
    images = make_images(network.graph, 16)
    choices = {**choices_of(name), "warmup_epochs": 0, "batch_size": 16}
    result = sparsify(
        network, images, target=0.3, profile="paper", epochs=30, choices=choices, engine=engine
    )
    losses = result.history["reconstruction_loss"]
    assert losses[-1] < losses[0]


def test_features_of_every_block() -> None:
    names = Features().outputs(GRAPH)
    assert list(names) == [node.name for node in GRAPH.nodes if node.operation == "add"]
    difference = {"a": np.array([[1.0, 3.0]])}
    loss, gradients = Features().loss_and_gradients({"a": np.zeros((1, 2))}, difference)
    assert loss == 5
    assert gradients["a"].tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("objective", "graph", "message"),
    [
        (Features(), small_plain(), "no residual additions; name the layers"),
        (Features(("conv9",)), GRAPH, "no layer 'conv9'; name the layers"),
        (DetectorOutputs(), GRAPH, "expected a detector's, scores and boxes"),
        (KLDivergence(output="scores"), GRAPH, "Equation 4 compares 'scores'"),
    ],
)
def test_graphs_that_do_not_fit(objective: Objective, graph: Graph, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        objective.outputs(graph)
    assert "\n" not in str(caught.value)


def outputs(scores: Any, boxes: Any) -> dict[str, Any]:
    return {"scores": np.array([scores], float), "boxes": np.array([boxes], float)}


def test_a_detector_by_hand() -> None:
    """Two priors, one of them background with p = 3/4; only codes differ, by 2 and by 1/2."""
    scores = [[0, 0], [np.log(3), 0]]
    dense = outputs(scores, np.zeros((2, 4)))
    sparse = outputs(scores, [[2, 0, 0, 0], [0.5, 0, 0, 0]])
    first, second = 1.5 / 4, 0.125 / 4
    uniform = DetectorOutputs(prior_weight="uniform")
    assert uniform.loss_and_gradients(dense, sparse)[0] == pytest.approx((first + second) / 2)
    weighted = DetectorOutputs(background_weight=0.0)  # foreground of 1/2 and 1/4
    loss, gradients = weighted.loss_and_gradients(dense, sparse)
    assert loss == pytest.approx(first * 2 / 3 + second / 3)
    assert gradients["boxes"][0, :, 0].tolist() == pytest.approx([2 / 3 / 4, 1 / 3 * 0.5 / 4])
    squared = DetectorOutputs(prior_weight="uniform", box_error="squared", box_weight=3)
    assert squared.loss_and_gradients(dense, sparse)[0] == pytest.approx(3 * (1 + 0.0625) / 2)


def test_priors_that_are_certainly_background_and_have_no_weight() -> None:
    dense = outputs([[1000, 0]], np.zeros((1, 4)))
    sparse = outputs([[0, 0]], np.ones((1, 4)))
    loss, _ = DetectorOutputs(background_weight=0.0).loss_and_gradients(dense, sparse)
    assert loss == 0


def test_outputs_of_a_detector_that_are_not_finite() -> None:
    dense, sparse = outputs([[0, 0]], np.zeros((1, 4))), outputs([[0, 0]], np.full((1, 4), np.inf))
    with pytest.raises(InputError, match="not finite"):
        DetectorOutputs().loss_and_gradients(dense, sparse)
