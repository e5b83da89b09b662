"""DSA and its baselines: budgets, removal, labels, resuming, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_networks import make_images, make_network, small_resnet

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import resume, run
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.channel_groups import find_groups
from fcpts_ref.graphs.channel_removal import live_units, mask_channels, remove_channels
from fcpts_ref.graphs.graph import macs
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.channels.gates import gated, mask_gradients, with_masks
from fcpts_ref.pruning.channels.space import importances, space_of
from fcpts_ref.pruning.channels.training import Batch, compute
from fcpts_ref.pruning.registry import make_method, make_problem, run_method, sparsify
from fcpts_ref.pruning.selection import Selection
from fcpts_ref.pruning.units import SINGLE_WEIGHTS, pruned_share, unit_costs

METHODS = ("dsa", "channels", "slimming", "ssl", "morphnet")
SHORT: dict[str, dict[str, Any]] = {
    name: {"epochs": 1, "batch_size": 8} | ({} if name == "channels" else {"search": 2})
    for name in METHODS
}
GRAPH = resnet(8, classes=5, widths=(6, 8, 12), shortcut="B", input_shape=(2, 8, 8))
NETWORK = make_network(GRAPH)
IMAGES = make_images(GRAPH, 24)
LABELS = np.random.default_rng(0).integers(0, 5, 24)


def pruned(method: str, target: float = 0.5, network: Network = NETWORK, **settings: Any) -> Any:
    given = {"engine": "numpy", "cost": "macs", "labels": LABELS, "images": IMAGES}
    return sparsify(network, target=target, method=method, **given | SHORT[method] | settings)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grouping", [True, False])
def test_channels_are_removed_on_the_budget(method: str, grouping: bool) -> None:
    settings = {} if method == "dsa" else {"grouping": grouping}
    result = pruned(method, **settings)
    share = pruned_share(GRAPH, result.network.parameters, "macs")
    assert 0.5 <= share < 0.54  # of so small a network one channel is up to 4 %
    keep = live_units(result.network)
    smaller = remove_channels(result.network, keep)
    assert sum(macs(smaller.graph).values()) == round((1 - share) * sum(macs(GRAPH).values()))
    want, got = result.network(IMAGES), smaller(IMAGES)
    assert np.abs(want - got).max() <= 1e-12 * np.abs(want).max()
    assert len(result.history["reconstruction_loss"]) == len(result.history["keep_ratios"])
    assert result.history["global_rate"][-1] == pytest.approx(share)


@pytest.mark.parametrize("method", METHODS)
def test_weights_can_be_the_budget(method: str) -> None:
    result = pruned(method, cost="weights")
    weights = [result.network.masks[name] for name in GRAPH.prunable]
    share = 1 - sum(m.sum() for m in weights) / sum(m.size for m in weights)
    assert 0.5 <= share < 0.55


@pytest.mark.parametrize("method", METHODS)
def test_without_labels(method: str) -> None:
    result = pruned(method, labels=None, objective="outputs")
    assert pruned_share(GRAPH, result.network.parameters, "macs") >= 0.5
    with pytest.raises(InputError, match="the images have no labels"):
        pruned(method, labels=None)


def test_from_scratch() -> None:
    network = initialise(GRAPH, np.random.default_rng(0), dtype=np.float64)
    result = pruned("dsa", network=network, search=4, epochs=8, learning_rate=0.05)
    losses = result.history["reconstruction_loss"]
    assert losses[-6:].mean() < losses[:6].mean()


def test_nothing_needs_labels_if_nothing_is_trained() -> None:
    result = pruned("channels", labels=None, epochs=0)
    assert not result.history
    assert pruned_share(GRAPH, result.network.parameters, "macs") >= 0.5


@pytest.mark.parametrize("method", METHODS)
def test_training_lowers_the_loss(method: str) -> None:
    result = (
        pruned(method, target=0.3, search=6, epochs=6)
        if method != "channels"
        else pruned(method, target=0.3, epochs=12)
    )
    losses = result.history["reconstruction_loss"]
    assert losses[-6:].mean() < losses[:6].mean()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(method: str) -> None:
    a, b = pruned(method), pruned(method)
    for name, array in a.network.parameters.items():
        assert np.array_equal(array, b.network.parameters[name]), name


@pytest.mark.parametrize(
    "method",
    [m if m in ("dsa", "channels") else pytest.param(m, marks=pytest.mark.slow) for m in METHODS],
)
def test_a_stopped_run_ends_with_the_same_bits(method: str, tmp_path: Path) -> None:
    """Stopped before, and after, the removal."""
    settings = SHORT[method] | {"epochs": 2}
    job = Job(
        method=method, target=0.4, cost="macs", settings=settings, calibration=32,
        engine="numpy", baselines=False,
    )  # fmt: skip
    run(job, tmp_path / "whole")
    per_epoch = 4
    for number, epochs in enumerate((1, 3) if method != "channels" else (1,)):
        folder = tmp_path / f"stopped{number}"
        seen: list[Any] = []

        def stop(report: Any, seen: list[Any] = seen, last: int = epochs * per_epoch + 1) -> None:
            seen.append(report)
            if len(seen) == last:
                raise KeyboardInterrupt

        stopped = run(job, folder, on_step=stop)
        assert not stopped.complete
        assert resume(folder).complete
        names = [tmp_path / name / "network.h5" for name in ("whole", folder.name)]
        assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.parametrize("gradient", ["signed", "magnitude", "score"])
def test_keep_ratios_learn_that_a_group_matters(gradient: str) -> None:
    """The loss only depends on one of two branches: the other one is pruned away."""
    net = GraphBuilder("branches", (2, 6, 6))
    a = net.add("convolution", net.images, name="a", out_channels=16, kernel=3)
    b = net.add("convolution", net.images, name="b", out_channels=16, kernel=3)
    a, b = (net.add("relu", net.add("batch_norm", x)) for x in (a, b))
    a, b = (net.add("global_average_pool", x) for x in (a, b))
    a = net.add("linear", a, name="reads_a", out_features=3)
    b = net.add("linear", b, name="reads_b", out_features=3)
    graph = net.graph(net.add("add", a, b))
    network = make_network(graph)
    zero = {name: np.zeros_like(network.parameters[name]) for name in ("reads_b.weight",)}
    network = network.with_parameters({**network.parameters, **zero})
    images = make_images(graph, 64)
    labels = network(images).argmax(axis=1)
    result = sparsify(
        network, images, target=0.5, method="dsa", engine="numpy", cost="macs", labels=labels,
        search=24, epochs=0, batch_size=8, weight_decay=0.0, learning_rate=1e-6, interval=1,
        ratio_rate=0.05, gradient=gradient,
    )  # fmt: skip
    ratios = result.history["keep_ratios"][-20:].mean(axis=1)
    assert np.abs(ratios - 0.5).max() < 0.1  # they stay near the budget
    kept = {name: mask.mean() for name, mask in live_units(result.network).items()}
    assert kept["a"] > kept["b"] + 0.25


def test_gradients_of_masks() -> None:
    """Against central differences of the loss, every copy of the mask at once."""
    problem = make_problem(NETWORK, IMAGES, 0.5, engine="numpy", cost="macs", labels=LABELS)
    space = space_of(problem, "DSA")
    gates = [gated(space, group) for group in space.groups.groups]
    masks = [np.random.default_rng(1).random(g.units) for g in space.groups.groups]
    batch = Batch(IMAGES[:8], LABELS[:8], None)

    def loss(values: list[Any]) -> Any:
        parameters = with_masks(NETWORK.parameters, gates, values)
        return compute(problem.student, GRAPH, parameters, NETWORK.buffers, batch)

    got = mask_gradients(NETWORK.parameters, gates, loss(masks).gradients)
    h = 1e-6
    for k, unit in ((0, 0), (1, 2), (3, 5), (5, 1)):
        ends = []
        for sign in (1, -1):
            moved = [mask.copy() for mask in masks]
            moved[k][unit] += sign * h
            ends.append(loss(moved).loss)
        assert got[k][unit] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-7)


def test_a_mask_of_zero_removes_the_channel() -> None:
    problem = make_problem(NETWORK, IMAGES, 0.5, engine="numpy", cost="macs")
    space = space_of(problem, "DSA")
    gates = [gated(space, group) for group in space.groups.groups]
    generator = np.random.default_rng(0)
    masks = [(generator.random(g.units) < 0.6) | (np.arange(g.units) == 0)
             for g in space.groups.groups]  # fmt: skip
    masked = NETWORK.with_parameters(with_masks(NETWORK.parameters, gates, masks))
    removed = remove_channels(NETWORK, space.by_name(masks), space.groups)
    want = masked(IMAGES)
    assert np.abs(removed(IMAGES) - want).max() <= 1e-12 * np.abs(want).max()


def test_importances_of_layers_without_batch_norm() -> None:
    graph = ARCHITECTURES["mobilenet_v2_cifar"].graph(width=0.25)
    problem = make_problem(make_network(graph), make_images(graph, 1), 0.5, engine="numpy")
    space = space_of(problem, "DSA")
    group = space.groups.groups[0]
    scale = importances(space.graph, problem.network.parameters, group, "scale")
    filters = importances(space.graph, problem.network.parameters, group, "filter")
    assert len(scale) == len(filters) == len(group.layers)
    assert not np.allclose(scale[0], filters[0])


@pytest.mark.parametrize("name", ["mobilenet_v2_cifar", "regnet_x_200mf"])
def test_other_architectures(name: str) -> None:
    shape = (3, 32, 32)
    width = {"width": 0.25} if name.startswith("mobile") else {}
    graph = ARCHITECTURES[name].graph(input_shape=shape, classes=5, **width)
    network = make_network(graph, dtype=np.float32)
    result = sparsify(
        network, make_images(graph, 8, dtype=np.float32), target=0.5, method="dsa",
        engine="numpy", cost="macs", labels=LABELS[:8], search=1, epochs=1, batch_size=4,
        interval=1,
    )  # fmt: skip
    assert 0.5 <= pruned_share(graph, result.network.parameters, "macs") < 0.52


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 0.0}, "needs a share above 0"),
        ({"target": 0.999}, "use a lower target"),
        ({"granularity": "filter"}, "leave granularity at its default"),
        ({"keep_dense": ("conv1", "*.conv2")}, "every group is made or read by a layer"),
        ({"rates": {"conv1": 0.5}}, "cannot fix the rate of conv1: it follows from"),
        ({"max_rates": {"*": 0.3}}, "use a lower target"),
        ({"labels": LABELS[:3]}, r"labels have shape \(3,\)"),
        ({"labels": LABELS + 1}, "labels run from 1 to 5"),
        ({"labels": LABELS * 1.0}, "dtype float64; expected integers"),
        ({"epochs": -1}, "expected search >= 0, epochs >= 0"),
        ({"learning_rate": 0.0}, "expected finite numbers"),
        ({"objective": "both"}, "objective is 'both'; expected one of labels, outputs"),
        ({"augmentation": "turn"}, "augmentation is 'turn'"),
        ({"learning_rate": 1e30, "epochs": 4}, "use a lower learning rate|NaN or infinity"),
    ],
)
def test_bad_input(method: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pruned(method, **settings)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("dsa", {"validation": 1.0}, "validation is 1.0"),
        ("dsa", {"ratio_rate": 0.0}, "expected finite numbers above 0"),
        ("dsa", {"interval": 0}, "interval 0"),
        ("dsa", {"importance": "taste"}, "importance is 'taste'"),
        ("dsa", {"gradient": "none"}, "gradient is 'none'"),
        ("slimming", {"penalty": -1.0}, "penalty is -1.0"),
        ("ssl", {"growth": 0.5}, "growth is 0.5"),
        ("morphnet", {"threshold": 1.0}, "threshold is 1.0"),
    ],
)
def test_bad_settings(method: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_method(method, **settings)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cost", ["macs", "weights"])
def test_a_dense_layer_keeps_what_it_makes_and_reads(method: str, cost: str) -> None:
    """layer3.0.conv2 makes the last group and reads an inner one; the classifier reads the last."""
    result = pruned(method, target=0.3, cost=cost, keep_dense=("layer3.0.conv2",))
    masks = result.network.masks
    assert masks["layer3.0.conv2.weight"].all()
    assert result.left_out == ("layer3.0.conv2.weight",)
    assert masks["fc.weight"].all()  # it reads a group that is kept whole
    assert any(not mask.all() for mask in masks.values())
    cost_of = unit_costs(GRAPH, SINGLE_WEIGHTS, cost)
    counted = [name for name in GRAPH.prunable if name != "layer3.0.conv2.weight"]
    lost = sum(cost_of[n] * (masks[n].size - masks[n].sum()) for n in counted)
    share = lost / sum(cost_of[n] * masks[n].size for n in counted)
    assert 0.3 <= share < 0.35
    assert result.history["global_rate"][-1] == pytest.approx(share)


@pytest.mark.parametrize("method", METHODS)
def test_a_capped_layer_keeps_its_share(method: str) -> None:
    free = pruned(method).rates
    layer = max(free, key=lambda name: free[name])
    assert free[layer] > 0.4
    result = pruned(method, max_rates={layer.removesuffix(".weight"): 0.4})
    assert result.rates[layer] <= 0.4
    assert pruned_share(GRAPH, result.network.parameters, "macs") >= 0.5


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_rate_reached_is_that_of_whole_channels(epochs: int) -> None:
    result = pruned("dsa", target=0.3, search=1, epochs=epochs)
    share = pruned_share(GRAPH, result.network.parameters, "macs")
    assert result.rate_before_projection == pytest.approx(share)


def test_a_rate_of_0_keeps_a_layer_whole_and_counted() -> None:
    result = pruned("channels", target=0.3, rates={"layer3.0.conv2": 0.0})
    assert result.network.masks["layer3.0.conv2.weight"].all()
    assert pruned_share(GRAPH, result.network.parameters, "macs") >= 0.3


@given(
    st.sampled_from(["A", "B"]),
    st.lists(st.sampled_from(GRAPH.prunable), max_size=2, unique=True),
    st.dictionaries(st.sampled_from(GRAPH.prunable), st.floats(0.05, 0.9), max_size=3),
)
@settings(deadline=None, max_examples=30)
def test_rules_of_layers_hold_at_the_lowest_ratios(
    shortcut: Any, dense: list[str], caps: dict[str, float]
) -> None:
    """The fewest units that the groups may keep respect every rule."""
    graph = resnet(8, classes=5, widths=(6, 8, 12), shortcut=shortcut, input_shape=(2, 8, 8))
    names = {n.removesuffix(".weight") for n in graph.prunable}
    keep = tuple(n for n in (d.removesuffix(".weight") for d in dense) if n in names)
    most = {n.removesuffix(".weight"): rate for n, rate in caps.items()}
    most = {n: rate for n, rate in most.items() if n in names}
    network = make_network(graph)
    selection = Selection(keep_dense=keep, max_rates=most)
    problem = make_problem(
        network, make_images(graph, 1), 1e-9, engine="numpy", selection=selection
    )
    try:
        space = space_of(problem, "DSA")
    except InputError:  # nothing is left to remove
        assume(False)
    keeps = {
        group.name: np.arange(group.units) < least
        for group, least in zip(space.groups.groups, space.least, strict=True)
    }
    masks = mask_channels(network, keeps, space.groups).masks
    for name in keep:
        assert masks[f"{name}.weight"].all()
    for name, rate in most.items():
        mask = masks[f"{name}.weight"]
        assert (~mask).sum() <= round(rate * mask.size)


def test_too_few_images() -> None:
    with pytest.raises(InputError, match="2 of 3 images would be held out"):
        pruned("dsa", images=IMAGES[:3], labels=LABELS[:3])


def test_a_rate_of_one() -> None:
    with pytest.raises(InputError, match=r"in \[0, 1\)"):
        pruned("dsa", target=1.0)


def test_a_network_without_groups() -> None:
    graph = ARCHITECTURES["deit_tiny"].graph()
    network = make_network(graph, dtype=np.float32)
    problem = make_problem(
        network, make_images(graph, 2, dtype=np.float32), 0.5, engine="numpy", cost="macs"
    )
    with pytest.raises(InputError, match=r"can remove no channel .* because transpose tokens"):
        run_method(make_method("dsa"), problem, np.random.default_rng(0))


def test_every_group_keeps_a_channel_at_the_tightest_budget() -> None:
    network = make_network(small_resnet("B"))
    groups = find_groups(network.graph)
    images = make_images(network.graph, 4)
    for method in METHODS:
        settings = {"labels": None, "epochs": 0, "objective": "outputs"}
        settings |= {} if method == "channels" else {"search": 0}
        result = sparsify(
            network, images, target=0.7, method=method, engine="numpy", cost="macs", **settings
        )  # fmt: skip
        masks = result.network.masks
        for group in groups.groups:
            assert all(masks[f"{layer}.weight"].any() for layer in group.layers)
