"""Statistics that convolutions take of what they write, against sums in float64."""

import numba
import numpy as np
import pytest

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan
from fcpts_ref.engines.numba.memory.layout import allocate, interior, make_geometry
from fcpts_ref.engines.numba.pointwise.batch_norm import combine_statistics
from fcpts_ref.engines.numba.tuning import FLOAT_SUM_VECTORS

# (channels, height, width, images, sparse): rows and tiles, in groups of images that are not
# full, and planes of many tiles; then sums of taps, with rows of no whole vectors
CASES = [
    (16, 32, 32, 3, False),
    (16, 16, 16, 2, False),
    (8, 8, 8, 5, False),
    (8, 256, 32, 1, False),
    (16, 32, 32, 9, True),
    (16, 16, 16, 8, True),
    (8, 8, 8, 9, True),
    (8, 256, 32, 8, True),
    (8, 7, 9, 3, False),
    (8, 7, 9, 3, True),
]


def sums_of(case, dtype, shift=0.0, spoil=None):
    """The sums that a plan takes, those of what it wrote, and the values of a channel."""
    C, H, W, N, sparse = case
    generator = np.random.default_rng(sum(case))
    geometry = make_geometry(H, W, 1)
    plan = ConvolutionPlan(
        geometry, (C, C, 3, 3), N, dtype, padding=1, prefer=lambda share, planes: sparse
    )
    weight = generator.standard_normal((C, C, 3, 3)).astype(dtype)
    weight[generator.random(weight.shape) < 0.8] = 0
    x, y = allocate(N, C, geometry, dtype), allocate(N, C, plan.output_geometry, dtype)
    interior(x, geometry)[...] = generator.standard_normal((N, C, H, W))
    if spoil is not None:
        interior(x, geometry)[-1, :, -1, -1] = spoil
    sums, density = np.full((N, C, 4), np.nan), 0.2 if sparse else 1.0
    bias = np.full(C, shift, dtype)
    plan.forward(plan.operands(x, weight, density=density), bias, y, sums=sums)
    return sums, interior(y, plan.output_geometry).astype(np.float64)


def together(sums):
    """Mean, squared deviations and number of values by channel."""
    centre, linear, square, count = np.moveaxis(sums, 2, 0)
    there = count > 0  # images counted with one before them have nothing to say
    centre, linear, square = (np.where(there, part, 0) for part in (centre, linear, square))
    values = count.sum(axis=0)
    mean = (centre * count + linear).sum(axis=0) / values
    share = linear / np.where(there, count, 1)
    about = square - linear * share + count * (centre + share - mean) ** 2
    return mean, about.sum(axis=0), values


@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_sums_are_those_of_the_values(case, dtype, shift):
    sums, y = sums_of(case, dtype, shift)
    mean, squares, values = together(sums)
    np.testing.assert_array_equal(values, y.size // y.shape[1])
    want = y.mean(axis=(0, 2, 3))
    about = ((y - want[:, np.newaxis, np.newaxis]) ** 2).sum(axis=(0, 2, 3))
    deviation = np.sqrt(about / values)
    # sums in float lanes of FLOAT_SUM_VECTORS / 2 terms, about a centre that is some deviations off
    bound = FLOAT_SUM_VECTORS * np.finfo(dtype).eps
    assert (np.abs(mean - want) <= bound * deviation + 1e-14 * np.abs(want)).all()
    assert (np.abs(squares - about) <= 4 * bound * about).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_batch_norm_counts_every_value_once(case):
    """Partial sums begin as NaN here: numbers that are not written must not count."""
    sums, y = sums_of(case, np.float64)
    C = y.shape[1]
    ones, zeros = np.ones(C), np.zeros(C)
    mean, scale, inverse, new_mean, new_var = (np.empty(C) for _ in range(5))
    combine_statistics(sums, ones, zeros, zeros, 1.0, 0.0, mean, scale, inverse, new_mean, new_var)
    np.testing.assert_allclose(mean, y.mean(axis=(0, 2, 3)), rtol=0, atol=1e-13 * y.std())
    np.testing.assert_allclose(inverse, 1 / y.std(axis=(0, 2, 3)), rtol=1e-13)
    np.testing.assert_array_equal(new_mean, mean)
    np.testing.assert_allclose(new_var, y.var(axis=(0, 2, 3), ddof=1), rtol=1e-13)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equal_values_do_not_deviate(case):
    C, H, W, N, sparse = case
    geometry = make_geometry(H, W, 1)
    plan = ConvolutionPlan(
        geometry, (C, C, 3, 3), N, np.float32, padding=1, prefer=lambda share, planes: sparse
    )
    x, y = (allocate(N, C, geometry, np.float32) for _ in range(2))
    weight, bias = np.zeros((C, C, 3, 3), np.float32), np.full(C, 0.1, np.float32)
    sums, density = np.full((N, C, 4), np.nan), 0.2 if sparse else 1.0
    plan.forward(plan.operands(x, weight, density=density), bias, y, sums=sums)
    mean, squares, _ = together(sums)
    np.testing.assert_allclose(mean, np.float64(bias), rtol=1e-15)
    assert (squares == 0).all()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_shows(case, value):
    sums, y = sums_of(case, np.float32, spoil=value)
    hit = ~np.isfinite(y).all(axis=(0, 2, 3))
    assert hit.any()
    with np.errstate(invalid="ignore"):
        mean, squares, _ = together(sums)
    np.testing.assert_array_equal(np.isfinite(mean), ~hit)
    np.testing.assert_array_equal(np.isfinite(squares), ~hit)
