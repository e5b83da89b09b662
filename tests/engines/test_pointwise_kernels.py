"""The kernels of activations, products, pooling and moves against the NumPy layers."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from commands import passes_with_two_threads
from comparing import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from small_networks import classifier, make_images, make_network

from fcpts_ref import layers
from fcpts_ref.engines.make import make_engine
from fcpts_ref.graphs.graph import Node

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from engines.twins.layers import _backward, _forward
from fcpts_ref.engines.numba.jit.threads import available_threads, using_threads
from fcpts_ref.engines.numba.plan.fusion import Group
from fcpts_ref.engines.numba.plan.steps import Layer, step_class

DTYPES = st.sampled_from((np.float32, np.float64))
SHAPES = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 19), st.integers(1, 35)),
    st.tuples(st.integers(0, 3), st.integers(1, 70)),
)
SEEDS = st.integers(0, 2**32 - 1)
SMOOTH = [
    ("sigmoid", {}),
    ("silu", {}),
    ("gelu", {"approximate": "none"}),
    ("gelu", {"approximate": "tanh"}),
    ("hard_sigmoid", {"alpha": 0.2, "beta": 0.4}),
    ("hard_swish", {}),
    ("leaky_relu", {"slope": 0.3}),
]
EXTREMES = [0.0, -0.0, 1e-30, 3.0, -3.0, 40.5, -40.5, 90.0, -90.0, 800.0, -800.0, 1e30, -1e30]


def draw(shape, dtype, seed):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def expected(name, inputs, settings, dy=None):
    """The NumPy layer in float64: the value, or the gradients."""
    wide = [x.astype(np.float64) for x in inputs]
    value, cache = getattr(layers, f"{name}_forward")(*wide, **settings)
    if dy is None:
        return value
    gradients = getattr(layers, f"{name}_backward")(dy.astype(np.float64), cache)
    return gradients if isinstance(gradients, tuple) else (gradients,)


def check(name, inputs, settings, units, seed=0):
    """Both passes, to so many units in the last place of each result.

    Of one that is small, of 1 or of a tenth of the largest: it may be a difference.
    """
    value, cache = _forward(name, inputs, settings)
    eps = np.finfo(inputs[0].dtype).eps
    want = expected(name, inputs, settings)
    assert value.dtype == inputs[0].dtype
    assert_within(value, want, units * eps)
    dy = draw(value.shape, value.dtype, seed + 1)
    for got, want in zip(_backward(dy, cache), expected(name, inputs, settings, dy), strict=True):
        assert got.dtype == value.dtype
        assert_within(got, want, units * eps)


def assert_within(got, want, tolerance):
    assert got.shape == want.shape
    scale = np.maximum(np.abs(want), max(1.0, np.abs(want).max(initial=0) / 10))
    assert (np.abs(got - want) <= tolerance * scale).all()


@pytest.mark.parametrize(("name", "settings"), SMOOTH)
@given(shape=SHAPES, dtype=DTYPES, seed=SEEDS)
def test_activations(name, settings, shape, dtype, seed):
    check(name, [draw(shape, dtype, seed)], settings, 64, seed)


@pytest.mark.parametrize(("name", "settings"), SMOOTH)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_values(name, settings, dtype):
    """Every element to 64 units of itself or of 1: no overflow, no NaN."""
    x = np.array([EXTREMES], dtype)
    value, cache = _forward(name, [x], settings)
    (dx,) = _backward(np.ones_like(x), cache)
    with np.errstate(all="ignore"):
        want = expected(name, [x], settings)
        (slope,) = expected(name, [x], settings, np.ones_like(x))
    eps = np.finfo(dtype).eps
    assert (np.abs(value - want) <= 64 * eps * np.maximum(np.abs(want), 1)).all()
    assert (np.abs(dx - slope) <= 64 * eps * np.maximum(np.abs(slope), 1)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "settings"), SMOOTH[:4])  # the others are zero at a kink
def test_small_results_keep_their_digits(name, settings, dtype):
    """GELU(-5) is -1.4e-6: to 64 units of itself, not of 1."""
    x = np.linspace(-6, 6, 3001, dtype=dtype)[np.newaxis]
    value, _ = _forward(name, [x], settings)
    want = expected(name, [x], settings)
    assert (np.abs(value - want) <= 64 * np.finfo(dtype).eps * np.abs(want)).all()


@pytest.mark.parametrize(("name", "settings"), SMOOTH)
@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (1, 9)])
def test_nan_stays_where_it_is(name, settings, shape):
    x = np.zeros(9)
    x[4] = np.nan
    value, _ = _forward(name, [x.reshape(shape)], settings)
    assert np.isnan(value.ravel()[4])
    assert np.isfinite(np.delete(value.ravel(), 4)).all()


@pytest.mark.parametrize("name", ["sigmoid", "hard_sigmoid", "silu", "gelu", "clip"])
def test_zeros_between_pixels_stay_zeros(name):
    """A convolution reads them: in both engines the same comes out behind an activation."""
    settings = {"low": -1.0, "high": 0.5} if name == "clip" else {}
    conv = {"in_channels": 2, "out_channels": 3, "kernel": 3, "padding": 1}
    nodes = (
        Node("first", "convolution", ("images",), conv | {"out_channels": 2}),
        Node("act", name, ("first",), settings),
        Node("second", "convolution", ("act",), conv),
    )
    assert_engines_agree(classifier("border", (2, 5, 7), nodes))


@given(DTYPES, SEEDS, st.floats(-2, 2), st.floats(0, 2), SHAPES)
def test_clip(dtype, seed, low, width, shape):
    """Exactly, whether the clamp or the NumPy layer runs."""
    settings = {"low": float(np.float32(low)), "high": float(np.float32(low + width))}
    x = draw(shape, dtype, seed)
    group = Group((Node("n", "clip", ("x",), settings),), ("x",), "n")
    step = step_class(group, {"x": shape[1:], "n": shape[1:]})
    assert (step is Layer) == (settings["low"] > 0 or settings["high"] < 0)
    if step is not Layer:
        value, cache = _forward("clip", [x], settings)
        want, wide = layers.clip_forward(x, **settings)
        np.testing.assert_array_equal(value, want)
        (dx,) = _backward(np.ones_like(x), cache)
        np.testing.assert_array_equal(dx, layers.clip_backward(np.ones_like(x), wide))


@given(SHAPES, DTYPES, SEEDS)
def test_products(shape, dtype, seed):
    check("multiply", [draw(shape, dtype, seed), draw(shape, dtype, seed + 2)], {}, 8, seed)


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 19), st.integers(1, 35)),
    DTYPES,
    SEEDS,
    st.booleans(),
)
def test_squeeze_and_excitation(shape, dtype, seed, factors_first):
    """The gradient of a factor is a sum over pixels."""
    inputs = [draw(shape, dtype, seed), draw((*shape[:2], 1, 1), dtype, seed + 2)]
    check("multiply", inputs[::-1] if factors_first else inputs, {}, 8 + shape[2] * shape[3], seed)


def test_a_value_times_itself():
    nodes = (Node("square", "multiply", ("images", "images")),)
    assert_engines_agree(with_weights(nodes, "square"))


@given(
    st.sampled_from(("max_pool", "average_pool")),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(5, 40), st.integers(5, 80)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 1)] * 4),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.booleans(),
    DTYPES,
    SEEDS,
)
def test_pooling(name, shape, kernel, stride, padding, dilation, ceil_mode, dtype, seed):
    """All settings of windows, and values with many ties for the maximum."""
    sides = [min(pad, k - 1) for pad, k in zip(padding, (*kernel, *kernel), strict=True)]
    settings = {"kernel": kernel, "stride": stride, "padding": tuple(sides)}
    settings |= {"dilation": dilation, "ceil_mode": ceil_mode}
    if name == "average_pool":
        settings["count_include_pad"] = bool(seed % 2)
    x = draw(shape, dtype, seed)
    check(name, [np.round(x) if name == "max_pool" else x], settings, 64, seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_first_nan_wins_and_infinities_are_pixels(dtype, stride):
    x = np.full((1, 1, 40, 64), -np.inf, dtype)
    x[0, 0, 7, 11:13] = np.nan
    x[0, 0, 20, 20] = np.inf
    settings = {"kernel": 3, "stride": stride}
    value, cache = _forward("max_pool", [x], settings)
    want, wide = layers.max_pool_forward(x, **settings)
    np.testing.assert_array_equal(value, want)
    (dx,) = _backward(np.ones_like(value), cache)
    np.testing.assert_array_equal(dx, layers.max_pool_backward(np.ones_like(want), wide))


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 20)),
    st.sampled_from((0, 1, 2, -1, -2, -3)),
    DTYPES,
    SEEDS,
)
def test_moves_are_exact(shape, axis, dtype, seed):
    x, other = draw(shape, dtype, seed), draw(shape, dtype, seed + 1)
    at = axis % 3
    half = {"axis": axis, "start": shape[at + 1] // 2, "stop": shape[at + 1]}
    backwards = {"axis": axis, "start": -1, "stop": -99, "step": -2}
    pads = {"pads": tuple((seed >> i) % 3 for i in range(6)), "value": 1.5}
    for name, inputs, settings in (
        ("concat", (x, other), {"axis": axis}),
        ("slice", (x,), half),
        ("slice", (x,), backwards),
        ("pad", (x,), pads),
        ("dropout", (x,), {"rate": 0.5}),
    ):
        value, cache = _forward(name, inputs, settings)
        want, wide = getattr(layers, f"{name}_forward")(*inputs, **settings)
        assert_same_bits(value, want, name)
        if name == "dropout":
            continue  # its gradient is passed on, not written
        dy = draw(value.shape, dtype, seed + 2)
        gradients = getattr(layers, f"{name}_backward")(dy, wide)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        for got, gradient in zip(_backward(dy, cache), gradients, strict=True):
            np.testing.assert_array_equal(got, gradient, name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_on_one_thread_and_on_two(dtype, request):
    if available_threads() < 2:
        assert passes_with_two_threads(request.node.nodeid)
        return
    x, factors = draw((5, 7, 33, 35), dtype, 0), draw((5, 7, 1, 1), dtype, 1)

    def run():
        for name, settings in (*SMOOTH, ("max_pool", {"kernel": 3, "stride": 2, "padding": 1})):
            value, cache = _forward(name, [x], settings)
            yield value
            yield from _backward(np.ones_like(value), cache)
        value, cache = _forward("multiply", [x, factors], {})
        yield value
        yield from _backward(x, cache)

    with using_threads(1):
        one = list(run())
    with using_threads(2):
        two = list(run())
    for a, b in zip(one, two, strict=True):
        assert_same_bits(a, b)


def with_weights(nodes, value):
    """A classifier whose nodes read a convolution's output, so that gradients are wanted."""
    conv = {"in_channels": 2, "out_channels": 3, "kernel": 3, "padding": 1}
    first = Node("conv", "convolution", ("images",), conv)
    read = [
        Node(n.name, n.operation, tuple("conv" if i == "images" else i for i in n.inputs),
             n.attributes)
        for n in nodes
    ]  # fmt: skip
    return classifier(
        "small", (2, 8, 9), (first, *read, Node("pool", "global_average_pool", (value,)))
    )


