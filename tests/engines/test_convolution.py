"""The convolution kernels against the NumPy layer."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from commands import passes_with_two_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.layers import convolution as reference
from fcpts_ref.layers.padding import as_padding, ends

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from engines.twins import convolution as fast
from fcpts_ref.engines.numba.convolution.choice import prefer_sparse
from fcpts_ref.engines.numba.convolution.kept_weights import density
from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan
from fcpts_ref.engines.numba.convolution.tiling import make_tiling
from fcpts_ref.engines.numba.jit.threads import available_threads, using_threads
from fcpts_ref.engines.numba.memory.layout import allocate, interior, make_geometry
from fcpts_ref.engines.numba.simd.types import lanes, static_size
from fcpts_ref.engines.numba.tuning import (
    MASKED_TILE_VECTORS,
    ROW_MIN_IMAGES,
    TILE_VECTORS,
    WINOGRAD_MIN_CHANNELS,
)

SPARSITIES = (0.0, 0.5, 0.9, 1.0)


SIDES = st.integers(0, 3)  # of padding


@st.composite
def problems(draw):
    """A convolution whose kernel fits: arrays x, weight, bias, dy in float64, and its steps."""
    R, S = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    steps = {
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": draw(st.one_of(st.tuples(SIDES, SIDES), st.tuples(*[SIDES] * 4))),
        "dilation": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        "groups": draw(st.sampled_from((1, 1, 2, 3))),
    }
    sizes = []
    pads = map(sum, ends(as_padding(steps["padding"])))
    for kernel, padding, dilation in zip((R, S), pads, steps["dilation"], strict=True):
        least = max(1, dilation * (kernel - 1) + 1 - padding)
        sizes.append(draw(st.integers(least, least + 20)))
    G = steps["groups"]
    channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(draw(st.integers(1, 3)), channels * G, *sizes))
    weight = rng.normal(size=(filters * G, channels, R, S))
    weight[rng.random(weight.shape) < draw(st.sampled_from(SPARSITIES))] = 0
    if draw(st.booleans()):
        weight[0] = 0  # an empty output row
    y, _ = reference.convolution_forward(x, weight, **steps)
    return x, weight, rng.normal(size=filters * G), rng.normal(size=y.shape), steps


def assert_close(actual, expected, magnitude, terms, dtype):
    """|error| within that of a sum of ``terms`` products whose magnitudes sum to ``magnitude``.

    The standard bound is gamma = n u / (1 - n u), once for this sum and once for the reference
    (that is, 2 n u to first order); in float64 it must be within 1e-12 of the magnitude, too.
    """
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    unit = np.finfo(dtype).eps / 2
    bound = 2 * (terms + 2) * unit
    if dtype == np.float64:
        bound = min(bound, 1e-12)
    assert np.all(np.abs(actual - expected) <= bound * magnitude)


# F(4 x 4, 3 x 3) as its kernel has it (convolution/winograd/correlation.py)
A = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 1 / 2, -2, 0],
        [0, 1, 1, 1 / 4, 4, 0],
        [0, 1, -1, 1 / 8, -8, 1],
    ]
)
G = np.array([[15, 0, 0], [5, 5, 5], [-5, 5, -5], [-16, -8, -4], [1, -2, 4], [0, 0, 15]]) / 15
B = np.array(
    [
        [1, -3 / 2, -2, 3 / 2, 1, 0],
        [0, -1, 1 / 2, 5 / 2, 1, 0],
        [0, 1, -5 / 2, 1 / 2, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 1 / 2, -1, -1 / 2, 1, 0],
        [0, 1, -3 / 2, -2, 3 / 2, 1],
    ]
)
# Roundings of a number beside those of its sum over channels, or of a filter's gradient over
# tiles: 3 of a part of the input along a row and along a column each, 4 of outputs or their
# parts, and 8 of the filter's side, which is worked out in float64.
SQUARE_ROUNDINGS = 2 * 3 + 2 * 4 + 8


def tiles_of(x, padding):
    """The 6 x 6 inputs of each tile: (N, C, P, Q, 6, 6)."""
    x = np.pad(x, ((0, 0), (0, 0), *ends(as_padding(padding))))
    return np.lib.stride_tricks.sliding_window_view(x, (6, 6), (2, 3))[:, :, ::4, ::4]


def both_ways(left, tiles):
    """left @ tile @ left^T"""
    return np.einsum("iu,...uv,jv->...ij", left, tiles, left, optimize=True)


def by_tiles(x, weight, padding, transform):
    """The correlation of x (N, C, H, W) by F(4 x 4, 3 x 3), its matrices first transformed.

    With np.abs and magnitudes: that of everything which the kernel adds and subtracts for an
    output.  An error bound for the kernel is that times gamma, as in ``assert_close``.
    """
    a, g, b = (transform(matrix) for matrix in (A, G, B))
    parts, inputs = both_ways(g, weight), both_ways(b, tiles_of(x, padding))
    products = np.einsum("kcij,ncpqij->nkpqij", parts, inputs, optimize=True)
    y = both_ways(a, products).swapaxes(3, 4)
    N, K, P, _, Q, _ = y.shape
    return y.reshape(N, K, 4 * P, 4 * Q)


def gradient_by_tiles(dy, x, padding, transform):
    """The same of the weight gradient, dy (N, K, P, Q)."""
    a, g, b = (transform(matrix) for matrix in (A, G, B))
    N, K, P, Q = dy.shape
    outputs = dy.reshape(N, K, P // 4, 4, Q // 4, 4).swapaxes(3, 4)
    parts, inputs = both_ways(a.T, outputs), both_ways(b, tiles_of(x, padding))
    products = np.einsum("nkpqij,ncpqij->kcij", parts, inputs, optimize=True)
    return both_ways(g.T, products)


def rotated(weight):
    """The filters of the input gradient."""
    return weight[:, :, ::-1, ::-1].swapaxes(0, 1)


def check(x, weight, bias, dy, steps, dtype, forward, backward):
    """Both passes in dtype against the reference in float64 on the same (rounded) numbers."""
    x, weight, bias, dy = (a.astype(dtype) for a in (x, weight, bias, dy))
    y, cache = forward(x, weight, bias, **steps)
    dx, dweight, dbias = backward(dy, cache)
    wide = [a.astype(np.float64) for a in (x, weight, bias, dy)]
    size = [np.abs(a) for a in wide]
    expected, wide_cache = reference.convolution_forward(*wide[:3], **steps)
    magnitude, size_cache = reference.convolution_forward(*size[:3], **steps)
    dx_magnitude, dweight_magnitude, _ = reference.convolution_backward(size[3], size_cache)
    terms, dx_terms, dweight_terms = weight[0].size + 1, weight.size, dy[:, 0].size
    plan = fast._plan(x, weight.shape, dtype, steps)
    dense = forward is fast.convolution_forward
    if dense and plan.forward_correlation.winograd:
        magnitude = by_tiles(size[0], size[1], steps["padding"], np.abs)
        magnitude += size[2][:, np.newaxis, np.newaxis]
        terms = weight.shape[1] + 1 + SQUARE_ROUNDINGS
    if dense and plan.backward_correlation.winograd:
        padding = tuple(2 - side for side in as_padding(steps["padding"]))
        dx_magnitude = by_tiles(size[3], rotated(size[1]), padding, np.abs)
        dx_terms = weight.shape[0] + SQUARE_ROUNDINGS
    if dense and plan.gradient.winograd:
        dweight_magnitude = gradient_by_tiles(size[3], size[0], steps["padding"], np.abs)
        dweight_terms = dy[:, 0].size // 16 + SQUARE_ROUNDINGS
    assert_close(y, expected, magnitude, terms, dtype)
    expected = reference.convolution_backward(wide[3], wide_cache)
    assert_close(dx, expected[0], dx_magnitude, dx_terms, dtype)
    if not dense:
        assert np.all(dweight[weight == 0] == 0)
        expected[1][weight == 0] = 0
    assert_close(dweight, expected[1], dweight_magnitude, dweight_terms, dtype)
    np.testing.assert_array_equal(dbias, dy.sum(axis=(0, 2, 3)))


@given(problems(), st.sampled_from((np.float32, np.float64)))
@settings(max_examples=150, deadline=None)
def test_dense_kernels_equal_the_numpy_layer(problem, dtype):
    check(
        *problem, dtype=dtype, forward=fast.convolution_forward, backward=fast.convolution_backward
    )


@given(problems(), st.sampled_from((np.float32, np.float64)))
@settings(max_examples=150, deadline=None)
def test_masked_kernels_equal_the_numpy_layer(problem, dtype):
    check(
        *problem,
        dtype=dtype,
        forward=fast.masked_convolution_forward,
        backward=fast.masked_convolution_backward,
    )


def test_tiles_give_the_correlation():
    rng = np.random.default_rng(4)
    x, weight = rng.normal(size=(2, 3, 10, 14)), rng.normal(size=(5, 3, 3, 3))
    expected, _ = reference.convolution_forward(x, weight, padding=1)
    y = by_tiles(x[:, :, :8, :12], weight, 1, lambda matrix: matrix)
    np.testing.assert_allclose(y[:, :, :7, :11], expected[:, :, :7, :11], atol=1e-12)
    dy = rng.normal(size=(2, 5, 8, 12))
    dweight = reference.convolution_weight_gradient(dy, x[:, :, :8, :12], weight.shape, padding=1)
    got = gradient_by_tiles(dy, x[:, :, :8, :12], 1, lambda matrix: matrix)
    np.testing.assert_allclose(got, dweight, atol=1e-12)


@st.composite
def tile_problems(draw):
    """3 x 3 convolutions of images that divide into tiles; channels do and do not fill them."""
    C, K = (
        draw(st.integers(WINOGRAD_MIN_CHANNELS, 40)),
        draw(st.integers(WINOGRAD_MIN_CHANNELS, 40)),
    )
    padding = draw(st.integers(0, 2))
    N, H = draw(st.integers(1, 10)), draw(st.sampled_from((2, 4, 6, 8, 12, 16)))
    W = draw(st.sampled_from((4, 6, 8, 16, 24, 32)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(N, C, H + 2 - 2 * min(padding, 1), W + 2 - 2 * min(padding, 1)))
    weight = rng.normal(size=(K, C, 3, 3))
    steps = {"padding": padding}
    y, _ = reference.convolution_forward(x, weight, **steps)
    return x, weight, rng.normal(size=K), rng.normal(size=y.shape), steps


@given(tile_problems(), st.sampled_from((np.float32, np.float64)))
@settings(max_examples=60, deadline=None)
def test_winograd_kernels_equal_the_numpy_layer(problem, dtype):
    check(
        *problem, dtype=dtype, forward=fast.convolution_forward, backward=fast.convolution_backward
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [8, 16, 32])
def test_images_of_cifar_networks_divide_into_tiles(dtype, width):
    plan = ConvolutionPlan(make_geometry(width, width, 1), (16, 16, 3, 3), 2, dtype, padding=1)
    expected = lanes(dtype) >= 4
    for correlation in (plan.forward_correlation, plan.backward_correlation):
        assert (correlation.winograd is not None) == expected
    assert (plan.gradient.winograd is not None) == expected


@st.composite
def row_problems(draw):
    """3 x 3 with padding 1 in images whose rows are vectors or half of one; see ``row_plan``."""
    C, K = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    N, H = draw(st.integers(ROW_MIN_IMAGES, 19)), draw(st.sampled_from((1, 2, 4, 8, 12, 16)))
    W = draw(st.sampled_from((2, 4, 8, 16, 32, 64)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x, weight = rng.normal(size=(N, C, H, W)), rng.normal(size=(K, C, 3, 3))
    weight[rng.random(weight.shape) < draw(st.sampled_from(SPARSITIES))] = 0
    return x, weight, rng.normal(size=K), rng.normal(size=(N, K, H, W)), {"padding": 1}


@given(row_problems(), st.sampled_from((np.float32, np.float64)))
@settings(max_examples=60, deadline=None)
def test_row_packed_kernels_equal_the_numpy_layer(problem, dtype):
    check(
        *problem,
        dtype=dtype,
        forward=fast.masked_convolution_forward,
        backward=fast.masked_convolution_backward,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vectors", [0.5, 1, 2, 4])
def test_images_whose_rows_are_vectors_are_copied_into_rows(dtype, vectors):
    width = max(1, int(vectors * lanes(dtype)))
    geometry, shape = make_geometry(8, width, 1), (16, 16, 3, 3)
    plans = [ConvolutionPlan(geometry, shape, N, dtype, padding=1) for N in (ROW_MIN_IMAGES, 1)]
    for plan, expected in zip(plans, (True, False), strict=True):
        for correlation in (plan.forward_correlation, plan.backward_correlation):
            assert (correlation.rows is not None) == expected
        assert (plan.gradient.by_rows is not None) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("halves", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_keep_nan_and_infinity_to_their_image(dtype, halves, value):
    """Nine images, so the last one has no partner; a pruned weight meets neither."""
    N, W, at = 9, halves * lanes(dtype) // 2, (8, 0, 3, 0)
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(N, 4, 8, W)).astype(dtype), rng.normal(size=(6, 4, 3, 3))
    weight[rng.random(weight.shape) < 0.8] = 0
    weight[0] = 0
    weight = weight.astype(dtype)
    x[at] = value
    y, cache = fast.masked_convolution_forward(x, weight, padding=1)
    expected = masked_sum(x, weight)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))
    assert np.isfinite(y[:8]).all()
    assert np.isfinite(y[:, 0]).all()
    dy = rng.normal(size=y.shape).astype(dtype)
    dy[7, 1, 2, W - 1] = value
    dx = fast.masked_convolution_backward(dy, cache)[0]
    rotated = weight.swapaxes(0, 1)[:, :, ::-1, ::-1]
    np.testing.assert_array_equal(np.isfinite(dx), np.isfinite(masked_sum(dy, rotated)))


def masked_sum(x, weight):
    """The correlation with padding 1, in which a weight of zero meets nothing."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    H, W = x.shape[2:]
    y = np.zeros((len(x), len(weight), H, W), x.dtype)
    for k, c, r, s in zip(*np.nonzero(weight), strict=True):
        y[:, k] += weight[k, c, r, s] * padded[:, c, r : r + H, s : s + W]
    return y


