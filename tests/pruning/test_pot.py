"""POT: units, corrections, reconstruction, and the run as a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_networks import (
    every_operation,
    make_images,
    make_network,
    small_plain,
    small_resnet,
)

from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.fold import fold_batch_norm
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.pruning.method import Result, StepReport, run_method
from fcpts_ref.pruning.pot.method import POT, correct_weight, corrected_bias, reconstruction
from fcpts_ref.pruning.pot.units import (
    CHUNK,
    Progress,
    advance_to,
    is_unit,
    parts_of,
    run_part,
)
from fcpts_ref.pruning.problem import Problem, make_problem
from fcpts_ref.pruning.registry import make_method, sparsify
from fcpts_ref.spec.budget import budget

FAST: dict[str, Any] = {"steps": 3, "batch_size": 4}


def units_of(graph: Graph, pattern: str = "layer") -> list[Graph]:
    return [part for part in parts_of(graph, pattern) if is_unit(part)]


def start(images: Any) -> Progress:
    return Progress(0, {"images": images})


def problem_of(graph: Graph, target: float = 0.5, count: int = 10) -> Problem:
    images = make_images(graph, count)
    return make_problem(make_network(graph), images, target, engine="numpy")


def run(problem: Problem, seed: int = 0, **settings: Any) -> Result:
    return run_method(POT(**{**FAST, **settings}), problem, np.random.default_rng(seed))


# Units


def test_a_layer_is_an_operation_and_its_successors_up_to_a_join_or_fork() -> None:
    graph = fold_batch_norm(make_network(small_resnet())).graph
    names = {unit.name: [node.name for node in unit.nodes] for unit in units_of(graph)}
    assert names["conv1"] == ["conv1", "relu"]  # two nodes read its value
    assert names["layer1.0.conv1"] == ["layer1.0.conv1", "layer1.0.relu1"]
    assert names["layer1.0.conv2"] == ["layer1.0.conv2"]  # an addition comes next
    assert names["linear"] == ["linear"]
    assert list(names) == [name.removesuffix(".weight") for name in graph.prunable]


def test_a_layer_ends_before_flattening() -> None:
    graph = fold_batch_norm(make_network(small_plain())).graph
    assert [node.name for node in units_of(graph)[1].nodes] == ["conv2", "relu2", "pool2"]


def test_independent_units_are_single_operations() -> None:
    graph = fold_batch_norm(make_network(small_resnet())).graph
    assert all(len(unit.nodes) == 1 for unit in units_of(graph, "independent"))
    with pytest.raises(InputError, match="expected one of layer, independent"):
        parts_of(graph, "block")


@pytest.mark.parametrize("pattern", ["layer", "independent"])
@pytest.mark.parametrize("graph", [small_resnet("A"), small_resnet("B"), every_operation()])
def test_the_parts_end_at_the_logits(graph: Graph, pattern: str) -> None:
    network = make_network(graph)
    images = make_images(graph, CHUNK + 3)  # more than one chunk
    parts = parts_of(graph, pattern)
    progress = advance_to(
        start(images), len(parts) - 1, parts, network.parameters, network.buffers, NumpyEngine
    )
    last = parts[-1]
    engine = NumpyEngine(last)
    logits = run_part(last, progress.values, network.parameters, network.buffers, engine)
    assert np.abs(logits - network(images)).max() <= 1e-12
    assert set(progress.values) == set(last.inputs)  # nothing else is held any more


def test_progress_in_two_steps_gives_the_same_bits() -> None:
    network, graph = make_network(small_resnet()), small_resnet()
    parts, images = parts_of(graph, "layer"), make_images(small_resnet())
    rest = (parts, network.parameters, network.buffers, NumpyEngine)
    once = advance_to(start(images), 9, *rest)
    twice = advance_to(advance_to(start(images), 4, *rest), 9, *rest)
    assert once.values.keys() == twice.values.keys()
    assert all(np.array_equal(once.values[k], twice.values[k]) for k in once.values)


# Corrections


def channel(weight: Any, k: int) -> Any:
    return weight.reshape(len(weight), -1)[k]


def test_weight_correction_restores_the_spread() -> None:
    generator = np.random.default_rng(3)
    weight = generator.standard_normal((4, 3, 3, 3)) + 0.1
    mask = generator.random(weight.shape) < 0.4
    corrected = correct_weight(weight, mask)
    for k in range(4):
        w, m = channel(weight, k), channel(mask, k)
        v = w.std() / (m * w).std()
        shift = w.mean() - (v * m * w).mean()
        assert np.abs(channel(corrected, k) - (v * w + shift)).max() <= 1e-7
        kept_mean = (m * channel(corrected, k)).mean()  # the mean comes back only in part
        assert abs(kept_mean - (v * (m * w).mean() + m.mean() * shift)) <= 1e-7


def test_weight_correction_of_a_full_mask_changes_nothing() -> None:
    weight = np.random.default_rng(0).standard_normal((2, 5))
    assert np.abs(correct_weight(weight, np.ones((2, 5), bool)) - weight).max() <= 1e-7


def test_weight_correction_of_an_empty_channel_is_finite() -> None:
    weight = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
    mask = np.array([[False] * 5, [True] * 5])
    corrected = correct_weight(weight, mask)
    assert np.isfinite(corrected).all()
    assert np.abs(corrected).max() < 10
    assert corrected.dtype == np.float32


@pytest.mark.parametrize("graph", [small_resnet(), small_plain(), every_operation()])
def test_bias_correction_makes_mean_outputs_equal(graph: Graph) -> None:
    """Against the definition: both layers run on every image, means taken over the outputs."""
    network = fold_batch_norm(make_network(graph))
    generator = np.random.default_rng(5)
    sparse = {
        name: a * (generator.random(a.shape) < 0.5) if name in network.graph.prunable else a
        for name, a in network.parameters.items()
    }
    parts = parts_of(network.graph, "independent")
    images = make_images(graph, 6)
    for index, unit in enumerate(parts):
        if not is_unit(unit) or f"{unit.name}.bias" not in sparse:
            continue
        engine, buffers = NumpyEngine(unit), network.buffers
        before = advance_to(start(images), index, parts, network.parameters, buffers, NumpyEngine)
        new = corrected_bias(unit, before.values[unit.input], network.parameters, sparse)
        dense = run_part(unit, before.values, network.parameters, buffers, engine)
        pruned = run_part(unit, before.values, {**sparse, **new}, buffers, engine)
        axes = (0, *range(2, dense.ndim))
        assert np.abs(dense.mean(axis=axes) - pruned.mean(axis=axes)).max() <= 1e-12


def test_bias_correction_leaves_a_layer_without_bias_alone() -> None:
    network = make_network(small_resnet())
    unit = units_of(network.graph)[0]
    values = make_images(network.graph)
    assert corrected_bias(unit, values, network.parameters, network.parameters) == {}


# Reconstruction


def test_loss_sums_over_channels_and_averages_over_images_and_places() -> None:
    generator = np.random.default_rng(0)
    value, target = generator.random((2, 3, 4, 5, 6))  # each (3, 4, 5, 6)
    expected = sum(
        ((value[n, :, p, q] - target[n, :, p, q]) ** 2).sum()
        for n in range(3)
        for p in range(5)
        for q in range(6)
    ) / (3 * 5 * 6)
    loss, dvalue = reconstruction(value.reshape(3, -1), target.reshape(3, -1), 30)
    assert abs(loss - expected) <= 1e-12
    h = 1e-6
    moved = value.reshape(3, -1).copy()
    for place in [(0, 0), (1, 17), (2, 119)]:
        moved[place] += h
        high, _ = reconstruction(moved, target.reshape(3, -1), 30)
        moved[place] -= 2 * h
        low, _ = reconstruction(moved, target.reshape(3, -1), 30)
        moved[place] += h
        assert abs((high - low) / (2 * h) - dvalue[place]) <= 1e-8


def test_tuning_lowers_every_loss() -> None:
    problem = problem_of(small_resnet(), 0.6, count=8)
    result = run(problem, allocation="uniform", steps=60, batch_size=8, weight_learning_rate=1e-3)
    history = result.history
    assert len(history["reconstruction_loss"]) == 60 * 8
    for unit in range(8):
        losses = history["reconstruction_loss"][history["unit"] == unit]
        assert losses[-1] < losses[0]


def test_one_step_is_adams() -> None:
    """Adam's first step moves every kept weight by the learning rate, against its gradient."""
    problem = problem_of(small_plain(), 0.5, count=4)
    settings: dict[str, Any] = {"allocation": "uniform", "unit": "independent"}
    rates = {"weight_learning_rate": 1e-3, "bias_learning_rate": 1e-2}
    before = run(problem, steps=0, **settings)
    after = run(problem, steps=1, **settings, **rates)
    moved_weights = np.zeros(0)
    for name, old in before.network.parameters.items():
        moved = np.abs(after.network.parameters[name] - old)
        size = 1e-3 if name.endswith("weight") else 1e-2
        mask = after.network.masks.get(name, np.ones(old.shape, bool))
        assert not moved[~mask].any()
        assert (moved[mask] <= size * (1 + 1e-6)).all()
        if name.endswith("weight"):
            moved_weights = np.concatenate([moved_weights, moved[mask] / size])
    assert np.median(moved_weights) > 0.99


