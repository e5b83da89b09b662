"""The learned methods: budgets, engines, resuming, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_same_bits
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref import sparsify
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.pruning.method import run_method
from fcpts_ref.pruning.problem import make_problem
from fcpts_ref.pruning.registry import make_method
from fcpts_ref.spec.rescaled_threshold import rescaled_soft_threshold
from fcpts_ref.spec.soft_threshold import soft_threshold

GRAPH = small_resnet()
NETWORK = make_network(GRAPH)
IMAGES = make_images(GRAPH, 12)
SIZE = sum(NETWORK.sizes.values())
METHODS = {
    "STR": ("str", {"threshold_decay": 0.5}),
    "STR (projected)": ("str", {"control": "projection"}),
    "LTP": ("ltp", {}),
    "LTP (exact)": ("ltp", {"exact": True, "tune": 0.0}),
    "ProbMask": ("probmask", {"draws": 2}),
    "ST-3": ("st3", {}),
    "ST-3 (sigma)": ("st3", {"scale": "fan", "tune": 0.0}),
    "RigL": ("rigl", {"every": 1}),
    "RigL (LAMP)": ("rigl", {"every": 2, "allocation": "lamp", "tune": 0.0}),
    "Spartan": ("spartan", {}),
    "Spartan (soft)": ("spartan", {"forward": "soft", "tune": 0.0}),
    "ProbMask (top)": ("probmask", {"draws": 0, "start_score": 0.0, "tune": 0.0}),
}
SHORT = {"epochs": 2, "batch_size": 4}


def run(name, network=NETWORK, target=0.8, engine="numpy", **settings):
    method, usual = METHODS[name]
    given = SHORT | usual | settings
    return sparsify(network, IMAGES, method=method, target=target, engine=engine, **given)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("target", [0.0, 0.5, 0.8])
def test_the_budget_is_met_exactly(name, target):
    result = run(name, target=target)
    masks = result.network.masks
    assert sum((~mask).sum() for mask in masks.values()) == round(target * SIZE)
    assert global_rate(result.network) == pytest.approx(round(target * SIZE) / SIZE, abs=0.01)
    for layer, mask in masks.items():
        assert (result.network.parameters[layer][~mask] == 0).all()
    assert len(result.history["total_loss"]) == 2 * (len(IMAGES) // 4)
    assert np.isfinite(result.history["total_loss"]).all()


@pytest.mark.parametrize("name", ["STR", "LTP", "ProbMask", "ST-3", "RigL", "Spartan"])
def test_training_with_labels(name):
    """As published: cross-entropy, in parts too, and refused without labels."""
    labels = np.random.default_rng(4).integers(0, 5, len(IMAGES))
    given = {"objective": "labels", "choices": {"student_batch_norm": "evaluation"}}
    result = run(name, labels=labels, **given)
    assert sum((~mask).sum() for mask in result.network.masks.values()) == round(0.8 * SIZE)
    logits = NETWORK(IMAGES)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(IMAGES)), labels]
    first = result.history["reconstruction_loss"][0]
    assert losses.min() < first < 3 * losses.max()
    parts = run(name, labels=labels, micro_batch=2, **given)
    for layer, array in result.network.parameters.items():
        np.testing.assert_allclose(parts.network.parameters[layer], array, rtol=1e-8, atol=1e-10)
    with pytest.raises(InputError, match="the images have no labels"):
        run(name, **given)


@pytest.mark.parametrize("name", METHODS)
def test_both_engines_agree(name):
    numpy, numba = run(name), run(name, engine="numba")
    for layer, array in numpy.network.parameters.items():
        np.testing.assert_allclose(numba.network.parameters[layer], array, atol=1e-9, rtol=1e-8)


@pytest.mark.parametrize("name", METHODS)
def test_a_stored_run_ends_with_the_same_bits(name):
    kind, usual = METHODS[name]
    method = make_method(kind, **(SHORT | usual))
    problem = make_problem(NETWORK, IMAGES, 0.8, engine="numpy")
    whole = run_method(method, problem, np.random.default_rng(0))
    generator = np.random.default_rng(0)
    state = method.begin(problem)
    for _ in range(method.stages(problem)):
        state = method.unpack(*method.pack(state))
        state = method.advance(problem, state, generator, lambda report: None)
    parts = method.finish(problem, method.unpack(*method.pack(state)))
    for layer, array in whole.network.parameters.items():
        assert_same_bits(parts.network.parameters[layer], array)
    assert parts.rate_before_projection == whole.rate_before_projection


@pytest.mark.parametrize("name", METHODS)
def test_layers_can_be_kept_dense(name):
    result = run(name, keep_dense=("conv1", "linear"))
    assert result.left_out
    assert all(result.network.masks[layer].all() for layer in result.left_out)


@pytest.mark.parametrize("name", METHODS)
def test_networks_without_batch_norm_and_float32(name):
    graph = small_plain(batch_norm=False)
    network = make_network(graph, dtype=np.float32)
    method, usual = METHODS[name]
    result = sparsify(
        network, make_images(graph, 8), method=method, target=0.5, engine="numpy", **SHORT, **usual
    )
    assert all(array.dtype == np.float32 for array in result.network.parameters.values())


def test_weight_decay_alone_raises_the_thresholds_of_str():
    rates = run("STR", threshold_decay=40.0, epochs=6).history["global_rate"]
    assert rates[0] < 0.01
    assert rates[-1] > rates[0]


def test_projected_str_meets_the_rate_in_every_step():
    rates = run("STR (projected)").history["global_rate"]
    assert rates[1:] == pytest.approx(0.8, abs=2 / SIZE)


def test_finished_str_holds_soft_weights():
    result = run("STR (projected)", epochs=0)
    for layer, mask in result.network.masks.items():
        w = NETWORK.parameters[layer]
        t = np.abs(w[~mask]).max(initial=0)
        assert_same_bits(result.network.parameters[layer], np.where(mask, soft_threshold(w, t), 0))


def test_ltp_fixes_its_masks_once_the_rate_is_met():
    rates = run("LTP", threshold_learning_rate=50.0, epochs=4, tune=0.0).history["global_rate"]
    assert rates[-1] == pytest.approx(round(0.8 * SIZE) / SIZE, abs=1e-9)


def test_probmask_lowers_the_expected_number_to_the_budget():
    rates = run("ProbMask (top)", epochs=6).history["global_rate"]
    assert rates[0] < rates[-1] <= 0.8 + 1e-6
    assert rates[-1] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("name", ["ST-3", "Spartan"])
def test_the_rate_rises_to_the_target(name):
    rates = run(name, epochs=8, tune=0.0).history["global_rate"]
    assert rates[0] == 0
    assert (np.diff(rates) >= 0).all()
    assert rates[-1] == pytest.approx(round(0.8 * SIZE) / SIZE)


@pytest.mark.parametrize("name", ["ST-3", "ST-3 (sigma)", "RigL", "Spartan", "Spartan (soft)"])
def test_caps_hold(name):
    result = run(name, max_rates={"layer3.*": 0.6}, rates={"linear": 0.5}, target=0.6)
    sizes = {layer: mask.size for layer, mask in result.network.masks.items()}
    for layer in sizes:
        if layer.startswith("layer3"):
            assert result.rates[layer] <= round(0.6 * sizes[layer]) / sizes[layer] + 1e-12
    assert (
        result.rates["linear.weight"]
        == round(0.5 * sizes["linear.weight"]) / sizes["linear.weight"]
    )


def test_rigl_replaces_weights_at_fixed_rates():
    first = run("RigL", epochs=0)
    result = run("RigL", epochs=4, replaced=0.5)
    assert result.rates == first.rates
    changes = [
        np.count_nonzero(mask != first.network.masks[layer])
        for layer, mask in result.network.masks.items()
    ]
    assert sum(changes) > 0
    still = run("RigL", epochs=4, replaced=0.0)
    for layer, mask in still.network.masks.items():
        assert np.array_equal(mask, first.network.masks[layer])


def test_weights_that_rigl_regrows_start_at_0():
    problem = make_problem(NETWORK, IMAGES, 0.8, engine="numpy")
    method = make_method("rigl", **SHORT, every=3, replaced=0.5, tune=0.0)
    state, before = method.begin(problem), None
    generator = np.random.default_rng(0)
    state = method.advance(problem, state, generator, lambda report: None)  # three steps
    before = method.begin(problem).learned
    for layer in problem.prunable:
        new = state.learned[f"mask/{layer}"] > before[f"mask/{layer}"]
        pruned = state.learned[f"mask/{layer}"] == 0
        assert (state.parameters[layer][new | pruned] == 0).all()
        assert (state.velocities[layer][new | pruned] == 0).all()


def test_finished_st3_holds_rescaled_weights():
    result = run("ST-3", epochs=0)
    for layer, mask in result.network.masks.items():
        w = NETWORK.parameters[layer]
        t = np.abs(w[~mask]).max(initial=0)
        want = np.where(mask, rescaled_soft_threshold(w, t), 0)
        assert_same_bits(result.network.parameters[layer], want)


def test_draws_depend_on_the_seed():
    one, other = (run("ProbMask", seed=seed).network.masks for seed in (0, 1))
    assert any((one[layer] != other[layer]).any() for layer in one)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("STR", {"control": "loss"}, "control"),
        ("STR", {"threshold_decay": -1.0}, "at least 0"),
        ("LTP", {"temperature": 0.0}, "temperature above 0"),
        ("LTP", {"penalty": float("nan")}, "penalty"),
        ("ProbMask", {"draws": -1}, "draws"),
        ("ProbMask", {"start_score": 1.5}, "start_score"),
        ("ProbMask", {"tune": 2.0}, "tune"),
        ("ST-3", {"scale": "two"}, "scale"),
        ("ST-3", {"granularity": "1:3", "target": 2 / 3}, "granularity 'weight'"),
        ("RigL", {"every": 0}, "at least 1 step"),
        ("RigL", {"replaced": 1.5}, "share from 0 to 1"),
        ("RigL", {"allocation": "best"}, "unknown allocation"),
        ("Spartan", {"sharpness": 0.5}, "from 1 on"),
        ("Spartan", {"sharpness": float("nan")}, "from 1 on"),
        ("Spartan", {"forward": "medium"}, "'hard' or 'soft'"),
        ("STR", {"granularity": "filter", "target": 0.5}, "granularity 'weight'"),
        ("LTP", {"cost": "macs"}, "cost 'weights'"),
        ("STR", {"target": 1.0}, "target|rate"),
    ],
)
def test_bad_settings(name, settings, message):
    with pytest.raises(InputError, match=message):
        run(name, **settings)


def test_weights_that_no_sigmoid_reaches():
    network = NETWORK.with_parameters({k: 30 * v for k, v in NETWORK.parameters.items()})
    with pytest.raises(InputError, match="sigmoid"):
        run("STR (projected)", network=network)
