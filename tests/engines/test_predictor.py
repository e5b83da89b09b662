"""The predictor: equal to the engine in evaluation, whatever the batch and the threads."""

from __future__ import annotations

import gc
import math
import threading

import numba
import numpy as np
import pytest
from comparing import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import graphs
from small_networks import (
    classifier,
    every_operation,
    make_images,
    make_network,
    small_plain,
    small_resnet,
)

import fcpts_ref
from fcpts_ref import memory
from fcpts_ref.architectures.mobilenet_v2 import mobilenet_v2
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.architectures.vision_transformer import vision_transformer
from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.numba.jit.capture import capture
from fcpts_ref.engines.numba.pointwise.activation import clamp_planes
from fcpts_ref.engines.numba.tuning import PREDICTOR_GROUPS, ROW_MIN_IMAGES
from fcpts_ref.engines.predictor import Predictor, load_predictor
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.network import Network
from fcpts_ref.storage.network_files import write_network

if numba.config.DISABLE_JIT:
    pytest.skip("the predictor needs the JIT", allow_module_level=True)

TOLERANCES = {np.float32: 1e-5, np.float64: 1e-12}
MOST_THREADS = numba.config.NUMBA_NUM_THREADS
ARCHITECTURES = {
    "resnet": lambda: small_resnet("A"),
    "projections": lambda: small_resnet("B"),
    "plain": small_plain,
    "plain with biases": lambda: small_plain(batch_norm=False),
    "cifar": lambda: resnet(8),
    "depthwise": lambda: mobilenet_v2(classes=5, input_shape=(3, 32, 32)),
}


def pruned(network: Network, rate: float, seed: int = 0) -> Network:
    """The network without a share of its prunable weights, all of them for 1; masks if any."""
    if not rate:
        return network
    generator, parameters, masks = np.random.default_rng(seed), dict(network.parameters), {}
    for name in network.graph.prunable:
        masks[name] = generator.random(parameters[name].shape) >= rate
        parameters[name] = parameters[name] * masks[name]
    return Network(network.graph, parameters, network.buffers, masks)


def evaluate(network: Network, images, threads=None):
    """The engine's logits in evaluation."""
    engine = make_engine(network.graph, "numba", threads=threads)
    passed = engine.forward(
        network.parameters,
        network.buffers,
        {network.graph.input: images},
        training=False,
        sparse=bool(network.masks),
        cache=WeightCache(),
    )
    return passed.outputs[network.graph.output]


def one_by_one(network: Network, images):
    return np.concatenate([evaluate(network, image[np.newaxis]) for image in images])


