"""The fast engine against the NumPy engine: whole networks, forward and backward."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from small_networks import (
    classifier,
    every_operation,
    make_images,
    make_network,
    small_plain,
    small_resnet,
)

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.network import Network

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from fcpts_ref.engines.numba.convolution.winograd.plan import PackedWeights
from fcpts_ref.engines.numba.engine import KEPT_PLANS
from fcpts_ref.engines.numba.jit.threads import available_threads


def node(name, operation, *inputs, **attributes):
    return Node(name, operation, inputs, attributes)


def conv(name, source, C, K, **attributes):
    settings = {"kernel": 3, "stride": 1, "padding": 1, "bias": False} | attributes
    return node(name, "convolution", source, in_channels=C, out_channels=K, **settings)


def tangled():
    """Values with several readers, joins of every kind, odd geometries."""
    return classifier(
        "tangled",
        (2, 10, 9),
        (
            conv("first", "images", 2, 4, padding=0, bias=True),
            node("bn1", "batch_norm", "first", channels=4),
            node("relu1", "relu", "bn1"),
            conv("deep", "relu1", 4, 4, groups=4),
            node("bn2", "batch_norm", "deep", channels=4),
            node("join", "add", "relu1", "bn2"),  # no activation; relu1 has three readers
            conv("wide", "relu1", 4, 4, dilation=2, padding=2),
            node("bn3", "batch_norm", "wide", channels=4),
            node("join2", "add", "bn3", "join"),
            node("relu6", "relu6", "join2"),
            node("self", "add", "relu6", "relu6"),
            node("bn4", "batch_norm", "self", channels=4),
            node("double", "add", "bn4", "self"),
            node("both", "relu", "bn4"),  # bn4 has two readers
            node("join3", "add", "both", "double"),
            conv("large", "join3", 4, 3, kernel=(5, 4), padding=(1, 3), stride=(2, 1)),
            node("pool", "average_pool", "large", kernel=2, stride=1),
            node("relu2", "relu", "pool"),
            node("peak", "max_pool", "relu2", kernel=3, stride=2, padding=1),
            node("norm", "normalise", "peak", channels=3),
            node("mean", "global_average_pool", "norm"),
            node("rows", "linear", "mean", in_features=3, out_features=5, bias=False),
            node("relu3", "relu", "rows"),
            node("sum", "add", "relu3", "rows"),
            node("linear", "linear", "sum", in_features=5, out_features=4),
        ),
    )


GRAPHS = {
    "resnet8 A": small_resnet("A"),
    "resnet14 B": resnet(14, classes=5, widths=(3, 5, 6), shortcut="B", input_shape=(2, 9, 11)),
    "plain": small_plain(),
    "plain with bias": small_plain(batch_norm=False),
    "every operation": every_operation(),
    "tangled": tangled(),
    "one linear": classifier(
        "one linear",
        (2, 3, 3),
        (
            node("flatten", "flatten", "images"),
            node("linear", "linear", "flatten", in_features=18, out_features=3),
        ),
    ),
    "no parameters": classifier(
        "no parameters", (2, 3, 3), (node("pool", "global_average_pool", "images"),)
    ),
}


def prune(network, rate, seed=3):
    generator = np.random.default_rng(seed)
    pruned = {
        name: a * (generator.random(a.shape) >= rate) if name in network.graph.prunable else a
        for name, a in network.parameters.items()
    }
    return Network(network.graph, pruned, network.buffers)


def run(engine, network, images, *, training=True, sparse=False, kept="all", seed=5):
    """Logits, buffers and gradients of one pass."""
    passed = engine.forward(
        network.parameters,
        network.buffers,
        {"images": images},
        training=training,
        keep=True,
        sparse=sparse,
    )
    dlogits = np.random.default_rng(seed).standard_normal(passed.outputs["logits"].shape)
    gradients = engine.backward(
        passed, {"logits": dlogits.astype(passed.outputs["logits"].dtype)}, weight_gradient=kept
    )
    return passed.outputs["logits"], dict(passed.buffers), gradients


def assert_agree(got, want, tolerance):
    assert_close(got[0], want[0], tolerance, "logits")
    for a, b in zip(got[1:], want[1:], strict=True):
        assert set(a) == set(b)
        for name in b:
            assert a[name].dtype == b[name].dtype
            scale = max(np.abs(b[name]).max(), 1e-3)  # batch norm cancels some gradients to 0
            assert np.abs(a[name] - b[name]).max() <= tolerance * scale, name


def assert_identical(got, want):
    assert_same_bits(got[0], want[0], "logits")
    for a, b in zip(got[1:], want[1:], strict=True):
        assert set(a) == set(b)
        for name in b:
            assert_same_bits(a[name], b[name], name)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_agrees_with_numpy(name, training):
    graph = GRAPHS[name]
    network, images = make_network(graph), make_images(graph, 5)
    numpy, fast = make_engine(graph, "numpy"), make_engine(graph, "numba")
    if name == "no parameters":
        passed = [
            e.forward({}, {}, {"images": images.astype(np.float32)}, training=training, keep=True)
            for e in (numpy, fast)
        ]
        assert_close(passed[1].outputs["logits"], passed[0].outputs["logits"], 1e-6)
        assert fast.backward(passed[1], {"logits": np.ones((5, 2), np.float32)}) == {}
        return
    want = run(numpy, network, images, training=training)
    assert_agree(run(fast, network, images, training=training), want, 1e-10)
    alone = fast.forward(network.parameters, network.buffers, {"images": images}, training=training)
    assert_close(alone.outputs["logits"], want[0], 1e-10, "logits")
    for name, array in want[1].items():
        assert_close(alone.buffers[name], array, 1e-10, name)


@pytest.mark.parametrize("name", ["resnet8 A", "plain with bias", "every operation", "tangled"])
@pytest.mark.parametrize("rate", [0.3, 0.9, 1.0])
def test_agrees_with_numpy_on_sparse_weights(name, rate):
    graph = GRAPHS[name]
    network, images = prune(make_network(graph), rate), make_images(graph, 3)
    numpy, fast = make_engine(graph, "numpy"), make_engine(graph, "numba")
    for kept in ("all", "kept"):
        want = run(numpy, network, images, sparse=True, kept=kept)
        assert_agree(run(fast, network, images, sparse=True, kept=kept), want, 1e-10)


def test_agrees_in_float32():
    graph = GRAPHS["resnet8 A"]
    network, images = make_network(graph), make_images(graph, 8)
    want = run(make_engine(graph, "numpy"), network, images)
    got = run(make_engine(graph, "numba"), network.astype(np.float32), images.astype(np.float32))
    assert got[0].dtype == np.float32
    # 16 layers, sums of up to 8 * 64 terms, batch norm of condition about 10: some 1e3 eps
    assert_close(got[0], want[0], 1e3 * np.finfo(np.float32).eps)
    for name, gradient in want[2].items():
        scale = max(np.abs(gradient).max(), 1e-1)
        assert np.abs(got[2][name] - gradient).max() <= 1e-3 * scale, name


def test_any_batch_and_dtype_one_after_another():
    graph = GRAPHS["resnet8 A"]
    fast: Any = make_engine(graph, "numba")
    numpy = make_engine(graph, "numpy")
    for count in range(1, KEPT_PLANS + 3):
        dtype = np.float32 if count % 2 else np.float64
        network = make_network(graph, seed=count, dtype=dtype)
        images = make_images(graph, count, seed=count, dtype=dtype)
        tolerance = 1e-10 if dtype == np.float64 else 1e-4
        got = fast.forward(network.parameters, network.buffers, {"images": images}, training=False)
        want = numpy.forward(
            network.parameters, network.buffers, {"images": images}, training=False
        )
        assert_close(got.outputs["logits"], want.outputs["logits"], tolerance)
    assert len(fast._plans) <= KEPT_PLANS


@pytest.mark.parametrize("name", ["resnet8 A", "every operation", "tangled"])
def test_threads_and_repetition_do_not_change_a_bit(name):
    if available_threads() < 2:
        pytest.skip("one thread only")
    graph = GRAPHS[name]
    network = prune(make_network(graph, dtype=np.float32), 0.7)
    images = make_images(graph, 7, dtype=np.float32)
    for sparse in (False, True):
        engines = [make_engine(graph, "numba", threads=n) for n in (1, 2)]
        first = run(engines[0], network, images, sparse=sparse)
        for engine in (*engines, engines[1]):
            assert_identical(run(engine, network, images, sparse=sparse), first)


@pytest.mark.parametrize("training", [True, False])
def test_backward_needs_a_pass_that_was_kept_and_was_not_used(training):
    graph = GRAPHS["resnet8 A"]
    network, images = make_network(graph), make_images(graph)
    fast = make_engine(graph, "numba")
    stored = network.parameters, network.buffers, {"images": images}
    passed = fast.forward(*stored, training=training, keep=False)
    dlogits = np.ones_like(passed.outputs["logits"])
    with pytest.raises(InputError, match="keep=True"):
        fast.backward(passed, {"logits": dlogits})
    passed = fast.forward(*stored, training=training, keep=True)
    fast.backward(passed, {"logits": dlogits})
    with pytest.raises(InputError, match="call it once"):
        fast.backward(passed, {"logits": dlogits})


def test_forward_alone_keeps_little_memory():
    graph = resnet(20, widths=(4, 4, 4), input_shape=(3, 8, 8))
    network, images = make_network(graph), make_images(graph)
    fast: Any = make_engine(graph, "numba")
    for keep in (True, False):
        fast.forward(
            network.parameters, network.buffers, {"images": images}, training=True, keep=keep
        )
    kept, forward = fast._plans.values()
    assert forward.nbytes * 4 <= kept.nbytes


def test_a_cache_changes_no_bit_and_is_used():
    graph = resnet(8, widths=(8, 8, 8), input_shape=(3, 32, 32))
    network = prune(make_network(graph, dtype=np.float32), 0.6)
    stored = network.parameters, network.buffers, {"images": make_images(graph, dtype=np.float32)}
    cache = WeightCache()
    fast: Any = make_engine(graph, "numba")
    for training in (False, True):
        for sparse in (True, False):
            want = fast.forward(*stored, training=training, sparse=sparse)
            for _ in range(2):
                got = fast.forward(*stored, training=training, sparse=sparse, cache=cache)
                assert_same_bits(got.outputs["logits"], want.outputs["logits"])
    packed = [entry for entry in cache.values() if isinstance(entry, PackedWeights)]
    filters = [entry.filters for entry in packed if entry.filters is not None]
    assert filters
    for array in filters:
        array[...] = 0
    spoilt = fast.forward(*stored, training=True, cache=cache)
    assert not np.array_equal(spoilt.outputs["logits"], want.outputs["logits"])


def test_threads_of_python_that_share_an_engine_are_refused():
    graph = GRAPHS["resnet8 A"]
    network, images = make_network(graph), make_images(graph)
    stored = network.parameters, network.buffers, {"images": images}
    fast: Any = make_engine(graph, "numba")
    passed = fast.forward(*stored, training=True, keep=True)
    with fast._alone():
        for call in (
            lambda: fast.forward(*stored, training=True),
            lambda: fast.backward(passed, {"logits": np.ones_like(passed.outputs["logits"])}),
        ):
            with pytest.raises(InputError, match="make an engine for each thread"):
                call()
    fast.backward(
        passed, {"logits": np.ones_like(passed.outputs["logits"])}
    )  # the refusal left the pass as it was


def test_an_engine_shared_by_threads_gives_right_logits_or_refuses():
    graph = GRAPHS["resnet8 A"]
    fast: Any = make_engine(graph, "numba", threads=1)
    network = make_network(graph)
    batches = [make_images(graph, seed=seed) for seed in range(4)]

    def logits(images):
        return fast.forward(
            network.parameters, network.buffers, {"images": images}, training=False
        ).outputs["logits"]

    wanted = [logits(images) for images in batches]

    def work(i):
        for _ in range(10):
            with contextlib.suppress(InputError):
                assert_same_bits(logits(batches[i]), wanted[i])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_results_are_the_callers_own():
    graph = GRAPHS["resnet8 A"]
    network, images = make_network(graph), make_images(graph)
    fast = make_engine(graph, "numba")
    before = {n: a.copy() for n, a in (*network.parameters.items(), *network.buffers.items())}
    first = run(fast, network, images)
    copies = first[0].copy(), *({n: a.copy() for n, a in part.items()} for part in first[1:])
    run(fast, make_network(graph, seed=9), images, seed=8)
    assert_identical(first, copies)
    for name, array in (*network.parameters.items(), *network.buffers.items()):
        assert_same_bits(array, before[name], name)


def test_read_only_and_strided_arrays_are_fine():
    graph = GRAPHS["resnet8 A"]
    network, images = make_network(graph), make_images(graph)
    want = run(make_engine(graph, "numba"), network, images)
    awkward = {n: np.repeat(a, 2, axis=-1)[..., ::2] for n, a in network.parameters.items()}
    for array in awkward.values():
        array.setflags(write=False)
    got = run(
        make_engine(graph, "numba"),
        Network(graph, awkward, network.buffers),
        np.asfortranarray(images),
    )
    assert_identical(got, want)


def test_pruned_weights_do_not_meet_infinite_activations():
    graph = classifier(
        "one", (2, 3, 3), (conv("conv", "images", 2, 1), node("p", "global_average_pool", "conv"))
    )
    weight = np.zeros((1, 2, 3, 3), np.float32)
    weight[0, 0, 1, 1] = 1
    images = np.ones((1, 2, 3, 3), np.float32)
    images[0, 1] = np.inf  # only pruned weights read it
    fast = make_engine(graph, "numba")
    passed = fast.forward(
        {"conv.weight": weight}, {}, {"images": images}, training=False, sparse=True
    )
    assert passed.outputs["logits"].tolist() == [[1.0]]


def test_stale_passes_and_bad_input():
    graph = GRAPHS["resnet8 A"]
    network, images = make_network(graph), make_images(graph)
    parameters, buffers = dict(network.parameters), dict(network.buffers)
    fast = make_engine(graph, "numba")
    old = fast.forward(parameters, buffers, {"images": images}, training=True, keep=True)
    new = fast.forward(parameters, buffers, {"images": images}, training=True, keep=True)
    with pytest.raises(InputError, match="before the next forward"):
        fast.backward(old, {"logits": np.ones_like(old.outputs["logits"])})
    with pytest.raises(InputError, match=r"gradient of .logits. has shape"):
        fast.backward(new, {"logits": np.ones((1, 1))})
    with pytest.raises(InputError, match="images"):
        fast.forward(parameters, buffers, {"images": images[:, :1]}, training=True)
    with pytest.raises(InputError, match="images"):
        fast.forward(parameters, buffers, {"images": images[:0]}, training=True)
    for bad in (np.float16, np.complex128):
        other = {name: a.astype(bad) for name, a in parameters.items()}
        with pytest.raises(InputError, match="float32 and float64"):
            fast.forward(other, buffers, {"images": images}, training=True)
    mixed = parameters | {"linear.bias": parameters["linear.bias"].astype(np.float32)}
    with pytest.raises(InputError, match="float32 and float64"):
        fast.forward(mixed, buffers, {"images": images}, training=True)
    with pytest.raises(InputError, match=r"bn1\.weight"):
        fast.forward(parameters | {"bn1.weight": np.ones(1)}, buffers, images, training=True)
    missing = {name: a for name, a in buffers.items() if name != "bn1.running_var"}
    with pytest.raises(InputError, match=r"bn1\.running_var"):
        fast.forward(parameters, missing, {"images": images}, training=True)
    with pytest.raises(InputError, match="threads"):
        make_engine(graph, "numba", threads=0)


def two_heads():
    """Two inputs, one of them normalised; outputs in the middle and at the end."""
    return Graph(
        "two heads",
        {"left": (2, 9, 8), "right": (2, 9, 8), "row": (5,)},
        (
            node("normalise", "normalise", "left", channels=2),
            conv("a", "normalise", 2, 4),
            node("bn", "batch_norm", "a", channels=4),
            node("relu", "relu", "bn"),
            conv("b", "right", 2, 4),
            node("sum", "add", "relu", "b"),
            node("pool", "global_average_pool", "sum"),
            node("linear", "linear", "pool", in_features=4, out_features=3),
            node("side", "linear", "row", in_features=5, out_features=3),
            node("scores", "add", "linear", "side"),
        ),
        {"map": "relu", "before": "a", "sum": "sum", "scores": "scores"},
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("left_out", [None, "map", "scores"])
def test_several_inputs_and_outputs(training, left_out):
    """No output is hidden by fusion or overwritten; one without a gradient has none."""
    graph = two_heads()
    network = make_network(graph)
    generator = np.random.default_rng(2)
    inputs = {name: generator.random((3, *shape)) for name, shape in graph.inputs.items()}
    doutputs = {
        name: generator.standard_normal((3, *shape))
        for name, shape in graph.output_shapes.items()
        if name != left_out
    }
    results = []
    for kind in ("numpy", "numba"):
        engine = make_engine(graph, kind)
        passed = engine.forward(
            network.parameters, network.buffers, inputs, training=training, keep=True
        )
        results.append((passed.outputs, engine.backward(passed, doutputs)))
    (want, dwant), (got, dgot) = results
    assert got.keys() == want.keys() == graph.outputs.keys()
    for name in want:
        assert_close(got[name], want[name], 1e-12, name)
    assert dgot.keys() == dwant.keys()
    for name in dwant:
        assert_close(dgot[name], dwant[name], 1e-11, name)