def test_a_unit_below_the_tolerance_is_done() -> None:
    result = run(problem_of(small_resnet(), 0.5), steps=5, tolerance=math.inf)
    assert list(result.history["unit"]) == list(range(8))
    zero = run(problem_of(small_resnet(), 0.5), steps=0)
    for name, array in zero.network.parameters.items():
        assert np.array_equal(array, result.network.parameters[name])


# The run


@pytest.mark.parametrize("allocation", ["erk", "l2norm", "uniform"])
@pytest.mark.parametrize("target", [0.0, 0.5, 0.83])
def test_the_budget_is_met_to_the_last_weight(allocation: str, target: float) -> None:
    problem = problem_of(small_resnet(), target)
    result = run(problem, allocation=allocation)
    weights = sum(problem.network.sizes.values())
    zeros = sum(int((result.network.parameters[n] == 0).sum()) for n in result.rates)
    assert zeros == budget(target, weights)
    assert abs(result.rate_before_projection - target) <= 8 / weights
    assert abs(global_rate(result.network) - zeros / weights) <= 1e-12


def test_rates_are_those_of_the_folded_weights() -> None:
    problem = problem_of(small_resnet(), 0.5)
    folded = fold_batch_norm(problem.network)
    one_shot = sparsify(
        folded, problem.images, target=0.5, method="one-shot", allocation="l2norm", engine="numpy"
    )
    result = run(problem, allocation="l2norm")
    assert result.rates == one_shot.rates
    assert all(
        np.array_equal(result.network.masks[n], one_shot.network.masks[n]) for n in result.rates
    )