def assert_near(got, want, dtype):
    scale = np.abs(want).max()
    assert got.dtype == dtype
    assert np.abs(got - want).max() <= TOLERANCES[dtype] * max(scale, 1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_equals_the_engine(name, rate, dtype):
    """The bits of the engine on single images, and nearly those of any batch of them."""
    graph = ARCHITECTURES[name]()
    network = pruned(make_network(graph, dtype=dtype), rate)
    images = make_images(graph, 9, dtype=dtype)
    predictor = Predictor(network)
    assert predictor.compiled
    got = predictor.logits(images)
    assert_same_bits(got, one_by_one(network, images))
    assert_near(got, evaluate(network, images), dtype)


@pytest.mark.skipif(MOST_THREADS < 2, reason="one core")
def test_any_batch_on_any_threads_has_the_same_bits():
    graph = small_resnet()
    network = pruned(make_network(graph, dtype=np.float32), 0.7)
    images = make_images(graph, 17, dtype=np.float32)
    predictors = [Predictor(network, threads=threads) for threads in range(1, MOST_THREADS + 1)]
    want = predictors[0].logits(images)
    for predictor in predictors:
        for count in range(1, len(images) + 1):
            assert_same_bits(predictor.logits(images[:count]), want[:count])


@given(graphs(classes=3), st.booleans(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_random_graphs(graph, sparse, count, seed):
    """Whatever its operations, with kernels or in Python."""
    network = pruned(make_network(graph, seed=seed), 0.8 if sparse else 0.0, seed)
    images = make_images(graph, count, seed=seed)
    assert_near(Predictor(network).logits(images), evaluate(network, images), np.float64)


@pytest.mark.parametrize("count", [1, 3, 8, 70])
def test_steps_in_python(count):
    """A transformer, in blocks of powers of two, twice as the blocks are used again."""
    graph = vision_transformer(
        patch=4, features=24, depth=2, heads=3, classes=5, input_shape=(3, 12, 12)
    )
    network = pruned(make_network(graph, dtype=np.float32), 0.9)
    images = make_images(graph, count, dtype=np.float32)
    predictor = Predictor(network)
    assert not predictor.compiled
    for given_images in (images[::-1], images):
        got = predictor.logits(given_images)
    assert_near(got, evaluate(network, images), np.float32)


def test_every_operation():
    """Segments of loops between steps in Python."""
    graph = every_operation()
    network, images = make_network(graph), make_images(graph, 5)
    assert_near(Predictor(network).logits(images), evaluate(network, images), np.float64)


def test_memory_of_the_loops_stays():
    """Nothing that the loops read is freed after loading, whatever else is allocated."""
    network = pruned(make_network(resnet(8), dtype=np.float32), 0.9)
    images = make_images(network.graph, 3, dtype=np.float32)
    predictor = Predictor(network)
    want = predictor.logits(images)
    del network
    gc.collect()
    waste = [np.full(size, np.nan, np.float32) for size in range(1, 3000)]
    assert_same_bits(predictor.logits(images), want)
    assert np.isfinite(want).all()
    assert waste


def test_calls_of_several_python_threads_take_turns():
    graph = small_resnet()
    predictor = Predictor(make_network(graph, dtype=np.float32))
    images = [make_images(graph, 5, seed=seed, dtype=np.float32) for seed in range(6)]
    want, got = [predictor.logits(some) for some in images], {}

    def work(i):
        got[i] = [predictor.logits(images[i]) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, results in got.items():
        for result in results:
            assert_same_bits(result, want[i])


def test_a_capture_is_of_its_own_thread():
    """Kernels of other threads run meanwhile; those of this one are recorded and do not."""
    mine, other = np.full(64, -1.0), np.full(64, -1.0)
    clamp_planes(mine.copy(), mine.copy(), 0.0, 1.0)
    with capture() as loops:
        clamp_planes(mine, mine, 0.0, 1.0)
        thread = threading.Thread(target=clamp_planes, args=(other, other, 0.0, 1.0))
        thread.start()
        thread.join()
    assert (mine == -1).all()
    assert (other == 0).all()
    assert len(loops) == 1
    clamp_planes(mine, mine, 0.0, 1.0)
    assert (mine == 0).all()
    assert len(loops) == 1


def test_probabilities():
    graph = small_plain()
    network, images = make_network(graph), make_images(graph, 4)
    shares, logits = Predictor(network).probabilities(images), Predictor(network).logits(images)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-12)
    assert np.allclose(np.log(shares), logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def test_images_of_another_dtype_are_cast():
    graph = small_plain()
    network, images = make_network(graph, dtype=np.float32), make_images(graph, 4)
    predictor = Predictor(network)
    assert_same_bits(predictor.logits(images), predictor.logits(images.astype(np.float32)))
    assert_same_bits(predictor.logits(images[::-1])[::-1], predictor.logits(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], "expects floats of shape"),
        (lambda x: x[:, :1], "expects floats of shape"),
        (lambda x: x[:0], "no images"),
        (lambda x: (255 * x).astype(np.uint8), "expects floats"),
        (lambda x: 255 * x, "expected \\[0, 1\\]"),
        (lambda x: x * np.nan, "NaN"),
    ],
)
def test_bad_images(change, message):
    graph = small_plain()
    predictor = Predictor(make_network(graph))
    with pytest.raises(InputError, match=message):
        predictor.logits(change(make_images(graph, 3)))


def test_bad_networks(tmp_path):
    graph = small_plain()
    network = make_network(graph)
    with pytest.raises(InputError, match="threads is 0"):
        Predictor(network, threads=0)
    planes = classifier("planes", (2, 5, 5), (Node("relu", "relu", ("images",)),))
    with pytest.raises(InputError, match="one row of logits"):
        Predictor(Network(planes, {}, {}))
    name = graph.prunable[0]
    parameters = {**network.parameters, name: network.parameters[name] * np.nan}
    with pytest.raises(InputError, match="NaN"):
        Network(graph, parameters, network.buffers)
    with pytest.raises(InputError, match="absent"):
        load_predictor(tmp_path / "absent.h5")


@pytest.mark.parametrize("best", [1, *PREDICTOR_GROUPS])
@pytest.mark.parametrize("rate", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_groups_have_the_bits_of_single_images(name, rate, best, monkeypatch):
    graph = ARCHITECTURES[name]()
    network = pruned(make_network(graph, dtype=np.float32), rate)
    few, many = PREDICTOR_GROUPS
    images = make_images(graph, many + few + 1, dtype=np.float32)
    predictor = Predictor(network)._numba
    monkeypatch.setattr(
        predictor, "_measure_groups", lambda few, many, threads: (1.0, float(many > best))
    )
    if not predictor._block(many).computes_as_one:
        best = min(best, few)
    for count in (few - 1, few, len(images)):
        sizes = predictor._group_sizes(count, predictor.threads)
        expected = [many] * (count // many) if best == many else []
        expected += [few] * ((count - sum(expected)) // few) if best >= few else []
        assert sizes == expected
        assert_same_bits(predictor.logits(images[:count]), one_by_one(network, images[:count]))


def test_the_least_groups_are_too_small_for_other_kernels():
    assert min(PREDICTOR_GROUPS) < ROW_MIN_IMAGES


def test_groups_that_other_kernels_would_compute_are_not_taken():
    network = make_network(small_resnet(), dtype=np.float32)
    predictor = Predictor(network)._numba
    assert predictor._block(min(PREDICTOR_GROUPS)).computes_as_one
    assert not predictor._block(ROW_MIN_IMAGES).computes_as_one
    assert not predictor._is_faster(max(PREDICTOR_GROUPS), predictor.threads)


def test_more_memory_than_is_free_is_refused(monkeypatch):
    graph = small_resnet()
    network, images = make_network(graph, dtype=np.float32), make_images(graph, 9, dtype=np.float32)
    two_largest = 4 * sum(sorted(math.prod(shape) for shape in graph.shapes.values())[-2:])
    monkeypatch.setattr(memory, "ALWAYS", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: two_largest * 2)
    predictor = Predictor(network, threads=1)  # a group does not fit, an image does
    assert_same_bits(predictor.logits(images), one_by_one(network, images))
    assert not any(predictor._numba._faster.values())
    assert set(predictor._numba._faster) == {min(PREDICTOR_GROUPS)}
    monkeypatch.setattr(memory, "free_memory", lambda: two_largest - 1)
    with pytest.raises(InputError, match=r"a pass of 1 image .* use fewer threads"):
        Predictor(network, threads=1)


def test_blocks_that_do_not_fit_ask_for_fewer_images(monkeypatch):
    graph = vision_transformer(
        patch=4, features=24, depth=1, heads=3, classes=5, input_shape=(3, 12, 12)
    )
    predictor = Predictor(make_network(graph, dtype=np.float32), threads=1)
    monkeypatch.setattr(memory, "ALWAYS", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 1)
    with pytest.raises(InputError, match=r"a pass of 8 images .* use fewer images at a time"):
        predictor.logits(make_images(graph, 9, dtype=np.float32))


def test_one_measurement_decides_about_groups(monkeypatch):
    predictor = Predictor(make_network(small_resnet(), dtype=np.float32))._numba
    asked = []

    def measure(few, many, threads):
        asked.append((few, many, threads))
        return 1.0, 0.9

    monkeypatch.setattr(predictor, "_measure_groups", measure)
    few = min(PREDICTOR_GROUPS)
    for count in (1, few, 2 * few):
        predictor.logits(make_images(predictor._network.graph, count, dtype=np.float32))
    assert asked == [(1, few, predictor.threads)]


def test_one_measurement_decides_for_good(monkeypatch):
    graph = small_resnet()
    predictor = Predictor(make_network(graph, dtype=np.float32))
    asked = []

    def measure(threads):
        asked.append(threads)
        return 1.0, 0.9

    monkeypatch.setattr(predictor._numba, "_measure", measure)
    images = make_images(graph, 1, dtype=np.float32)
    for _ in range(3):
        predictor.logits(images)
    assert asked == ([predictor.threads] if predictor.threads > 1 else [])


def test_a_network_without_normalisation():
    nodes = (
        Node(
            "conv",
            "convolution",
            ("images",),
            {"in_channels": 2, "out_channels": 3, "kernel": (3, 3)},
        ),
        Node("pool", "global_average_pool", ("conv",)),
    )
    graph = classifier("bare", (2, 5, 7), nodes)
    network, images = make_network(graph), make_images(graph, 3)
    assert_near(Predictor(network).logits(images), evaluate(network, images), np.float64)


def test_from_files(tmp_path):
    graph = small_resnet()
    network = pruned(make_network(graph, dtype=np.float32), 0.9)
    images = make_images(graph, 3, dtype=np.float32)
    write_network(tmp_path / "n.h5", network)
    loaded = fcpts_ref.load_predictor(tmp_path / "n.h5", threads=1)
    assert_same_bits(loaded.logits(images), Predictor(network).logits(images))
    pytest.importorskip("onnx")
    fcpts_ref.export_onnx(tmp_path / "n.onnx", network)
    again = load_predictor(tmp_path / "n.onnx")
    assert again.compiled
    assert_near(again.logits(images), loaded.logits(images), np.float32)
