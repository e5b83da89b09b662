"""Engines that divide batches: the same numbers as for whole batches."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from comparing import assert_close, assert_same_bits, largest_error
from hypothesis import example, given
from hypothesis import strategies as st
from random_graphs import graphs, scaled_branch
from small_networks import classifier, make_images, make_network, small_plain, small_resnet

from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.micro_batches import MicroBatchEngine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.segments import split_at_batch_norms

ENGINES = ["numpy"] if numba.config.DISABLE_JIT else ["numpy", "numba"]
BATCH_NORM = {"channels": 2, "epsilon": 0.1}


def norm_first() -> Graph:
    """Batch norm of the images, which the end reads too; its last segment begins with two."""
    nodes = (
        Node("first", "batch_norm", ("images",), BATCH_NORM),
        Node("bend", "silu", ("first",)),
        Node("one", "batch_norm", ("bend",), BATCH_NORM),
        Node("other", "batch_norm", ("bend",), BATCH_NORM),
        Node("sum", "add", ("one", "other")),
        Node("with images", "add", ("sum", "images")),
        Node("pool", "global_average_pool", ("with images",)),
    )
    return classifier("norm first", (2, 5, 5), nodes)


GRAPHS = {
    "plain": small_plain(),
    "without batch norm": small_plain(batch_norm=False),
    "resnet": small_resnet("B"),
    "norm first": norm_first(),
    "scaled branch": scaled_branch(),
}


def run(engine, network, images, doutputs=None, training=True, **backward):
    """Outputs, buffers and gradients of one pass."""
    inputs = {network.graph.input: images}
    passed = engine.forward(
        network.parameters, network.buffers, inputs, training=training, keep=True
    )
    if doutputs is None:
        generator = np.random.default_rng(3)
        doutputs = {
            name: generator.standard_normal(array.shape).astype(array.dtype)
            for name, array in passed.outputs.items()
        }
    gradients = engine.backward(passed, doutputs, **backward)
    return dict(passed.outputs), dict(passed.buffers), gradients, doutputs


def compared(graph, kind, dtype, count, micro_batch, **options):
    network, images = make_network(graph, dtype=dtype), make_images(graph, count, dtype=dtype)
    want = run(make_engine(graph, kind), network, images, **options)
    divided = MicroBatchEngine(make_engine(graph, kind), micro_batch)
    got = run(divided, network, images, want[3], **options)
    return want, got


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("micro_batch", [1, 3, 6, 7, 100])
@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("name", GRAPHS)
def test_float64(name, kind, micro_batch, training):
    """Seven images: parts of one, a smaller last part, all images, more than there are."""
    want, got = compared(GRAPHS[name], kind, np.float64, 7, micro_batch, training=training)
    for wanted, gotten in zip(want[:3], got[:3], strict=True):
        assert wanted.keys() == gotten.keys()
        for key, array in wanted.items():
            assert_close(gotten[key], array, 1e-12, key)


@pytest.mark.parametrize("micro_batch", [1, 3, 100])
@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("name", GRAPHS)
def test_statistics_in_float32(name, kind, micro_batch):
    """Running statistics to 1e-6; outputs and gradients, which every layer rounds, to 1e-5."""
    want, got = compared(GRAPHS[name], kind, np.float32, 16, micro_batch)
    for wanted, gotten, tolerance in zip(want[:3], got[:3], (1e-5, 1e-6, 1e-5), strict=True):
        for key, array in wanted.items():
            assert gotten[key].dtype == np.float32
            assert_close(gotten[key], array, tolerance, key)


def test_division_adds_no_error():
    """Float32 gradients are as far from the float64 ones as those of whole batches."""
    graph = GRAPHS["resnet"]
    exact, _ = compared(graph, "numpy", np.float64, 16, 16)
    doutputs = {name: dy.astype(np.float32) for name, dy in exact[3].items()}
    network, images = make_network(graph, dtype=np.float32), make_images(graph, 16)
    images = images.astype(np.float32)
    errors = []
    for engine in (make_engine(graph, "numpy"), MicroBatchEngine(make_engine(graph, "numpy"), 3)):
        gradients = run(engine, network, images, doutputs)[2]
        errors.append(max(largest_error(g, exact[2][name]) for name, g in gradients.items()))
    assert errors[1] <= 3 * errors[0]


@pytest.mark.parametrize("kind", ENGINES)
def test_statistics_do_not_depend_on_the_division(kind):
    """Of the first batch norm, whose input is the same to the last bit."""
    graph = norm_first()
    network, images = make_network(graph, dtype=np.float32), make_images(graph, 9)
    images, found = images.astype(np.float32), []
    for micro_batch in (1, 2, 9):
        engine = MicroBatchEngine(make_engine(graph, kind), micro_batch)
        found.append(run(engine, network, images)[1])
    for name in ("first.running_mean", "first.running_var"):
        assert_same_bits(found[0][name], found[1][name], name)
        assert_same_bits(found[0][name], found[2][name], name)


@given(graphs(), st.booleans(), st.integers(1, 5), st.integers(0, 2**32 - 1))
@example(scaled_branch(), True, 2, 0)
def test_random_graphs(graph, training, micro_batch, seed):
    network, images = make_network(graph, seed=seed), make_images(graph, 4, seed=seed)
    want = run(make_engine(graph, "numpy"), network, images, training=training)
    for kind in ENGINES:
        engine = MicroBatchEngine(make_engine(graph, kind), micro_batch)
        got = run(engine, network, images, want[3], training=training)
        for wanted, gotten in zip(want[:3], got[:3], strict=True):
            for name, array in wanted.items():
                scale = max(np.abs(array).max(), 1.0)
                assert np.abs(gotten[name] - array).max() <= 1e-9 * scale, name


@given(graphs())
def test_segments_compute_every_node_once(graph):
    segments = split_at_batch_norms(graph)
    names = [node.name for part in segments if part.graph for node in part.graph.nodes]
    assert sorted(names) == sorted(node.name for node in graph.nodes)
    known = set(graph.inputs)
    for segment in segments:
        assert known.issuperset(segment.reads)
        assert all(node.inputs[0] in segment.reads for node in segment.batch_norms)
        known |= set(segment.writes)
    assert known.issuperset(graph.outputs.values())


def test_segments_of_a_residual_block():
    """The batch norm of a shortcut waits for the one that it is added to."""
    segments = split_at_batch_norms(GRAPHS["resnet"])
    norms = [[node.name for node in segment.batch_norms] for segment in segments]
    assert norms[:4] == [[], ["bn1"], ["layer1.0.bn1"], ["layer1.0.bn2"]]
    assert norms[5] == ["layer2.0.bn2", "layer2.0.downsample.1"]
    assert segments[2].reads == ("relu", "layer1.0.conv1")
    assert segments[2].writes == ("layer1.0.conv2",)


def test_kept_gradients_and_a_missing_output():
    graph = GRAPHS["resnet"].with_outputs({"inside": "layer1.0.relu2"})
    network, images = make_network(graph), make_images(graph, 5)
    parameters = {
        n: a * (a > 0) if n in graph.prunable else a for n, a in network.parameters.items()
    }
    network = type(network)(graph, parameters, network.buffers)
    doutputs = {"inside": np.ones((5, *graph.shapes["layer1.0.relu2"]))}
    want = run(make_engine(graph, "numpy"), network, images, doutputs, weight_gradient="kept")
    for kind in ENGINES:
        engine = MicroBatchEngine(make_engine(graph, kind), 2)
        got = run(engine, network, images, doutputs, weight_gradient="kept")
        for name, array in want[2].items():
            assert_close(got[2][name], array, 1e-12, name)
        assert not got[2]["fc.weight"].any()


@pytest.mark.parametrize("kind", ENGINES)
def test_evaluation_uses_a_cache_of_weights(kind):
    graph = GRAPHS["resnet"]
    network, images = make_network(graph), make_images(graph, 5)
    engine, cache = MicroBatchEngine(make_engine(graph, kind), 2), WeightCache()
    arguments = network.parameters, network.buffers, {graph.input: images}
    first = engine.forward(*arguments, training=False, cache=cache).outputs["logits"]
    again = engine.forward(*arguments, training=False, cache=cache).outputs["logits"]
    assert_same_bits(first, again)


def test_bad_input():
    graph = GRAPHS["plain"]
    network, images = make_network(graph), make_images(graph, 3)
    with pytest.raises(InputError, match="micro_batch"):
        MicroBatchEngine(make_engine(graph, "numpy"), 0)
    engine = MicroBatchEngine(make_engine(graph, "numpy"), 2)
    arguments = network.parameters, network.buffers, {graph.input: images}
    passed = engine.forward(*arguments, training=True)
    with pytest.raises(InputError, match="call forward with keep=True"):
        engine.backward(passed, {"logits": np.ones((3, 4))})
    passed = engine.forward(*arguments, training=True, keep=True)
    with pytest.raises(InputError, match="has no output 'other'"):
        engine.backward(passed, {"other": np.ones((3, 4))})
    engine.backward(passed, {"logits": np.ones((3, 4))})
    with pytest.raises(InputError, match="had its backward"):
        engine.backward(passed, {"logits": np.ones((3, 4))})


def test_one_value_per_channel_has_no_variance():
    nodes = (
        Node("norm", "batch_norm", ("images",), BATCH_NORM),
        Node("flat", "flatten", ("norm",)),
    )
    graph = classifier("one pixel", (2, 1, 1), nodes)
    network, images = make_network(graph), make_images(graph, 2)
    engine = MicroBatchEngine(make_engine(graph, "numpy"), 1)
    arguments = network.parameters, network.buffers
    engine.forward(*arguments, {"images": images}, training=True)
    with pytest.raises(InputError, match="at least 2 values per channel"):
        engine.forward(*arguments, {"images": images[:1]}, training=True)
