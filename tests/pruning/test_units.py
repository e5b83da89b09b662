"""Units of pruning and their cost, in every method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import macs
from fcpts_ref.pruning.patterns import Pattern
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.pruning.units import UNITS, make_unit, pruned_share, unit_costs
from fcpts_ref.spec.budget import exact_masks
from fcpts_ref.spec.patterns import weight_matrix

METHODS: dict[str, dict[str, Any]] = {
    "one-shot": {"method": "one-shot"},
    "POT": {"method": "pot", "steps": 2},
    "paper": {"profile": "paper", "epochs": 2},
    "released": {"profile": "released", "epochs": 2},
    "extended": {"profile": "extended", "epochs": 2, "augmentation": "none"},
    "dense gradients": {
        "profile": "extended",
        "epochs": 2,
        "augmentation": "none",
        "choices": {"pruned_weight_gradient": "dense", "pruned_weight_pull": 1e-3},
    },
    "fixed rates": {"profile": "paper", "epochs": 2, "learn_rates": False},
}
NETWORK = make_network(small_resnet())
IMAGES = make_images(NETWORK.graph, 8)


def run(target: float = 0.5, method: str = "one-shot", **more: Any) -> Any:
    given = {**METHODS[method], **more}
    return sparsify(NETWORK, IMAGES, target=target, **{"engine": "numpy", **given})


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("cost", ["weights", "macs"])
@pytest.mark.parametrize("unit", [*UNITS, "2x3", "3x2-rows"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_reaches_the_cost_by_whole_units(
    method: str, unit: str, cost: str, engine: str
) -> None:
    result = run(method=method, granularity=unit, cost=cost, engine=engine)
    part = make_unit(unit)
    costs = unit_costs(NETWORK.graph, part, cost)
    saved, total = 0.0, 0.0
    for name, mask in result.network.masks.items():
        kept, size = part.total(mask.astype(float)), part.total(np.ones(mask.shape))
        assert ((kept == 0) | (kept == size)).all()  # units are whole
        assert mask.any()  # no layer is emptied
        saved += np.count_nonzero(kept == 0) * costs[name]
        total += costs[name] * part.count(mask.shape)
    aim = 0.5 * total
    assert aim - 1e-9 <= saved if (unit, cost) != ("weight", "weights") else saved == round(aim)
    assert saved < aim + max(costs.values()) + 1e-9


def test_single_weights_by_weights_is_the_default() -> None:
    for method in METHODS:
        plain, named = run(method=method), run(method=method, granularity="weight", cost="weights")
        for name, mask in plain.network.masks.items():
            assert np.array_equal(mask, named.network.masks[name])


def test_filters_with_bounds() -> None:
    result = run(granularity="filter", keep_dense=("linear",), max_rates={"layer3.*": 0.34})
    masks = result.network.masks
    assert masks["linear.weight"].all()
    for name in ("layer3.0.conv1.weight", "layer3.0.conv2.weight"):
        assert np.count_nonzero(~masks[name].any(axis=(1, 2, 3))) <= 2  # of six


PATTERNED = make_network(resnet(8, classes=5, widths=(4, 8, 8), input_shape=(3, 8, 8)))


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("cost", ["weights", "macs"])
@pytest.mark.parametrize("granularity", ["2:4", "1:4", "3:4", "1:2-rows"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_n_of_m(method: str, granularity: str, cost: str, engine: str) -> None:
    unit = make_unit(granularity)
    assert isinstance(unit, Pattern)
    result = sparsify(
        PATTERNED,
        make_images(PATTERNED.graph, 8),
        target=unit.rate,
        **{"engine": engine, **METHODS[method], "granularity": granularity, "cost": cost},
    )
    layout, fits = unit.layout, {"channels": 3, "rows": 27}[unit.layout] % unit.M == 0
    assert result.left_out == (() if fits else ("conv1.weight",))
    for name, mask in result.network.masks.items():
        if name in result.left_out:
            assert mask.all()
            continue
        groups = weight_matrix(mask, layout).reshape(-1, unit.M)
        assert (groups.sum(axis=1) == unit.N).all()
        assert result.rates[name] == pytest.approx(unit.rate)
        assert np.array_equal(
            result.network.parameters[name] * mask, result.network.parameters[name]
        )
    assert result.rate_before_projection == pytest.approx(unit.rate)


def test_n_of_m_with_weights_of_zero() -> None:
    """A group that holds more zeros than it loses keeps some of them."""
    name = "layer1.0.conv1.weight"
    weight = PATTERNED.parameters[name].copy()
    weight[:, 1:] = 0
    network = PATTERNED.with_parameters({**PATTERNED.parameters, name: weight})
    for method in METHODS:
        given = {"engine": "numpy", **METHODS[method], "granularity": "2:4"}
        masks = sparsify(network, make_images(network.graph, 8), target=0.5, **given).network.masks
        assert (weight_matrix(masks[name]).reshape(-1, 4).sum(axis=1) == 2).all()


def test_n_of_m_where_layers_stay_dense() -> None:
    given = {"target": 0.5, "method": "one-shot", "engine": "numpy", "granularity": "2:4"}
    images = make_images(PATTERNED.graph, 8)
    result = sparsify(PATTERNED, images, keep_dense=("linear", "layer1.*"), **given)
    assert {"linear.weight", "conv1.weight"} <= set(result.left_out)
    assert result.network.masks["linear.weight"].all()
    fixed = sparsify(PATTERNED, images, rates={"layer2.*": 0.5}, max_rates={"*": 0.5}, **given)
    assert fixed.rates["linear.weight"] == 0.5


def test_thirds_may_be_rounded() -> None:
    network = make_network(resnet(8, classes=5, widths=(3, 6, 6), input_shape=(3, 8, 8)))
    given = {"method": "one-shot", "engine": "numpy", "granularity": "2:3"}
    result = sparsify(network, make_images(network.graph, 4), target=0.333, **given)
    assert result.rates["linear.weight"] == pytest.approx(1 / 3)
    assert result.left_out == ()


def test_blocks_with_bounds() -> None:
    result = run(granularity="2x3", keep_dense=("linear",), rates={"layer3.0.conv2": 0.5})
    assert result.network.masks["linear.weight"].all()
    assert result.rates["layer3.0.conv2.weight"] == 0.5


def test_magnitudes_are_root_mean_squares() -> None:
    weight = np.array([[3.0, -4.0], [0.0, 0.0]])
    assert np.allclose(UNITS["filter"].magnitudes(weight), [np.sqrt(12.5), 0])
    assert UNITS["filter"].magnitudes(weight.astype(np.float32)).dtype == np.float32
    assert UNITS["weight"].magnitudes(weight) is weight


@pytest.mark.parametrize("unit", [*UNITS, "1:2", "1:7-rows", "2x3", "4x7-rows", "1x1", "9x9"])
@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (5, 7), (1, 1)])
def test_units_partition_the_weights(unit: str, shape: tuple[int, ...]) -> None:
    part, generator = make_unit(unit), np.random.default_rng(0)
    if not part.fits(shape):
        return
    weight = generator.standard_normal(shape)
    kept = generator.random(part.magnitudes(weight).shape) < 0.5
    mask = part.expand(kept, shape)
    assert kept.size == part.count(shape)
    assert mask.shape == shape
    assert mask.dtype == np.bool_
    ones = part.total(np.ones(shape))
    assert (ones == ones.flat[0]).all()
    assert ones.sum() == weight.size
    assert np.allclose(part.total(weight * mask).sum(), (weight * mask).sum())


def test_costs() -> None:
    graph = small_plain()
    weights = unit_costs(graph, UNITS["filter"], "weights")
    assert weights["conv1.weight"] == 2 * 9
    assert unit_costs(graph, UNITS["weight"], "macs")["conv1.weight"] == 36  # 6 x 6 outputs
    network = make_network(graph)
    assert pruned_share(graph, network.parameters, "macs") == 0
    gone = dict(network.parameters) | {"conv1.weight": np.zeros((3, 2, 3, 3))}
    counts = macs(graph)
    want = counts["conv1.weight"] / sum(counts.values())
    assert pruned_share(graph, gone, "macs") == pytest.approx(want)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"granularity": "channel"}, "granularity is 'channel'; expected one of weight, filter"),
        ({"cost": "flops"}, "cost is 'flops'; expected 'weights' or 'macs'"),
        ({"target": 1.0, "cost": "macs"}, r"expected a sparsity rate in \[0, 1\)"),
        ({"target": 0.999, "cost": "macs", "granularity": "filter"}, "without emptying a layer"),
        ({"target": 0.99, "granularity": "filter"}, "use a lower target"),
        ({"granularity": "2:2"}, "keeps 2 of every 2 weights; expected N:M with N < M"),
        ({"granularity": "0x4"}, "a pattern such as 2:4, or blocks such as 4x4"),
        ({"granularity": "2:4-columns"}, "a pattern such as 2:4, or blocks such as 4x4"),
        ({"granularity": "1" * 50 + ":2"}, "a pattern such as 2:4"),
        ({"granularity": "1:2", "target": 0.9}, "1:2 prunes 0.5 of every layer: use that target"),
        ({"granularity": "1:2", "rates": {"linear": 0.6}}, "its rate or cap is another"),
        ({"granularity": "1:2", "max_rates": {"*": 0.4}}, "its rate or cap is another"),
        ({"granularity": "4:8"}, "granularity 4:8 fits no layer"),
        ({"target": 0.999, "granularity": "2x2"}, "use a lower target"),
        ({"target": 0.9, "cost": "macs", "max_rates": {"*": 0.5}}, "use a lower target"),
    ],
)
def test_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run(**{"target": 0.5, **more})
    assert "\n" not in str(caught.value)


@given(st.integers(0, 2**16), st.floats(0, 0.8))
def test_the_fewest_weights_reach_a_cost(seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    weights = {name: generator.standard_normal(6) for name in "abc"}
    costs = dict(zip("abc", generator.uniform(1, 5, 3).tolist(), strict=True))
    budget = share * 5 * sum(costs.values())
    masks = exact_masks(weights, dict.fromkeys("abc", 1.0), budget, None, costs)
    gone = {name: np.abs(weights[name][~mask]) for name, mask in masks.items()}
    saved = sum(costs[name] * len(values) for name, values in gone.items())
    assert saved >= budget * (1 - 1e-9)
    if saved:  # without the largest of those that went, the cost is missed
        last = max((values.max(), name) for name, values in gone.items() if len(values))[1]
        assert saved - costs[last] < budget