def test_gradients_of_a_squeeze_and_excitation_block():
    """x is read by the mean and by the product, so its gradient is added up."""
    nodes = (
        Node("squeeze", "mean", ("images",), {"axes": (1, 2)}),
        Node("gate", "hard_sigmoid", ("squeeze",)),
        Node("scaled", "multiply", ("gate", "images")),
        Node("joined", "concat", ("scaled", "images", "scaled"), {"axis": 0}),
        Node("part", "slice", ("joined",), {"axis": 0, "start": 1, "stop": 8, "step": 2}),
        Node("dropped", "dropout", ("part",)),
        Node("padded", "pad", ("dropped",), {"pads": (0, 1, 0, 1, 0, 2)}),
        Node("sum", "add", ("padded", "padded")),
    )
    assert_engines_agree(with_weights(nodes, "sum"))


@pytest.mark.parametrize("bounds", [(0.0, 6.0), (-0.5, 0.5), (0.25, 1.0)])
def test_clip_behind_batch_norm(bounds):
    nodes = (
        Node("bn", "batch_norm", ("images",), {"channels": 3}),
        Node("clip", "clip", ("bn",), {"low": bounds[0], "high": bounds[1]}),
    )
    assert_engines_agree(with_weights(nodes, "clip"))


def test_an_addition_with_repeated_pixels_is_not_fused():
    nodes = (
        Node("bn", "batch_norm", ("images",), {"channels": 3}),
        Node("mean", "mean", ("images",), {"axes": (1, 2)}),
        Node("join", "add", ("mean", "bn")),
        Node("relu", "relu", ("join",)),
    )
    assert_engines_agree(with_weights(nodes, "relu"))


def assert_engines_agree(graph):
    network, images = make_network(graph), make_images(graph, 3)
    for training in (False, True):
        results = []
        for name in ("numpy", "numba"):
            engine = make_engine(graph, name)
            passed = engine.forward(
                network.parameters, network.buffers, {"images": images},
                training=training, keep=True,
            )  # fmt: skip
            dvalue = np.random.default_rng(6).standard_normal(passed.outputs["logits"].shape)
            gradients = engine.backward(passed, {"logits": dvalue})
            results.append({**passed.outputs, **passed.buffers, **gradients})
        for name, want in results[0].items():
            scale = max(np.abs(want).max(), 1.0)
            assert np.abs(results[1][name] - want).max() <= 1e-12 * scale, (name, training)