def test_weights_changed_in_place_are_transformed_again():
    rng = np.random.default_rng(0)
    geometry = make_geometry(8, 8, 1)
    plan = ConvolutionPlan(geometry, (8, 8, 3, 3), 2, np.float32, padding=1)
    x, y = (allocate(2, 8, geometry, np.float32) for _ in range(2))
    interior(x, geometry)[...] = rng.normal(size=(2, 8, 8, 8))
    weight = rng.normal(size=(8, 8, 3, 3)).astype(np.float32)
    for _ in range(2):
        plan.forward(plan.operands(x, weight), None, y)
        plain = interior(x, geometry).copy()
        expected, _ = reference.convolution_forward(plain, weight, padding=1)
        np.testing.assert_allclose(interior(y, geometry), expected, atol=1e-4)
        weight[3, 5] += 1


CASES = {
    "16 channels of 32 x 32": ((3, 16, 32, 32), (16, 16, 3, 3), {"padding": 1}),
    "32 channels of 16 x 16": ((3, 32, 16, 16), (32, 32, 3, 3), {"padding": 1}),
    "64 channels of 8 x 8": ((3, 64, 8, 8), (64, 64, 3, 3), {"padding": 1}),
    "stem": ((2, 3, 32, 32), (16, 3, 3, 3), {"padding": 1}),
    "stride 2": ((2, 16, 32, 32), (32, 16, 3, 3), {"padding": 1, "stride": 2}),
    "stride 2, halves of 8": ((2, 8, 16, 16), (8, 8, 3, 3), {"padding": 1, "stride": 2}),
    "stride 2 without padding": ((2, 8, 16, 32), (8, 8, 2, 2), {"stride": 2}),
    "1 x 1": ((2, 24, 9, 13), (20, 24, 1, 1), {}),
    "1 x 1, stride 2": ((2, 24, 9, 13), (20, 24, 1, 1), {"stride": 2}),
    "1 x 1, stride 2, whole vectors": ((2, 8, 16, 16), (16, 8, 1, 1), {"stride": 2}),
    "a stride of millions": ((2, 3, 11, 12), (5, 3, 2, 2), {"stride": (1 << 20, 3)}),
    "dilation as the stride": ((2, 4, 9, 12), (8, 4, 3, 3), {"stride": 2, "dilation": 2}),
    "stride beyond the kernel": ((2, 3, 11, 12), (5, 3, 2, 2), {"stride": 3}),
    "5 x 5 without padding": ((2, 6, 14, 14), (16, 6, 5, 5), {}),
    "depthwise": ((2, 12, 16, 16), (12, 1, 3, 3), {"padding": 1, "groups": 12}),
    "depthwise, stride 2": ((2, 6, 16, 16), (12, 1, 3, 3), {"groups": 6, "stride": 2}),
    "dilated": ((2, 4, 20, 20), (8, 4, 3, 3), {"padding": 2, "dilation": 2}),
    "not all lanes": ((2, 20, 6, 10), (9, 20, 3, 3), {"padding": 1}),
    "two pixels wide": ((9, 8, 2, 2), (8, 8, 3, 3), {"padding": 1}),
    "one pixel": ((5, 7, 1, 1), (9, 7, 1, 1), {}),
    "four paddings": ((2, 16, 16, 16), (16, 16, 3, 3), {"padding": (0, 1, 2, 1)}),
    "four paddings in rows": ((8, 8, 16, 16), (8, 8, 3, 3), {"padding": (2, 0, 0, 2)}),
    "padding at the end, stride 2": (
        (2, 8, 16, 16),
        (8, 8, 3, 3),
        {"padding": (0, 0, 1, 1), "stride": 2},
    ),
    "depthwise with padding at the end": (
        (2, 12, 16, 16),
        (12, 1, 3, 3),
        {"padding": (0, 0, 1, 1), "groups": 12, "stride": 2},
    ),
    "padding beyond the kernel": ((2, 4, 6, 6), (8, 4, 2, 2), {"padding": (3, 0, 1, 4)}),
    "no image": ((0, 4, 6, 6), (8, 4, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [False, True])
def test_layers_of_real_networks(case, dtype, masked):
    x_shape, weight_shape, steps = CASES[case]
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=x_shape), rng.normal(size=weight_shape)
    weight[rng.random(weight.shape) < 0.9] = 0
    y, _ = reference.convolution_forward(x, weight, **steps)
    arrays = x, weight, rng.normal(size=len(weight)), rng.normal(size=y.shape)
    forward = fast.masked_convolution_forward if masked else fast.convolution_forward
    backward = fast.masked_convolution_backward if masked else fast.convolution_backward
    check(*arrays, steps, dtype, forward, backward)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_on_one_thread_and_on_two(dtype, request):
    if available_threads() < 2:
        assert passes_with_two_threads(request.node.nodeid)
        return
    rng = np.random.default_rng(1)
    x = rng.normal(size=(19, 8, 16, 16)).astype(dtype)
    weight = rng.normal(size=(16, 8, 3, 3)).astype(dtype)
    weight[rng.random(weight.shape) < 0.7] = 0
    dy = rng.normal(size=(19, 16, 16, 16)).astype(dtype)

    def run():
        for names in ("convolution_{}", "masked_convolution_{}"):
            forward, backward = (getattr(fast, names.format(d)) for d in ("forward", "backward"))
            y, cache = forward(x, weight, padding=1)
            yield y
            yield from backward(dy, cache)[:2]

    with using_threads(1):
        one = list(run())
    with using_threads(2):
        two = list(run())
    for a, b in zip(one, two, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_reach_the_outputs_that_they_reach_in_numpy(value):
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(5, 3, 3, 3))
    x[1, 2, 0, 7] = value
    expected, reference_cache = reference.convolution_forward(x, weight, padding=1)
    y, cache = fast.convolution_forward(x, weight, padding=1)
    np.testing.assert_allclose(y, expected, rtol=1e-10)
    dy = rng.normal(size=y.shape)
    dx, dweight, _ = fast.convolution_backward(dy, cache)
    assert np.isfinite(dx).all()
    expected = reference.convolution_backward(dy, reference_cache)[1]
    assert not np.isfinite(dweight[~np.isfinite(expected)]).any()
    assert np.isfinite(dweight[:, :2]).all()  # the other channels
    dy[0, 0, 0, 0] = value
    dx = fast.convolution_input_gradient(dy, weight, x.shape, padding=1)
    expected = reference.convolution_input_gradient(dy, weight, x.shape, padding=1)
    np.testing.assert_allclose(dx, expected, rtol=1e-10)


def test_pruned_weight_contributes_nothing_even_against_infinity():
    x, weight = np.ones((1, 2, 4, 4)), np.ones((1, 2, 3, 3))
    x[0, 1] = np.inf
    weight[0, 1] = 0
    y, cache = fast.masked_convolution_forward(x, weight, padding=1)
    assert np.isfinite(y).all()
    _, dweight, _ = fast.masked_convolution_backward(np.ones_like(y), cache)
    np.testing.assert_array_equal(dweight[0, 1], 0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sparsity", [0.0, 0.9])
def test_plan_adds_to_dx_and_leaves_borders_zero(stride, sparsity):
    rng = np.random.default_rng(3)
    geometry = make_geometry(9, 7, 1)
    weight = rng.normal(size=(6, 4, 3, 3))
    weight[rng.random(weight.shape) < sparsity] = 0
    plan = ConvolutionPlan(geometry, weight.shape, 2, np.float64, stride=stride, padding=1)
    out = plan.output_geometry
    x, dx = (allocate(2, 4, geometry, np.float64) for _ in range(2))
    y, dy = (allocate(2, 6, out, np.float64) for _ in range(2))
    interior(x, geometry)[...] = rng.normal(size=(2, 4, 9, 7))
    interior(dx, geometry)[...] = before = rng.normal(size=(2, 4, 9, 7))
    interior(dy, out)[...] = gradient = rng.normal(size=(2, 6, out.height, out.width))
    plan.forward(plan.operands(x, weight, density=density(weight)), None, y)
    plan.input_gradient(dy, weight, dx, density=density(weight), add=True)
    steps = {"stride": stride, "padding": 1}
    expected, cache = reference.convolution_forward(interior(x, geometry), weight, **steps)
    np.testing.assert_allclose(interior(y, out), expected, rtol=1e-12, atol=1e-12)
    expected = before + reference.convolution_backward(gradient, cache)[0]
    np.testing.assert_allclose(interior(dx, geometry), expected, rtol=1e-12, atol=1e-12)
    for buffer, shape in ((y, out), (dx, geometry)):
        interior(buffer, shape)[...] = 0
        assert not buffer.any()


def test_components_that_no_tap_reads_take_no_memory():
    for stride, count in ((1 << 30, 9), ((2, 1 << 30), 6), (2, 4), (1, 1)):
        plan = ConvolutionPlan(
            make_geometry(9, 7, 0), (6, 4, 3, 3), 2, np.float64, stride=stride, padding=1
        )
        assert plan.polyphase is not None
        assert plan.polyphase.components.shape[:2] == (2, count * 4)


@st.composite
def strided_depthwise(draw):
    """A depthwise convolution with steps of 2 along rows, in zeros that hold its padding."""
    R, S = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    steps = {
        "stride": (draw(st.integers(1, 3)), 2),
        "padding": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "dilation": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
    }
    sizes = [
        draw(st.integers(d * (k - 1) + 1, 40))
        for k, d in zip((R, S), steps["dilation"], strict=True)
    ]
    K, N = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    x = rng.normal(size=(N, K, *sizes)).astype(dtype)
    weight = rng.normal(size=(K, 1, R, S)).astype(dtype)
    weight[rng.random(weight.shape) < draw(st.sampled_from(SPARSITIES))] = 0
    return x, weight, rng.normal(size=K).astype(dtype), {**steps, "groups": K}


@settings(deadline=None)
@given(strided_depthwise(), st.integers(0, 2), st.booleans())
def test_strided_depthwise_has_the_bits_of_the_components(problem, border, sparse):
    x, weight, bias, steps = problem
    H, W = x.shape[2:]
    geometry, results = make_geometry(H, W, 2), []
    for gradients in (True, False):
        plan = ConvolutionPlan(
            geometry, weight.shape, len(x), x.dtype, border=border, gradients=gradients, **steps
        )
        assert (plan.strided is not None) == (not gradients and lanes(x.dtype) > 1)
        out = plan.output_geometry
        source = allocate(len(x), len(weight), geometry, x.dtype)
        y = allocate(len(x), len(weight), out, x.dtype)
        interior(source, geometry)[...] = x
        operands = plan.operands(source, weight, density=density(weight) if sparse else 1.0)
        plan.forward(operands, bias, y, bounds=(-1.0, 1.0))
        results.append(interior(y, out).copy())
        interior(y, out)[...] = 0
        assert not y.any()
    np.testing.assert_array_equal(*results)
    expected, _ = reference.convolution_forward(x, weight, bias, **steps)
    tolerance = 1e-5 if x.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(results[0], expected.clip(-1, 1), rtol=tolerance, atol=tolerance)


def test_strided_depthwise_takes_the_sums_and_skips_what_is_pruned():
    geometry, shape = make_geometry(9, 40, 1), (3, 1, 3, 3)
    rng = np.random.default_rng(8)
    weight, sums = rng.normal(size=shape), []
    weight[:, :, 1] = 0
    x = allocate(2, 3, geometry, np.float64)
    interior(x, geometry)[...] = rng.normal(size=(2, 3, 9, 40))
    interior(x, geometry)[:, :, 4] = np.inf  # only pruned weights meet it
    for gradients in (True, False):
        plan = ConvolutionPlan(
            geometry, shape, 2, np.float64, stride=2, padding=1, groups=3, gradients=gradients
        )
        y = allocate(2, 3, plan.output_geometry, np.float64)
        sums.append(np.zeros((2, 3, 4)))
        plan.forward(plan.operands(x, weight, density=density(weight)), None, y, sums=sums[-1])
        assert np.isfinite(y).all()
    np.testing.assert_array_equal(*sums)


def test_strided_depthwise_needs_zeros_that_hold_its_padding():
    for border, padding, taken in ((1, 1, True), (0, 1, False), (1, 2, False), (0, 0, True)):
        plan = ConvolutionPlan(
            make_geometry(9, 9, border), (4, 1, 3, 3), 2, np.float32, stride=2, padding=padding,
            groups=4, gradients=False,
        )  # fmt: skip
        assert (plan.strided is not None) == (taken and lanes(np.float32) > 1)


@pytest.mark.parametrize("width", MASKED_TILE_VECTORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_width_of_a_masked_tile(width, dtype):
    """Images whose vectors, and all but one of them, fill a few tiles of this width."""
    rng, shape = np.random.default_rng(width), (5, 8, 3, 3)
    weight = (rng.normal(size=shape) * (rng.random(shape) < 0.3)).astype(dtype)
    for vectors in (width, 2 * width, 2 * width - 1):
        plan = ConvolutionPlan(
            make_geometry(1, vectors * lanes(dtype) - 1, 1), shape, 2, dtype, padding=1,
            prefer=lambda share, planes: True,
        )  # fmt: skip
        tiling = plan.forward_correlation.tiling
        plan.forward_correlation.tiling = tiling._replace(N_VECTORS=static_size(width))
        geometry, out = plan.input_geometry, plan.output_geometry
        x, y = allocate(2, 8, geometry, dtype), allocate(2, 5, out, dtype)
        interior(x, geometry)[...] = rng.normal(size=interior(x, geometry).shape)
        plan.forward(plan.operands(x, weight, density=density(weight)), None, y)
        expected, _ = reference.convolution_forward(interior(x, geometry), weight, padding=1)
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(interior(y, out), expected, rtol=tolerance, atol=tolerance)
        interior(y, out)[...] = 0
        assert not y.any()


def test_the_width_of_a_masked_tile_wastes_little():
    for side in (7, 14, 28, 56):
        geometry = make_geometry(side, side, 1)
        for columns, most in ((9, TILE_VECTORS), (576, max(MASKED_TILE_VECTORS))):
            tiling = make_tiling(geometry, np.float32, columns)
            width = len(tiling.N_VECTORS)
            assert width in MASKED_TILE_VECTORS
            assert width <= most
            computed = -(-tiling.vectors // width) * width
            assert computed <= 1.3 * tiling.vectors


def test_prefer_sparse_by_density_and_planes():
    assert prefer_sparse(0.1, 16)
    assert not prefer_sparse(1.0, 16)
    assert prefer_sparse(1.0, 1)  # depthwise


def test_bad_input():
    x, weight = np.zeros((1, 2, 4, 4)), np.zeros((3, 2, 3, 3))
    with pytest.raises(InputError, match="float32 or float64"):
        fast.convolution_forward(x.astype(np.float32), weight)
    with pytest.raises(InputError, match="float32 or float64"):
        fast.convolution_forward(x.astype(np.float16), weight.astype(np.float16))
    with pytest.raises(InputError, match="groups"):
        fast.convolution_forward(x, weight, groups=2)
    with pytest.raises(InputError, match="larger image"):
        fast.convolution_forward(x[:, :, :2], weight)


@pytest.mark.parametrize("images", [2, ROW_MIN_IMAGES])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_read_the_operands_of_their_pass(stride, images):
    """Passes with other kept weights each, by masked kernels, dense ones, and masked ones again."""
    rng = np.random.default_rng(5)
    masked = [True]
    geometry, shape = make_geometry(16, 16, 1), (8, 8, 3, 3)
    plan = ConvolutionPlan(
        geometry, shape, images, np.float64, stride=stride, padding=1,
        prefer=lambda share, planes: masked[0],
    )  # fmt: skip
    out = plan.output_geometry
    x, y, dy = (allocate(images, 8, g, np.float64) for g in (geometry, out, out))
    for forward, backward in ((True, True), (False, True), (True, False), (True, True)):
        weight = rng.normal(size=shape) * (rng.random(shape) < 0.3)
        interior(x, geometry)[...] = rng.normal(size=(images, 8, 16, 16))
        interior(dy, out)[...] = rng.normal(size=(images, 8, out.height, out.width))
        masked[0] = forward
        operands = plan.operands(x, weight, density=density(weight))
        plan.forward(operands, None, y)
        masked[0], dweight = backward, np.empty(shape)
        plan.kept_weight_gradient(dy, operands, dweight)
        want = reference.convolution_weight_gradient(
            interior(dy, out), interior(x, geometry), shape, stride=stride, padding=1
        )
        np.testing.assert_allclose(dweight, want * (weight != 0), rtol=1e-12, atol=1e-12)
