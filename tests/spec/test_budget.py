"""Exact budgets: the pruned weights, their order, and the factor on the thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.spec import equations
from fcpts_ref.spec.budget import (
    budget,
    exact_masks,
    factor_between,
    mask_of_count,
    projection_factor,
    threshold_of_count,
)

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@st.composite
def layers(draw):
    """Weights of some layers, with ties and zeros where the digits are few; thresholds; a count."""
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    digits = draw(st.sampled_from([0, 1, 12]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shapes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=4))
    weights = {
        f"layer{i}": np.round(generator.standard_normal(shape), digits).astype(dtype)
        for i, shape in enumerate(shapes)
    }
    zero = draw(st.sampled_from([0.0, 0.5, 1.0]))  # the share of layers with threshold 0
    thresholds = {name: float(generator.uniform(0.1, 2)) for name in weights}
    thresholds = {k: 0.0 if generator.random() < zero else t for k, t in thresholds.items()}
    size = sum(w.size for w in weights.values())
    return weights, thresholds, draw(st.integers(0, size - len(weights)))


@pytest.mark.parametrize(
    ("target", "size", "count"),
    [(0.0, 7, 0), (0.9, 10, 9), (0.9, 464_154, 417_739), (0.5, 1, 0), (0.5, 3, 2), (0.99, 0, 0)],
)
def test_budget(target, size, count):
    assert budget(target, size) == count


def test_a_target_in_percent_is_refused_with_its_share():
    for percent, share in ((90, "0.9"), (87.5, "0.875")):
        with pytest.raises(InputError) as caught:
            budget(percent, 10)
        assert str(caught.value).endswith(f"such as {share}")


@pytest.mark.parametrize("target", [1.0, 1.5, -0.1, np.nan, np.inf])
def test_budget_out_of_range(target):
    with pytest.raises(InputError, match=r"expected a sparsity rate in \[0, 1\)"):
        budget(target, 10)


@DTYPES
def test_threshold_of_count(dtype):
    weight = np.array([[0.5, -0.25, 1.0], [0.0, -0.75, 0.25]], dtype)
    got = [threshold_of_count(weight, n) for n in range(7)]
    assert got == [0.0, 0.0, 0.25, 0.25, 0.5, 0.75, 1.0]


@given(st.integers(0, 10_000), st.sampled_from([np.float32, np.float64]), st.integers(0, 30))
def test_threshold_of_count_prunes_so_many(seed, dtype, count):
    """Convention 8 with Equation 1: without ties exactly ``count``, to the last bit."""
    weight = np.random.default_rng(seed).standard_normal((5, 6)).astype(dtype)
    mask = equations.mask(weight, threshold_of_count(weight, count))
    assert (mask == 0).sum() == count
    np.testing.assert_array_equal(mask, mask_of_count(weight, count))


def test_mask_of_count_breaks_ties_row_major():
    weight = np.array([[1.0, -0.5, 0.5], [0.5, 0.0, -0.5]])
    pruned = [np.flatnonzero(~mask_of_count(weight, n)).tolist() for n in range(7)]
    assert pruned == [[], [4], [1, 4], [1, 2, 4], [1, 2, 3, 4], [1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("function", [threshold_of_count, mask_of_count])
@pytest.mark.parametrize("count", [-1, 4])
def test_counts_out_of_range(function, count):
    with pytest.raises(InputError, match="the layer has 3 weights"):
        function(np.ones(3), count)


def test_counts_of_an_empty_layer():
    assert threshold_of_count(np.empty((0, 3)), 0) == 0
    assert mask_of_count(np.empty((0, 3)), 0).shape == (0, 3)


# One factor for all thresholds


@given(st.integers(0, 10_000), st.sampled_from([np.float32, np.float64]), st.data())
def test_projection_meets_the_count(seed, dtype, data):
    generator = np.random.default_rng(seed)
    weights = [generator.standard_normal(n).astype(dtype) for n in (1, 7, 20)]
    t = generator.uniform(0.1, 2, 3)
    count = data.draw(st.integers(0, 27))
    scaled = t * projection_factor(weights, t, count)
    for strict in (False, True):
        rates = [
            equations.sparsity_rate(w, s, strict=strict)
            for w, s in zip(weights, scaled, strict=True)
        ]
        assert sum(round(float(r) * w.size) for r, w in zip(rates, weights, strict=True)) == count


def test_projection_leaves_thresholds_of_0():
    weights = [np.array([0.1, 0.2, 0.3]), np.array([0.0, 5.0])]
    t = np.array([0.5, 0.0])
    assert projection_factor(weights, t, 1) == pytest.approx(0.1)  # the zero is pruned
    assert projection_factor(weights, t, 3) == pytest.approx(0.5)
    assert projection_factor(weights, t, 4) == pytest.approx(1.2)  # nothing finite above
    with pytest.raises(InputError, match="only 4 weights in layers with a threshold above 0"):
        projection_factor([*weights, np.ones(2)], np.array([0.5, 0.0, 0.0]), 5)


def test_projection_of_ties_and_of_nothing():
    weights, t = [np.array([1.0, -1.0, 1.0, 2.0])], np.array([0.5])
    assert projection_factor(weights, t, 0) == 1.0  # half of the smallest ratio, 2
    assert projection_factor(weights, t, 2) == 2.0  # equal ratios: all three are pruned
    assert projection_factor(weights, t, 3) == 3.0
    assert projection_factor(weights, np.array([0.0]), 0) == 1.0


@pytest.mark.parametrize("count", [0, 1, 2])
@DTYPES
def test_projection_of_more_zeros_than_are_to_go_keeps_the_thresholds(dtype, count):
    """A factor of 0 would set every threshold to 0, and no later factor could raise it."""
    weights = [np.array([0, 0, 0, 1.0, 2.0], dtype), np.array([0, 0.5], dtype)]
    t = np.array([0.5, 1.0])
    factor = projection_factor(weights, t, count)
    assert factor == 0.25  # half of the smallest ratio above 0
    pruned = [(np.abs(w) <= factor * s).sum() for w, s in zip(weights, t, strict=True)]
    assert pruned == [3, 1]
    assert projection_factor([np.zeros(4, dtype)], t[:1], count) == 1.0
    assert projection_factor([np.array([0, 0, 0, 1.0], dtype)], np.zeros(1), count) == 1.0


@pytest.mark.parametrize("count", [-1, 4, 5])
def test_projection_out_of_range(count):
    with pytest.raises(InputError):
        projection_factor([np.ones(4)], np.ones(1), count)


def test_factor_between_leaves_the_ratios():
    ratios = np.array([3.0, 1.0, 2.0])
    assert factor_between(ratios, 1) == 1.5
    assert ratios.tolist() == [3, 1, 2]


# Masks of all layers


@given(layers())
def test_exact_masks(problem):
    weights, thresholds, count = problem
    masks = exact_masks(weights, thresholds, count)
    assert {k: m.shape for k, m in masks.items()} == {k: w.shape for k, w in weights.items()}
    assert all(m.dtype == np.bool_ for m in masks.values())
    assert sum((~m).sum() for m in masks.values()) == count
    for name, mask in masks.items():
        magnitude = np.abs(weights[name])
        assert mask.flat[np.argmax(magnitude)], "the largest weight is kept"
        others = magnitude.copy()
        others.flat[np.argmax(magnitude)] = np.inf
        kept, pruned = others[mask], others[~mask]
        assert pruned.max(initial=0) <= kept.min(initial=np.inf), "the smallest are pruned"


@given(layers())
def test_exact_masks_are_the_masks_of_the_projected_thresholds(problem):
    weights, thresholds, count = problem
    t = np.array(list(thresholds.values()))
    assume((t > 0).all())
    scaled = t * projection_factor(list(weights.values()), t, count)
    want = {n: equations.mask(w, s) != 0 for (n, w), s in zip(weights.items(), scaled, strict=True)}
    assume(sum((~m).sum() for m in want.values()) == count)  # no tie at the cut
    assume(all(m.any() for m in want.values()))  # no layer emptied
    masks = exact_masks(weights, thresholds, count)
    for name in weights:
        np.testing.assert_array_equal(masks[name], want[name])


def test_exact_masks_order_of_ties():
    weights = {"a": np.array([[1.0, 1.0], [2.0, 9.0]]), "b": np.array([4.0, 2.0, 2.0, 9.0])}
    thresholds = {"a": 1.0, "b": 2.0}  # ratios 1 1 2 - | 2 1 1 -
    order = [("a", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2), ("b", 0)]
    for count in range(7):
        masks = exact_masks(weights, thresholds, count)
        gone = {(name, int(i)) for name in weights for i in np.flatnonzero(~masks[name])}
        assert gone == set(order[:count])


def test_exact_masks_with_thresholds_of_0_prune_by_magnitude():
    weights = {"a": np.array([5.0, 1.0, 3.0]), "b": np.array([2.0, 4.0])}
    thresholds = {"a": 0.0, "b": 0.0}
    gone = [
        [np.flatnonzero(~m).tolist() for m in exact_masks(weights, thresholds, n).values()]
        for n in range(4)
    ]
    assert gone == [[[], []], [[1], []], [[1], [0]], [[1, 2], [0]]]


def test_exact_masks_of_constant_weights_keep_the_first():
    masks = exact_masks({"a": np.full((2, 2), 0.5)}, {"a": 0.5}, 3)
    assert masks["a"].ravel().tolist() == [True, False, False, False]


def test_exact_masks_out_of_range():
    weights = {"a": np.ones(3), "b": np.ones(1)}
    assert exact_masks(weights, {"a": 1.0, "b": 1.0}, 2)["b"].all()
    with pytest.raises(InputError, match="would empty one of the 2 layers; use a lower target"):
        exact_masks(weights, {"a": 1.0, "b": 1.0}, 3)
