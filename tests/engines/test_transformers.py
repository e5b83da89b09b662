"""The fast engine on transformers, against NumPy: whole networks, and each kernel at its edges."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from small_networks import make_images, make_network

from fcpts_ref import layers
from fcpts_ref.architectures.vision_transformer import vision_transformer
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.numba.jit.share import share
from fcpts_ref.engines.numba.plan.attention_steps import Attention
from fcpts_ref.engines.numba.plan.plan import Plan
from fcpts_ref.engines.numba.plan.steps import Layer
from fcpts_ref.engines.numba.tokens import rows
from fcpts_ref.engines.numba.tokens.products import product
from fcpts_ref.graphs.graph import Graph, Node

if numba.config.DISABLE_JIT:
    pytest.skip("most steps of a network need the JIT", allow_module_level=True)


def small_transformer(**settings):
    given = {"patch": 4, "features": 24, "depth": 2, "heads": 3, "classes": 5}
    return vision_transformer(**{**given, "input_shape": (3, 12, 12), **settings})


def pruned(network, rate):
    """The parameters with a share of every prunable weight set to 0."""
    parameters = dict(network.parameters)
    for name in network.graph.prunable:
        magnitude = np.abs(parameters[name])
        parameters[name] = parameters[name] * (magnitude >= np.quantile(magnitude, rate))
    return parameters


def run(engine, network, parameters, images, weight_gradient="all", sparse=True):
    passed = engine.forward(
        parameters, network.buffers, {"images": images}, training=True, keep=True, sparse=sparse
    )
    logits = passed.outputs["logits"]
    dlogits = np.random.default_rng(3).standard_normal(logits.shape).astype(logits.dtype)
    gradients = engine.backward(passed, {"logits": dlogits}, weight_gradient=weight_gradient)
    return {"logits": logits, **gradients}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 3e-5)])
@pytest.mark.parametrize("rate", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("weight_gradient", ["all", "kept"])
def test_a_transformer(dtype, tolerance, rate, weight_gradient):
    """Dense products, products with masks, and kernels that skip zeros."""
    graph = small_transformer()
    network, images = make_network(graph, dtype=dtype), make_images(graph, 3, dtype=dtype)
    parameters = pruned(network, rate)
    got, want = (
        run(make_engine(graph, name), network, parameters, images, weight_gradient)
        for name in ("numba", "numpy")
    )
    assert got.keys() == want.keys()
    for name in want:
        assert got[name].dtype == dtype
        assert_close(got[name], want[name], tolerance, name)
        if weight_gradient == "kept" and name in graph.prunable:
            assert not got[name][parameters[name] == 0].any()


def test_a_transformer_runs_by_steps_of_its_own():
    graph = small_transformer()
    plan = Plan(graph, 2, np.dtype(np.float32), keep=True)
    left = {step.group.operation for step in plan.steps if isinstance(step, Layer)}
    assert not left
    fused = [step for step in plan.steps if isinstance(step, Attention)]
    assert [len(step.group.nodes) for step in fused] == [4, 4]


def test_the_same_bits_for_any_number_of_threads():
    graph = small_transformer(features=48, hidden=600, input_shape=(3, 16, 16))
    network, images = make_network(graph, dtype=np.float32), make_images(graph, 30, dtype="f4")
    results = [
        run(make_engine(graph, "numba", threads=n), network, dict(network.parameters), images)
        for n in (1, 2)
    ]
    for name, want in results[0].items():
        assert_same_bits(results[1][name], want, name)


def test_one_engine_runs_batches_of_several_sizes():
    graph = small_transformer()
    network = make_network(graph)
    engine, whole = make_engine(graph, "numba"), make_images(graph, 4)
    want = run(make_engine(graph, "numpy"), network, network.parameters, whole)["logits"]
    for count in (4, 1, 3, 4):
        got = run(engine, network, network.parameters, whole[:count])["logits"]
        assert_close(got, want[:count], 1e-12)


def attention_graph(slices, *, width=12, outputs=()):
    """Attention of slices (start, stop) of one value."""
    nodes = [
        Node("linear", "linear", ("tokens",), {"in_features": 6, "out_features": width}),
        *(
            Node(name, "slice", ("linear",), {"axis": -1, "start": a, "stop": b})
            for name, (a, b) in zip("qkv", slices, strict=True)
        ),
        Node("attention", "attention", ("q", "k", "v"), {"heads": 2}),
    ]
    named = {"value": "attention"} | {name: name for name in outputs}
    return Graph("attention", {"tokens": (5, 6)}, tuple(nodes), named)


@pytest.mark.parametrize(
    ("graph", "fused"),
    [
        (attention_graph([(0, 4), (4, 8), (8, 12)]), True),
        (attention_graph([(8, 12), (0, 4), (4, 8)]), True),
        (attention_graph([(0, 2), (4, 6), (8, 12)]), True),  # some features are not read
        (attention_graph([(0, 4), (0, 4), (8, 12)]), False),  # q is k
        (attention_graph([(0, 4), (2, 6), (6, 10)]), False),  # they overlap
        (attention_graph([(0, 4), (4, 8), (8, 12)], outputs="q"), False),  # q is an output
    ],
)
def test_slices_before_attention(graph, fused):
    network = make_network(graph)
    tokens = np.random.default_rng(0).standard_normal((3, 5, 6))
    results = []
    for name in ("numba", "numpy"):
        engine = make_engine(graph, name)
        passed = engine.forward(
            network.parameters, {}, {"tokens": tokens}, training=False, keep=True
        )
        doutputs = {name: np.sin(y) for name, y in passed.outputs.items()}
        results.append({**passed.outputs, **engine.backward(passed, doutputs)})
    for name, want in results[1].items():
        assert_close(results[0][name], want, 1e-12, name)
    plan = Plan(graph, 3, np.dtype(np.float64), keep=True)
    (step,) = [step for step in plan.steps if isinstance(step, Attention)]
    assert (len(step.group.nodes) == 4) == fused


@pytest.mark.parametrize("shape", [(2, 9, 9), (2, 8, 11)])
@pytest.mark.parametrize("bias", [True, False])
def test_patches_of_images_that_are_not_whole(shape, bias):
    """The pixels beyond the last patch are not read, and their gradient is 0."""
    settings = {"in_channels": 2, "out_channels": 4, "kernel": (4, 3), "stride": (4, 3)}
    nodes = (
        Node("first", "batch_norm", ("images",), {"channels": 2}),
        Node("patches", "convolution", ("first",), settings | {"bias": bias}),
    )
    graph = Graph("patches", {"images": shape}, nodes, {"value": "patches"})
    network, images = make_network(graph), np.random.default_rng(1).random((3, *shape))
    results = []
    for name in ("numba", "numpy"):
        engine = make_engine(graph, name)
        passed = engine.forward(
            network.parameters, network.buffers, {"images": images}, training=True, keep=True
        )
        doutputs = {"value": np.sin(passed.outputs["value"])}
        results.append({**passed.outputs, **engine.backward(passed, doutputs)})
    for name, want in results[1].items():
        assert_close(results[0][name], want, 1e-12, name)


@pytest.mark.parametrize("D", [1, 3, 8, 19])
def test_layer_norm_of_any_width(D):
    generator = np.random.default_rng(D)
    x, dy = generator.standard_normal((2, 5, D))
    gamma, beta = generator.standard_normal((2, D))
    want, cache = layers.layer_norm_forward(x, gamma, beta, shape=(D,))
    dwant = layers.layer_norm_backward(dy, cache)
    y, mean, inverse = np.empty_like(x), np.empty(5), np.empty(5)
    rows.layer_norm(x, gamma, beta, 1e-5, y, mean, inverse)
    dgamma, dbeta = rows.layer_norm_backward(dy, x, gamma, mean, inverse, dy)  # in place
    for got, expected in zip((y, dy, dgamma, dbeta), (want, *dwant), strict=True):
        assert_close(got, expected, 1e-12)


def test_softmax_of_large_scores():
    x = np.array([[1000.0, 999.0, -1000.0], [0.0, 0.0, 0.0]])
    p = x.copy()
    rows.softmax_rows(p, 0.5)
    assert_close(p, layers.softmax_forward(0.5 * x)[0], 1e-15)
    dp = np.array([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0]])
    _, cache = layers.softmax_forward(0.5 * x)
    want = 0.5 * layers.softmax_backward(dp, cache)
    rows.softmax_rows_backward(dp, p, 0.5)
    assert_close(dp, want, 1e-14)


@pytest.mark.parametrize("M", [1, 191, 384, 1000])
def test_products_of_any_number_of_rows(M):
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((M, 7)), generator.standard_normal((5, 7))
    y = np.empty((M, 5))
    product(a, b.T, y)
    assert_close(y, a @ b.T, 1e-13)


def test_an_error_of_one_thread_is_raised():
    def task(i):
        if i == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        share(4, task)