def test_nothing_to_prune_gives_the_folded_network_back() -> None:
    problem = problem_of(small_resnet(), 0.0)
    result = run(problem, steps=2)
    images = problem.images
    assert np.abs(result.network(images) - problem.network(images)).max() <= 1e-5


def test_sparse_inputs_differ_from_dense_inputs() -> None:
    problem = problem_of(small_resnet(), 0.6)
    settings: dict[str, Any] = {"steps": 4, "tolerance": 0.0}
    dense, sparse = (run(problem, dense_inputs=d, **settings) for d in (True, False))
    first = "conv1.weight"
    assert np.array_equal(dense.network.parameters[first], sparse.network.parameters[first])
    last = "layer3.0.conv2.weight"
    assert not np.array_equal(dense.network.parameters[last], sparse.network.parameters[last])


@pytest.mark.parametrize("dense_inputs", [True, False])
def test_stored_and_resumed_after_any_unit_gives_the_same_bits(dense_inputs: bool) -> None:
    problem = problem_of(small_resnet(), 0.6)
    method = POT(steps=2, batch_size=4, dense_inputs=dense_inputs)
    expected = run_method(method, problem, np.random.default_rng(7))
    generator = np.random.default_rng(7)
    state = method.begin(problem)
    for _ in range(method.stages(problem)):
        state = method.unpack(*method.pack(state))
        state = method.advance(problem, state, generator, lambda report: None)
    result = method.finish(problem, method.unpack(*method.pack(state)))
    for name, array in expected.network.parameters.items():
        assert np.array_equal(array, result.network.parameters[name])
    for name, array in expected.history.items():
        assert np.array_equal(array, result.history[name])


def test_finished_early_it_is_a_sparse_network_all_the_same() -> None:
    problem = problem_of(small_resnet(), 0.6)
    method = POT(**FAST)
    state = method.advance(
        problem, method.begin(problem), np.random.default_rng(0), lambda report: None
    )
    result = method.finish(problem, state)
    assert abs(global_rate(result.network) - 0.6) <= 1e-3
    assert np.isfinite(result.network(problem.images)).all()


def test_reports_count_the_steps_of_all_units() -> None:
    reports: list[StepReport] = []
    run_method(
        POT(**FAST, tolerance=0.0),
        problem_of(small_plain()),
        np.random.default_rng(0),
        reports.append,
    )
    assert [report.step for report in reports] == list(range(1, 10))
    assert {report.steps for report in reports} == {9}


def test_engines_agree() -> None:
    problem = problem_of(small_resnet(), 0.6)
    fast = make_problem(problem.network, problem.images, 0.6, engine="numba")
    a, b = run(problem, tolerance=0.0), run(fast, tolerance=0.0)
    for name, array in a.network.parameters.items():
        assert np.abs(array - b.network.parameters[name]).max() <= 1e-9


def test_dtype_is_the_networks() -> None:
    network = make_network(small_resnet(), dtype=np.float32)
    problem = make_problem(network, make_images(network.graph, 8), 0.5, engine="numpy")
    assert run(problem).network.dtype == np.float32


def test_fewer_images_than_a_batch_and_batch_norm_that_stays() -> None:
    problem = problem_of(every_operation(), 0.3, count=2)
    result = run(problem, batch_size=64)
    assert np.isfinite(result.network(problem.images)).all()


BAD: list[Mapping[str, Any]] = [
    {"steps": -1},
    {"batch_size": 0},
    {"weight_learning_rate": -1.0},
    {"bias_learning_rate": math.nan},
    {"weight_learning_rate": math.inf},
]


@pytest.mark.parametrize("settings", BAD)
def test_bad_settings(settings: Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a finite number"):
        POT(**settings)


def test_bad_names() -> None:
    problem = problem_of(small_plain())
    with pytest.raises(InputError, match="unknown allocation"):
        run(problem, allocation="magic")
    with pytest.raises(InputError, match="expected one of layer"):
        run(problem, unit="block")
    with pytest.raises(InputError, match="has no setting 'epochs'"):
        make_method("pot", epochs=3)


def test_a_pruned_network_is_refused() -> None:
    problem = problem_of(small_plain())
    pruned = run(problem).network
    with pytest.raises(InputError, match="pruned already"):
        make_problem(pruned, problem.images, 0.5, engine="numpy")
    assert replace(problem.network, masks={}).masks == {}
