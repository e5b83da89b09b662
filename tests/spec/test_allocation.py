"""Allocations: the global target, their own formulas, dense layers, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.spec.allocation import ALLOCATIONS, allocate, erk

BY_SCORE = ("l2norm", "l1norm", "global", "lamp")
RESNET8 = {
    "conv1.weight": (16, 3, 3, 3),
    "layer1.0.conv1.weight": (16, 16, 3, 3),
    "layer1.0.conv2.weight": (16, 16, 3, 3),
    "layer2.0.conv1.weight": (32, 16, 3, 3),
    "layer2.0.conv2.weight": (32, 32, 3, 3),
    "layer3.0.conv1.weight": (64, 32, 3, 3),
    "layer3.0.conv2.weight": (64, 64, 3, 3),
    "linear.weight": (10, 64),
}


def draw(shapes, seed=0, dtype=np.float64):
    generator = np.random.default_rng(seed)
    return {
        name: (generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(dtype)
        for name, shape in shapes.items()
    }


def counts(allocation, weights):
    return {name: round(rate * weights[name].size) for name, rate in allocation.rates.items()}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (name, target)
        for name in ALLOCATIONS
        for target in (0.0, 1e-6, 0.3, 0.5, 0.8, 0.9, 0.95)
        if (name, target) not in {("l1norm", 0.9), ("l1norm", 0.95)}  # would empty a layer
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_meets_the_global_target_within_one_weight_per_layer(name, target, dtype):
    weights = draw(RESNET8, dtype=dtype)
    allocation = allocate(name, weights, target)
    assert list(allocation.rates) == list(weights)
    assert all(0 <= rate < 1 for rate in allocation.rates.values())
    total = sum(w.size for w in weights.values())
    pruned = counts(allocation, weights)
    error = abs(sum(pruned.values()) - round(target * total))
    assert error <= (0 if name in BY_SCORE else len(weights))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(4, 9)), min_size=1, max_size=6),
    st.floats(0, 0.8),
    st.sampled_from(sorted(ALLOCATIONS)),
    st.integers(0, 99),
)
def test_any_layers(shapes, target, name, seed):
    weights = draw({f"layer{i}": shape for i, shape in enumerate(shapes)}, seed)
    total = sum(w.size for w in weights.values())
    try:
        allocation = allocate(name, weights, target)
    except InputError as error:
        assert "would prune all" in str(error)  # noqa: PT017
        return
    pruned = counts(allocation, weights)
    assert all(0 <= n < weights[layer].size for layer, n in pruned.items())
    assert abs(sum(pruned.values()) - round(target * total)) <= len(weights)


def test_uniform():
    allocation = allocate("uniform", draw(RESNET8), 0.9)
    assert set(allocation.rates.values()) == {0.9}
    assert allocation.dense == ()


def test_erk_densities_are_proportional_to_the_sum_over_the_product():
    weights = draw(RESNET8)
    allocation = allocate("erk", weights, 0.9)
    assert allocation.dense == ("linear.weight",)
    assert allocation.rates["linear.weight"] == 0
    scales = [
        (1 - rate) * weights[name].size / sum(weights[name].shape)
        for name, rate in allocation.rates.items()
        if name not in allocation.dense
    ]
    assert_close(scales, np.full(7, scales[0]), 1e-12)
    kept = sum((1 - rate) * weights[name].size for name, rate in allocation.rates.items())
    assert_close(kept, 0.1 * sum(w.size for w in weights.values()), 1e-12)


@pytest.mark.parametrize("target", [0.1, 0.3, 0.5, 0.7])
def test_erk_caps_layers_at_density_1_and_says_which(target):
    weights = draw(RESNET8)
    allocation = allocate("erk", weights, target)
    assert allocation.dense == tuple(name for name in weights if allocation.rates[name] == 0)
    assert 0 < len(allocation.dense) < len(weights)
    raw = {name: sum(w.shape) / w.size for name, w in weights.items()}
    lowest = min(raw[name] for name in allocation.dense)
    assert all(raw[name] < lowest for name in weights if name not in allocation.dense)


def test_erk_of_power_0_is_uniform():
    allocation = erk(draw(RESNET8), 0.8, power=0)
    assert_close(list(allocation.rates.values()), np.full(8, 0.8), 1e-12)


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_target_0_prunes_nothing(name):
    weights = draw(RESNET8)
    assert set(counts(allocate(name, weights, 0.0), weights).values()) == {0}


def naive_scores(name, weight):
    w = weight.ravel().astype(float)
    if name == "global":
        return np.abs(w)
    if name == "l1norm":
        return np.abs(w) / np.abs(w).sum()
    if name == "l2norm":
        return np.abs(w) / np.sqrt((w**2).sum())
    return np.array([v**2 / (w[w**2 >= v**2] ** 2).sum() for v in w])


@pytest.mark.parametrize("name", BY_SCORE)
@pytest.mark.parametrize("target", [0.1, 0.5, 0.8])
def test_scores(name, target):
    """Every pruned weight scores less than every kept one; scores by their definition."""
    weights = draw({"a": (4, 5), "b": (3, 2, 3, 3), "c": (6, 6)}, seed=3)
    pruned = counts(allocate(name, weights, target), weights)
    scores = {layer: np.sort(naive_scores(name, w)) for layer, w in weights.items()}
    highest = max(scores[layer][n - 1] for layer, n in pruned.items() if n)
    lowest = min(scores[layer][n] for layer, n in pruned.items())
    assert highest < lowest


@pytest.mark.parametrize("name", BY_SCORE)
def test_equal_scores_are_pruned_in_the_order_of_the_layers(name):
    weights = {"a": np.array([1.0, -1.0, 1.0, 2.0]), "b": np.array([1.0, -1.0, 1.0, 2.0])}
    allocation = allocate(name, weights, 0.5)
    assert counts(allocation, weights) == ({"a": 2, "b": 2} if name == "lamp" else {"a": 3, "b": 1})


def test_norms_weigh_layers_against_each_other():
    weights = draw({"a": (5, 5), "b": (5, 5)})
    scaled = {"a": weights["a"], "b": 1e-3 * weights["b"]}
    for name in ("l1norm", "l2norm", "lamp"):
        assert allocate(name, scaled, 0.5).rates == allocate(name, weights, 0.5).rates
    with pytest.raises(InputError, match="would prune all 25 weights of 'b'"):
        allocate("global", scaled, 0.6)


def test_lamp_never_empties_a_layer():
    weights = {"a": np.full((1, 3), 1e-9), "b": draw({"b": (9, 9)})["b"], "c": np.ones((1, 1))}
    allocation = allocate("lamp", weights, 0.965)  # all but three
    assert all(rate < 1 for rate in allocation.rates.values())
    assert allocation.rates["a"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", BY_SCORE)
@given(seed=st.integers(0, 999), target=st.floats(0, 0.97), digits=st.sampled_from([0, 12]))
def test_keeping_the_largest_weight_of_every_layer(name, seed, target, digits):
    """No layer is emptied, the budget is met, and nothing changes where none would be."""
    weights = draw({"a": (6, 6), "b": (4, 3), "c": (1, 2), "d": (1,)}, seed)
    weights = {k: np.round(w * 10.0 ** (-i), digits) for i, (k, w) in enumerate(weights.items())}
    total = sum(w.size for w in weights.values())
    if round(target * total) > total - len(weights):
        return
    allocation = allocate(name, weights, target, keep_largest=True)
    pruned = counts(allocation, weights)
    assert sum(pruned.values()) == round(target * total)
    assert all(n < weights[layer].size for layer, n in pruned.items())
    try:
        plain = allocate(name, weights, target)
    except InputError:
        return
    assert allocation == plain


def test_keeping_the_largest_weight_prunes_the_next_weights():
    weights = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([0.1, 0.2])}
    with pytest.raises(InputError, match="all 2 weights of 'b'"):
        allocate("global", weights, 0.4)
    allocation = allocate("global", weights, 0.4, keep_largest=True)
    assert counts(allocation, weights) == {"a": 1, "b": 1}


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_layers_of_zeros(name):
    weights = {"a": np.zeros((3, 3)), "b": draw({"b": (3, 3)})["b"]}
    allocation = allocate(name, weights, 0.25)
    assert abs(sum(counts(allocation, weights).values()) - 4) <= 2


@pytest.mark.parametrize(
    ("name", "weights", "target", "message"),
    [
        ("best", draw(RESNET8), 0.5, "unknown allocation 'best'; expected one of uniform, erk"),
        ("erk", {}, 0.5, "no weights"),
        ("erk", {"a": np.ones((0, 3))}, 0.5, "'a' .* is empty"),
        ("erk", {"a": np.array([1.0, np.nan])}, 0.5, "holds NaN"),
        ("global", {"a": np.array([1.0, np.inf])}, 0.5, "holds NaN or infinity"),
        ("erk", draw(RESNET8), 1.0, r"in \[0, 1\)"),
        ("erk", draw(RESNET8), -0.1, r"in \[0, 1\)"),
        ("erk", draw(RESNET8), np.nan, r"in \[0, 1\)"),
        ("uniform", {"a": np.ones((3, 3)), "b": np.ones(1)}, 0.9, "all 1 weight of 'b'"),
        ("global", {"a": np.ones((3, 3)), "b": np.zeros((1, 2))}, 0.5, "all 2 weights of 'b'"),
    ],
)
def test_bad_input(name, weights, target, message):
    with pytest.raises(InputError, match=message) as caught:
        allocate(name, weights, target)
    assert "\n" not in str(caught.value)


def test_erk_of_whole_weights_takes_each_layers_floor_off_first():
    weights = {"a": np.ones((7, 5)), "b": np.ones((17, 13)), "c": np.ones((3, 3))}
    target = 0.4375  # 15.3, 96.7 and 3.9 weights
    found = allocate("erkfloor", weights, target)
    pruned = sum(rate * weights[name].size for name, rate in found.rates.items())
    assert pruned == pytest.approx(15 + 96 + 3)
    assert found.dense == allocate("erk", weights, target).dense == ("a", "c")
    whole = {"a": np.ones((8, 8)), "b": np.ones((16, 8))}
    assert allocate("erkfloor", whole, 0.75) == allocate("erk", whole, 0.75)
    assert allocate("erkfloor", weights, 0.0).rates == dict.fromkeys(weights, 0.0)
