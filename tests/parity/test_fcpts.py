"""Ten steps of FCPTS against PyTorch autograd, float64, 1e-10 relative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparing import assert_close
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref.architectures.vision_transformer import vision_transformer
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.pruning.fcpts.step import draw_samples, thresholds_of
from fcpts_ref.pruning.problem import make_problem

torch = pytest.importorskip("torch")

from parity.torch_fcpts import Run, as_tensor  # noqa: E402
from parity.torch_networks import Plain, ResNet, load, statistics  # noqa: E402
from parity.torch_vit import VisionTransformer  # noqa: E402

TOLERANCE = 1e-10
EPOCHS, BATCH, IMAGES, TARGET, SEED = 2, 4, 20, 0.7, 11
NETWORKS = {
    "A": (small_resnet("A"), lambda: ResNet(1, 5, (3, 5, 6), 2, "A")),
    "B": (small_resnet("B"), lambda: ResNet(1, 5, (3, 5, 6), 2, "B")),
    "transformer": (
        vision_transformer(patch=4, features=6, depth=1, heads=2, classes=4, input_shape=(3, 8, 8)),
        lambda: VisionTransformer(8, 4, 6, 1, 2, 4),
    ),
    "plain": (small_plain(), lambda: Plain(4, (3, 4), 2, 6, True)),
}
FASTER = {"learning_rate": 0.3, "threshold_learning_rate": 0.5}  # ten steps then move every array


def begin(graph, method, images=IMAGES):
    """Return our problem and initial state.

    Sigmoid thresholds are moved off the weights that they come from: otherwise one ulp of
    sigmoid(logit(t)) would decide whether such a weight is pruned.
    """
    problem = make_problem(make_network(graph), make_images(graph, images), TARGET, engine="numpy")
    state = method.begin(problem)
    if method.conventions.threshold_parameter == "sigmoid":
        state = replace(state, threshold_parameters=state.threshold_parameters + 1e-3)
    return problem, state


def run_theirs(problem, state, method, make):
    """Run PyTorch on the same batches and samples, drawn in the order of Algorithm 1."""
    conventions = method.conventions
    images, batch, epochs = len(problem.images), method.batch_size, method.epochs
    per_epoch = images // batch
    run = Run(
        load(make(), problem.network),
        load(make(), problem.network),
        problem.network.graph.prunable,
        as_tensor(state.threshold_parameters),
        TARGET,
        method.control,
        conventions,
        epochs * per_epoch,
        per_epoch,
        method.learn_rates,
        state.allocation.rates,
    )
    generator = np.random.default_rng(SEED)
    for _ in range(epochs):
        order = generator.permutation(images)
        for k in range(per_epoch):
            samples = draw_samples(list(problem.network.sizes.values()), conventions, generator)
            run.step(problem.images[order[k * batch : (k + 1) * batch]], samples)
    return run


def compare(graph, make, method):
    problem, state = begin(graph, method)
    theirs = run_theirs(problem, state, method, make)
    generator = np.random.default_rng(SEED)
    start = state
    for _ in range(EPOCHS):
        state = method.advance(problem, state, generator, lambda report: None)
    assert len(theirs.history) == state.step == 10
    for name in ("reconstruction_loss", "control_loss", "rates", "thresholds"):
        want = np.array([record[name] for record in theirs.history])
        assert_close(state.history[name], want, TOLERANCE, name)
    parameters = dict(theirs.student.named_parameters())
    velocities = theirs.velocities()
    assert state.parameters.keys() == parameters.keys()
    for name, want in parameters.items():
        assert_close(state.parameters[name], want.detach().numpy(), TOLERANCE, name)
        assert_close(state.velocities[name], velocities[name], TOLERANCE, f"velocity of {name}")
    for name, want in statistics(theirs.student).items():
        assert_close(state.buffers[name], want, TOLERANCE, name)
    assert_close(state.threshold_parameters, theirs.learned.detach().numpy(), TOLERANCE)
    got = thresholds_of(state.threshold_parameters, method.conventions)
    assert_close(got, theirs.thresholds.detach().numpy(), TOLERANCE)
    want = theirs.threshold_velocities()
    scale = max(np.abs(want).max(), 1e-300)
    assert np.abs(state.threshold_velocities - want).max() <= TOLERANCE * scale
    return start, state


def moved(start, state):
    assert (state.threshold_parameters != start.threshold_parameters).any()
    for name, array in state.parameters.items():
        assert (array != start.parameters[name]).any(), name


@pytest.mark.parametrize("control", ["loss", "projection"])
@pytest.mark.parametrize("profile", ["paper", "released"])
@pytest.mark.parametrize("case", NETWORKS)
def test_profiles(case, profile, control):
    method = FCPTS(profile=profile, control=control, epochs=EPOCHS, batch_size=BATCH)
    compare(*NETWORKS[case], method)
    faster = replace(method, choices=FASTER)
    start, state = compare(*NETWORKS[case], faster)
    if (profile, control) != ("released", "projection"):  # there only the weights move t
        moved(start, state)


@pytest.mark.parametrize("profile", ["paper", "released"])
@pytest.mark.parametrize(
    "choices",
    [
        {"density": "kernel", "bandwidth": "absolute"},
        {"density": "kernel", "bandwidth": "relative"},
        {"density": "histogram"},
        {"mask_gradient_reaches_weights": True},
        {"pruned_weight_gradient": "dense"},
        {"pruned_weight_gradient": "dense", "pruned_weight_pull": 0.3},
        {"reconstruction_moves_thresholds": True, "threshold_parameter": "sigmoid"},
        {"student_batch_norm": "evaluation", "teacher_batch_norm": "training"},
        {"nesterov": True, "control_weight": 3.0, "temperature": 2.0},
    ],
    ids=lambda choices: "-".join(f"{value}" for value in choices.values()),
)
def test_choices(profile, choices):
    method = FCPTS(profile=profile, choices=FASTER | choices, epochs=EPOCHS, batch_size=BATCH)
    moved(*compare(*NETWORKS["A"], method))


@pytest.mark.parametrize("profile", ["paper", "released"])
def test_fixed_rates(profile):
    choices = FASTER | {"threshold_parameter": "threshold"}  # else one ulp of the logit decides
    method = FCPTS(
        profile=profile, choices=choices, learn_rates=False, epochs=EPOCHS, batch_size=BATCH
    )
    moved(*compare(*NETWORKS["A"], method))
