"""Steps whose batch is divided: the numbers of the whole batch, in less memory."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from small_networks import make_images, make_network, small_plain

from fcpts_ref.architectures.vision_transformer import vision_transformer
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.pruning.method import run_method
from fcpts_ref.pruning.problem import make_problem
from fcpts_ref.pruning.registry import METHODS, make_method

EVALUATING = {"student_batch_norm": "evaluation", "teacher_batch_norm": "evaluation"}
TRAINING = {"student_batch_norm": "training", "teacher_batch_norm": "evaluation"}
BOTH = {"student_batch_norm": "training", "teacher_batch_norm": "training"}
NETWORKS = {
    "transformer": vision_transformer(
        patch=4, features=6, depth=1, heads=2, classes=4, input_shape=(3, 8, 8)
    ),
    "without batch norm": small_plain(batch_norm=False),
    "batch norm": small_plain(),
}


def problem_of(name, engine="numpy", dtype=np.float64, count=12):
    graph = NETWORKS[name]
    network, images = make_network(graph, dtype=dtype), make_images(graph, count, dtype=dtype)
    return make_problem(network, images, 0.6, engine=engine)


def advanced(problem, method, epochs=2):
    state, generator = method.begin(problem), np.random.default_rng(5)
    for _ in range(epochs):
        state = method.advance(problem, state, generator, lambda report: None)
    return state


def arrays_of(state):
    groups = (state.parameters, state.buffers, state.velocities, state.history)
    arrays = {name: array for group in groups for name, array in group.items()}
    velocities = {f"velocity of {name}": v for name, v in state.velocities.items()}
    return arrays | velocities | {"thresholds": state.threshold_parameters}


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"reconstructs": "features", "feature_layers": "FIRST"},
        {"mask_gradient_reaches_weights": True},
        {"pruned_weight_gradient": "dense", "pruned_weight_pull": 0.1},
        {"reconstruction_moves_thresholds": False},
    ],
    ids=["kl", "features", "all gradients", "dense gradients", "kept gradients"],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_the_same_up_to_rounding(engine, name, choices, dtype, tolerance):
    """Three steps of two epochs, in parts of one, some and all images; the last one smaller."""
    layer = NETWORKS[name].nodes[2].name
    choices = {k: layer if v == "FIRST" else v for k, v in choices.items()}
    method = FCPTS(
        profile="paper",
        epochs=2,
        batch_size=4,
        choices={**EVALUATING, "temperature": 2.0, **choices},
    )
    problem = problem_of(name, engine, dtype)
    want = arrays_of(advanced(problem, method))
    for micro_batch in (1, 3, 4, 100):
        got = arrays_of(advanced(problem, replace(method, micro_batch=micro_batch)))
        assert got.keys() == want.keys()
        for key, array in want.items():
            assert_close(got[key], array, tolerance, f"{key} in parts of {micro_batch}")


def test_views_and_a_dense_network_that_is_not_remembered():
    method = FCPTS(epochs=2, batch_size=5, augmentation="crop", views=0, choices=EVALUATING)
    problem = problem_of("without batch norm")
    want = arrays_of(advanced(problem, method))
    got = arrays_of(advanced(problem, replace(method, micro_batch=2)))
    for key, array in want.items():
        assert_close(got[key], array, 1e-12, key)


def test_a_run_continues_with_the_same_bits():
    method = FCPTS(profile="paper", epochs=3, batch_size=4, micro_batch=3, choices=EVALUATING)
    problem = problem_of("transformer", "numba", np.float32)
    whole = arrays_of(advanced(problem, method, 3))
    state, generator = method.begin(problem), np.random.default_rng(5)
    for _ in range(3):
        state = method.unpack(*method.pack(state))
        state = method.advance(problem, state, generator, lambda report: None)
    for key, array in arrays_of(state).items():
        assert_same_bits(array, whole[key], key)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("choices", [TRAINING, BOTH], ids=["student", "both"])
@pytest.mark.parametrize("features", [False, True], ids=["kl", "features"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_batch_norm_in_training_mode(engine, choices, features, dtype, tolerance):
    """Statistics of the whole batch: three steps of two epochs, as without division."""
    if features:
        relu = [node.name for node in NETWORKS["batch norm"].nodes if node.operation == "relu"]
        choices = {**choices, "reconstructs": "features", "feature_layers": relu[0]}
    method = FCPTS(profile="paper", epochs=2, batch_size=4, choices=choices)
    problem = problem_of("batch norm", engine, dtype)
    want = arrays_of(advanced(problem, method))
    for micro_batch in (1, 3, 4, 100):
        got = arrays_of(advanced(problem, replace(method, micro_batch=micro_batch)))
        assert got.keys() == want.keys()
        for key, array in want.items():
            assert_close(got[key], array, tolerance, f"{key} in parts of {micro_batch}")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_running_statistics(dtype):
    """To 1e-6 in float32: those of one step, from the same weights."""
    method = FCPTS(profile="paper", epochs=1, batch_size=12, choices=TRAINING)
    problem = problem_of("batch norm", "numba", dtype)
    want = advanced(problem, method, 1).buffers
    for micro_batch in (1, 5):
        got = advanced(problem, replace(method, micro_batch=micro_batch), 1).buffers
        for name, array in want.items():
            assert_close(got[name], array, 1e-12 if dtype == np.float64 else 1e-6, name)


@pytest.mark.parametrize("name", ["str", "ltp", "probmask"])
@pytest.mark.parametrize("choices", [EVALUATING, BOTH], ids=["evaluation", "training"])
def test_learned_methods(name, choices):
    settings = {"epochs": 2, "batch_size": 4, "choices": choices}
    problem = problem_of("batch norm")
    want = result_of(problem, make_method(name, **settings))
    for micro_batch in (1, 3, 100):
        got = result_of(problem, make_method(name, micro_batch=micro_batch, **settings))
        for key, array in want.items():
            assert_close(got[key], array, 1e-10, f"{key} in parts of {micro_batch}")


class Recording:
    """An engine that records how many images its passes get."""

    def __init__(self, engine):
        self.engine, self.sizes = engine, []

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def forward(self, parameters, buffers, inputs, **options):
        self.sizes.append(len(inputs["images"]))
        return self.engine.forward(parameters, buffers, inputs, **options)


DIVIDING = [
    name
    for name, method in METHODS.items()
    if any(field.name == "micro_batch" for field in fields(method))
]


@pytest.mark.parametrize("name", DIVIDING)
@pytest.mark.parametrize("choices", [EVALUATING, BOTH], ids=["evaluation", "training"])
def test_no_pass_of_the_pruned_network_exceeds_a_part(name, choices):
    """Where no batch norm joins the images: also the passes that compare masks at the end."""
    problem = problem_of("without batch norm", count=24)
    student = Recording(problem.student)
    method = make_method(name, micro_batch=3, epochs=2, batch_size=8, choices=choices)
    run_method(method, replace(problem, student=student), np.random.default_rng(5))
    assert student.sizes
    assert max(student.sizes) == 3


def result_of(problem, method):
    result = run_method(method, problem, np.random.default_rng(5))
    return {**result.network.parameters, **result.network.buffers, **result.history}


def test_bad_input():
    for name in ("fcpts", "str"):
        with pytest.raises(InputError, match="micro_batch is 0; expected 1 or more"):
            make_method(name, micro_batch=0)


def test_it_is_a_part_of_the_job():
    job = Job(settings={"micro_batch": 8})
    assert Job.from_json(job.to_json()) == job
    method = job.make_method()
    assert isinstance(method, FCPTS)
    assert method.micro_batch == 8
