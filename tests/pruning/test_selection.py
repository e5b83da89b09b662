"""Layers that stay dense, are capped or have a fixed rate, in every method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import make_images, make_network, small_resnet

from fcpts_ref.errors import InputError
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.pruning.selection import Selection
from fcpts_ref.spec.allocation import ALLOCATIONS
from fcpts_ref.spec.bounds import bounded_thresholds, clip_thresholds, shares_within
from fcpts_ref.spec.budget import budget, exact_masks

METHODS: dict[str, dict[str, Any]] = {
    "one-shot": {"method": "one-shot"},
    "POT": {"method": "pot", "steps": 2},
    "paper": {"profile": "paper", "epochs": 2},
    "released": {"profile": "released", "epochs": 2, "choices": {"batch_size": 8}},
    "extended": {"profile": "extended", "epochs": 2, "augmentation": "none"},
    "fixed rates": {"profile": "paper", "epochs": 2, "learn_rates": False},
}


def run(target: float = 0.7, method: str = "one-shot", **selection: Any) -> Any:
    network = make_network(small_resnet())
    images = make_images(network.graph, 8)
    return network, sparsify(
        network, images, target=target, engine="numpy", **METHODS[method], **selection
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_meets_the_budget_within_the_bounds(method: str) -> None:
    network, result = run(
        0.7,
        method,
        keep_dense=("conv1", "linear"),
        max_rates={"layer1.*": 0.4},
        rates={"layer3.0.conv2": 0.9},
    )
    sizes = network.sizes
    masks = result.network.masks
    gone = {name: int(mask.size - np.count_nonzero(mask)) for name, mask in masks.items()}
    assert masks.keys() == sizes.keys()
    assert gone["conv1.weight"] == gone["linear.weight"] == 0
    assert set(result.left_out) == {"conv1.weight", "linear.weight"}
    for name in ("layer1.0.conv1.weight", "layer1.0.conv2.weight"):
        assert gone[name] <= round(0.4 * sizes[name])
    assert gone["layer3.0.conv2.weight"] == round(0.9 * sizes["layer3.0.conv2.weight"])
    counted = sum(sizes.values()) - sizes["conv1.weight"] - sizes["linear.weight"]
    assert sum(gone.values()) == budget(0.7, counted)
    assert result.rates["conv1.weight"] == 0


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_every_allocation_respects_bounds(allocation: str) -> None:
    network, result = run(allocation=allocation, max_rates={"layer3.*": 0.6}, rates={"conv1": 0.5})
    assert result.initial_rates["conv1.weight"] == pytest.approx(0.5, abs=0.02)
    assert result.rates["conv1.weight"] == pytest.approx(0.5, abs=0.02)
    assert max(result.rates["layer3.0.conv1.weight"], result.rates["layer3.0.conv2.weight"]) <= 0.6
    gone = sum(np.count_nonzero(~mask) for mask in result.network.masks.values())
    assert gone == budget(0.7, sum(network.sizes.values()))


def test_nothing_selected_changes_nothing() -> None:
    for method in METHODS:
        (_, plain), (_, free) = run(method=method), run(method=method, keep_dense=())
        for name, mask in plain.network.masks.items():
            assert np.array_equal(mask, free.network.masks[name])


def test_later_patterns_count() -> None:
    sizes = {"a.weight": 100, "b.weight": 10}
    bounds = Selection(max_rates={"*": 0.5, "a": 0.2}).bounds(sizes)
    assert bounds == {"a.weight": (0, 20), "b.weight": (0, 5)}
    bounds = Selection(max_rates={"*": 0.2, "a": 0.5}).bounds(sizes)
    assert bounds == {"a.weight": (0, 50), "b.weight": (0, 2)}
    bounds = Selection(rates={"*": 0.2, "a": 0.5}).bounds(sizes)
    assert bounds == {"a.weight": (50, 50), "b.weight": (2, 2)}
    bounds = Selection(max_rates={"a": 0.5}, rates={"a": 0.8}).bounds(sizes)
    assert bounds["a.weight"] == (50, 50)  # a cap holds for a fixed rate
    assert Selection(("a",), {}, {"a": 0.5}).bounds(sizes) == {"b.weight": (0, 9)}
    assert Selection(rates={"b": 0.99}).bounds(sizes)["b.weight"] == (9, 9)  # one stays


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"keep_dense": ("conv9",)}, "no layer is called 'conv9'"),
        ({"max_rates": {"x*": 0.5}}, r"no layer is called 'x\*'"),
        ({"rates": {"conv1": 1.0}}, r"rates of 'conv1' is 1.0; expected a sparsity rate"),
        ({"max_rates": {"conv1": float("nan")}}, r"expected a sparsity rate in \[0, 1\)"),
        ({"keep_dense": ("*",)}, "every layer is kept dense"),
        ({"max_rates": {"*": 0.3}}, "use another target, or other rates and caps"),
        ({"rates": {"*": 0.9}}, "use another target, or other rates and caps"),
    ],
)
def test_refused(selection: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run(**selection)
    assert "\n" not in str(caught.value)


@st.composite
def layers(draw: Any) -> Any:
    sizes = draw(st.lists(st.integers(2, 30), min_size=1, max_size=5))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    weights = {str(i): generator.standard_normal(n) for i, n in enumerate(sizes)}
    bounds = {}
    for name, w in weights.items():
        low = draw(st.integers(0, w.size - 1))
        bounds[name] = (low, draw(st.integers(low, w.size - 1)))
    lowest, highest = (sum(b[i] for b in bounds.values()) for i in (0, 1))
    return weights, bounds, draw(st.integers(lowest, highest))


@given(layers())
def test_exact_masks_within_bounds(case: Any) -> None:
    weights, bounds, count = case
    masks = exact_masks(weights, dict.fromkeys(weights, 1.0), count, bounds)
    gone = {name: int(np.count_nonzero(~mask)) for name, mask in masks.items()}
    assert sum(gone.values()) == count
    assert all(low <= gone[name] <= high for name, (low, high) in bounds.items())
    for name, mask in masks.items():  # the smallest of each layer
        if gone[name] > 0:
            assert np.abs(weights[name][~mask]).max() <= np.abs(weights[name][mask]).min()


@given(layers())
def test_bounded_thresholds_meet_the_budget(case: Any) -> None:
    weights, bounds, count = case
    t = bounded_thresholds(weights, np.ones(len(weights)), count, bounds)
    gone = [int(np.count_nonzero(np.abs(w) <= x)) for w, x in zip(weights.values(), t, strict=True)]
    assert sum(gone) == count
    for n, (low, high) in zip(gone, bounds.values(), strict=True):
        assert low <= n <= high
    clipped = clip_thresholds(weights, t, bounds)
    assert np.array_equal(clipped, t)


@given(layers())
def test_shares_are_within_bounds_and_add_up(case: Any) -> None:
    weights, bounds, count = case

    def uniform(names: tuple[str, ...], n: int) -> dict[str, float]:
        total = sum(weights[name].size for name in names)
        return {name: n * weights[name].size / total for name in names}

    shares = shares_within(uniform, bounds, count)
    assert abs(sum(shares.values()) - count) <= 1e-9 * max(count, 1) + 0.5
    for name, (low, high) in bounds.items():
        assert low - 1e-9 <= shares[name] <= high + 1e-9
