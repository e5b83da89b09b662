"""Equations 1-14: values, properties, boundaries of the conventions, and bad input."""

from __future__ import annotations

import ast
import inspect
import math

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import rel_entr, softmax
from scipy.stats import gaussian_kde

from fcpts_ref.architectures.plain import plain
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.spec import equations as eq

NAMES = {
    1: {"mask"},
    2: {"sparse_weight", "sparse_output"},
    3: {"control_loss"},
    4: {"reconstruction_loss", "reconstruction_loss_gradient"},
    5: {"total_loss"},
    6: set(),  # the method as a whole: fcpts_ref.sparsify
    7: {"rate_gradient"},
    8: {"control_loss_gradient"},
    9: {"reconstruction_rate_gradient", "mask_threshold_gradient"},
    10: {"sparsity_rate", "sparsity_rate_integral"},
    11: {"rate_threshold_gradient"},
    12: {"density", "histogram_density"},
    13: {"control_threshold_gradient"},
    14: {"reconstruction_threshold_gradient"},
}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])

thresholds = st.floats(0, 3)
seeds = st.integers(0, 10_000)


def draw(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


# The contract


def test_equations_maps_every_number_to_its_functions():
    named = {number: {f.__name__ for f in functions} for number, functions in eq.EQUATIONS.items()}
    assert named == NAMES


def test_the_module_has_exactly_these_names():
    functions = set().union(*NAMES.values())
    assert set(eq.__all__) == functions | {"EQUATIONS"}
    tree = ast.parse(inspect.getsource(eq))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {name for name in defined if not name.startswith("_")} == functions


@pytest.mark.parametrize("number", [number for number in NAMES if NAMES[number]])
def test_docstrings_name_their_equation(number):
    assert f"Equation {number}" in " ".join(f.__doc__ for f in eq.EQUATIONS[number])


def test_signatures():
    """The arguments and defaults of the contract."""
    expected = {
        "mask": "(weight, threshold, *, tie='pruned')",
        "sparse_weight": "(weight, mask)",
        "sparse_output": "(network, images, masks)",
        "control_loss": "(rates, sizes, target)",
        "reconstruction_loss": "(dense_logits, sparse_logits, *, temperature=1.0)",
        "reconstruction_loss_gradient": "(dense_logits, sparse_logits, *, temperature=1.0)",
        "total_loss": "(reconstruction, control, *, control_weight=1.0)",
        "rate_gradient": "(dreconstruction_drate, dcontrol_drate)",
        "control_loss_gradient": "(rates, sizes, target, *, at_target='negative')",
        "reconstruction_rate_gradient": "(dloss_dmask, dmask_dthreshold, dthreshold_drate)",
        "mask_threshold_gradient": "(weight, threshold)",
        "sparsity_rate": "(weight, threshold, *, strict=False)",
        "sparsity_rate_integral": "(threshold, samples, bandwidth)",
        "rate_threshold_gradient": "(density_at_threshold, density_at_minus_threshold)",
        "density": "(points, samples, bandwidth)",
        "histogram_density": "(points, samples, bins=100)",
        "control_threshold_gradient": "(dcontrol_drate, drate_dthreshold)",
        "reconstruction_threshold_gradient": "(dloss_dmask, dmask_dthreshold)",
    }
    for name, signature in expected.items():
        bare = inspect.signature(getattr(eq, name))
        parameters = [
            p.replace(annotation=inspect.Parameter.empty) for p in bare.parameters.values()
        ]
        bare = bare.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
        assert str(bare) == signature, name


# Equations 1 and 2


def test_mask_boundaries():
    """Convention 1."""
    weight = np.array([-0.5, 0.5, np.nextafter(0.5, 1), np.nextafter(0.5, 0), 0.0, -0.0, 2.0])
    np.testing.assert_array_equal(eq.mask(weight, 0.5), [0, 0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(eq.mask(weight, 0.5, tie="half"), [0.5, 0.5, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(eq.mask(weight, 0.0), [1, 1, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(eq.mask(weight, 0.0, tie="half"), [1, 1, 1, 1, 0.5, 0.5, 1])


@given(seeds, thresholds)
def test_mask_is_the_formula(seed, t):
    weight = draw(20, seed=seed)
    want = 0.5 * np.where(np.abs(weight) - t > 0, 1, -1) + 0.5
    np.testing.assert_array_equal(eq.mask(weight, t), want)
    want = 0.5 * np.sign(np.abs(weight) - t) + 0.5
    np.testing.assert_array_equal(eq.mask(weight, t, tie="half"), want)


@given(seeds, thresholds, thresholds, st.sampled_from(["pruned", "half"]))
def test_masks_are_monotone_in_the_threshold(seed, one, other, tie):
    weight = draw(20, seed=seed)
    low, high = sorted((one, other))
    assert (eq.mask(weight, high, tie=tie) <= eq.mask(weight, low, tie=tie)).all()
    assert eq.sparsity_rate(weight, high) >= eq.sparsity_rate(weight, low)


def test_mask_compares_exactly_in_float32():
    """A float64 threshold next to a float32 weight does not round onto it."""
    weight = np.array([0.1], np.float32)
    at = float(weight[0])
    assert eq.mask(weight, np.nextafter(at, 0)) == 1
    assert eq.mask(weight, at) == 0
    assert eq.sparsity_rate(weight, np.nextafter(at, 0)) == 0
    assert eq.sparsity_rate(weight, at, strict=True) == 0
    assert eq.sparsity_rate(weight, np.nextafter(at, 1), strict=True) == 1


def test_sparse_weight():
    weight, kept = draw(2, 3), np.array([[1, 0.5, 0], [0, 1, 1]])
    np.testing.assert_array_equal(eq.sparse_weight(weight, kept), weight * kept)
    np.testing.assert_array_equal(eq.sparse_weight(weight, kept == 1), weight * (kept == 1))


def test_sparse_output():
    graph = plain(classes=3, widths=(2,), input_shape=(1, 4, 4))
    network = initialise(graph, np.random.default_rng(0), dtype=np.float64)
    images = np.random.default_rng(1).random((2, 1, 4, 4))
    np.testing.assert_array_equal(eq.sparse_output(network, images, {}), network(images))
    kept = eq.mask(network.parameters["linear.weight"], 0.3)
    changed = {**network.parameters, "linear.weight": network.parameters["linear.weight"] * kept}
    got = eq.sparse_output(network, images, {"linear.weight": kept})
    np.testing.assert_array_equal(got, network.with_parameters(changed)(images))
    none = {name: np.zeros(network.parameters[name].shape) for name in graph.prunable}
    want = np.broadcast_to(network.parameters["linear.bias"], (2, 3))
    np.testing.assert_array_equal(eq.sparse_output(network, images, none), want)


# Equations 3, 5, 7 and 8


def test_control_loss():
    rates, sizes = np.array([0.5, 0.75]), np.array([10, 30])
    assert_close(eq.control_loss(rates, sizes, 0.9), 0.9 - 27.5 / 40)
    assert_close(eq.control_loss(rates, sizes, 0.5), 27.5 / 40 - 0.5)


def test_control_loss_gradient_at_the_target():
    """Convention 12."""
    rates, sizes = [0.5, 0.75], [2, 2]
    share = np.array([0.5, 0.5])
    np.testing.assert_array_equal(eq.control_loss_gradient(rates, sizes, 0.5), share)
    np.testing.assert_array_equal(eq.control_loss_gradient(rates, sizes, 0.75), -share)
    np.testing.assert_array_equal(eq.control_loss_gradient(rates, sizes, 0.625), -share)
    zero = eq.control_loss_gradient(rates, sizes, 0.625, at_target="zero")
    np.testing.assert_array_equal(zero, [0, 0])


@given(seeds, st.floats(0, 0.99))
def test_control_loss_gradient_is_the_derivative(seed, target):
    generator = np.random.default_rng(seed)
    rates, sizes = generator.uniform(0.1, 0.9, 3), generator.integers(1, 99, 3)
    gradient = eq.control_loss_gradient(rates, sizes, target)
    if abs((rates * sizes).sum() / sizes.sum() - target) > 1e-3:  # the kink of |.|
        for layer in range(3):
            step = 1e-4 * np.eye(3)[layer]
            ends = [eq.control_loss(rates + sign * step, sizes, target) for sign in (1, -1)]
            assert abs((ends[0] - ends[1]) / 2e-4 - gradient[layer]) <= 1e-10
    assert_close(np.abs(gradient).sum(), 1.0)


def test_layers_without_weights_count_nothing():
    np.testing.assert_array_equal(eq.control_loss_gradient([0.5, 0.9], [8, 0], 0.1), [1, 0])
    assert eq.control_loss([0.5, 0.9], [8, 0], 0.5) == 0


def test_total_loss():
    assert eq.total_loss(1.5, 0.25) == 1.75
    assert eq.total_loss(1.5, 0.25, control_weight=2) == 2.0
    assert eq.total_loss(1.5, 0.25, control_weight=0) == 1.5


def test_rate_gradient():
    np.testing.assert_array_equal(eq.rate_gradient([1.0, -2.0], [0.5, 0.25]), [1.5, -1.75])


# Equation 4


@given(seeds, st.sampled_from([0.5, 1.0, 4.0]))
def test_reconstruction_loss_is_the_kl_divergence(seed, T):
    dense, sparse = draw(3, 5, seed=seed), draw(3, 5, seed=seed + 1)
    p, q = softmax(dense / T, axis=1), softmax(sparse / T, axis=1)
    want = T**2 * rel_entr(p, q).sum(axis=1).mean()
    assert_close(eq.reconstruction_loss(dense, sparse, temperature=T), want, 1e-11)


@pytest.mark.parametrize("T", [1.0, 4.0])
def test_reconstruction_loss_gradient_is_the_derivative(T):
    dense, sparse = draw(3, 5), draw(3, 5, seed=1)
    gradient = eq.reconstruction_loss_gradient(dense, sparse, temperature=T)
    for seed in range(3):
        v = draw(3, 5, seed=10 + seed)
        ends = [
            eq.reconstruction_loss(dense, sparse + sign * 1e-5 * v, temperature=T)
            for sign in (1, -1)
        ]
        want = (ends[0] - ends[1]) / 2e-5
        assert abs((gradient * v).sum() - want) <= 1e-8 * np.abs(gradient * v).sum()
    assert np.abs(gradient.sum(axis=1)).max() <= 1e-15  # a shift of the logits changes nothing


def test_reconstruction_loss_edges():
    logits = draw(2, 4)
    assert eq.reconstruction_loss(logits, logits) == 0
    assert not eq.reconstruction_loss_gradient(logits, logits).any()
    assert eq.reconstruction_loss(draw(2, 1), draw(2, 1, seed=1)) == 0
    far = eq.reconstruction_loss([[1000.0, 0.0]], [[0.0, 1000.0]])
    assert far == 1000
    shifted = eq.reconstruction_loss(logits + 3, draw(2, 4, seed=1) - 2)
    assert_close(shifted, eq.reconstruction_loss(logits, draw(2, 4, seed=1)), 1e-13)


# Equations 9 and 14


@given(seeds, thresholds)
def test_mask_threshold_gradient_is_its_own_formula(seed, t):
    """Convention 2 declares a surrogate, which is never compared with differences."""
    weight = draw(30, seed=seed, scale=2)
    u = np.abs(weight) - t
    dsign = np.where((u > -1) & (u < 1), 1.0, 0.0)
    np.testing.assert_array_equal(eq.mask_threshold_gradient(weight, t), -0.5 * dsign)


def test_mask_threshold_gradient_boundaries():
    weight = np.array([0.0, 0.5, 1.5, np.nextafter(1.5, 0), 3.0])
    np.testing.assert_array_equal(eq.mask_threshold_gradient(weight, 0.5), [-0.5, -0.5, 0, -0.5, 0])
    np.testing.assert_array_equal(eq.mask_threshold_gradient([0.5, 0.51], 1.5), [0, -0.5])


def test_reconstruction_threshold_gradient_counts_pruned_weights():
    """Convention 3."""
    weight = np.array([[0.1, -0.2], [2.0, 0.4]])
    dM = draw(2, 2)
    surrogate = eq.mask_threshold_gradient(weight, 0.3)
    got = eq.reconstruction_threshold_gradient(dM, surrogate)
    assert_close(got, -0.5 * (dM[0, 0] + dM[0, 1] + dM[1, 1]))
    assert eq.reconstruction_rate_gradient(dM, surrogate, 2.0) == 2 * got
    assert eq.reconstruction_threshold_gradient(np.empty((0, 2)), np.empty((0, 2))) == 0


# Equation 10


def test_sparsity_rate_boundaries():
    """Convention 9."""
    weight = np.array([0.0, -0.5, 0.5, 1.0])
    assert eq.sparsity_rate(weight, 0.5) == 0.75
    assert eq.sparsity_rate(weight, 0.5, strict=True) == 0.25
    assert eq.sparsity_rate(weight, 0.0) == 0.25
    assert eq.sparsity_rate(weight, 0.0, strict=True) == 0
    assert eq.sparsity_rate(weight, 1.0) == 1


@given(seeds, thresholds)
def test_sparsity_rate_counts_the_zeros_of_the_mask(seed, t):
    weight = np.round(draw(4, 5, seed=seed), 1)
    assert eq.sparsity_rate(weight, round(t, 1)) == (eq.mask(weight, round(t, 1)) == 0).mean()


@given(seeds, thresholds, st.floats(0.05, 2))
def test_integral_is_the_integral_of_the_density(seed, t, h):
    samples = draw(7, seed=seed)
    got = eq.sparsity_rate_integral(t, samples, h)
    points = [s for s in samples if abs(s) < t] or None
    want, _ = quad(
        lambda w: eq.density(w, samples, h), -t, t, points=points, epsabs=1e-12, limit=200
    )
    assert abs(got - want) <= 1e-10
    assert 0 <= got <= 1


@given(seeds, st.floats(0.01, 3), st.floats(0.05, 2))
def test_integral_differentiates_to_equation_11(seed, t, h):
    samples = draw(7, seed=seed)
    step = 1e-5 * min(1, h)
    ends = [eq.sparsity_rate_integral(t + sign * step, samples, h) for sign in (1, -1)]
    want = eq.rate_threshold_gradient(eq.density(t, samples, h), eq.density(-t, samples, h))
    assert abs((ends[0] - ends[1]) / (2 * step) - want) <= 1e-7 / h


def test_integral_edges():
    samples = draw(50)
    assert eq.sparsity_rate_integral(0.0, samples, 0.5) == 0
    assert eq.sparsity_rate_integral(100.0, samples, 0.5) == 1
    tiny = eq.sparsity_rate_integral(1.0, np.array([30.0]), 1.0)  # far in the tail
    assert_close(tiny, 0.5 * math.erfc(29 / math.sqrt(2)), 1e-12)
    assert eq.sparsity_rate_integral(1.0, np.array([-30.0]), 1.0) == tiny


# Equations 11, 12 and 13


@given(seeds, st.floats(0.05, 3), st.integers(2, 30))
def test_density_equals_scipy(seed, h, n):
    samples, points = draw(n, seed=seed), np.linspace(-4, 4, 9)
    factor = h / samples.std(ddof=1)  # SciPy's bandwidth counts standard deviations
    want = gaussian_kde(samples, bw_method=factor)(points)
    assert_close(eq.density(points, samples, h), want, 1e-11)


@given(seeds, st.floats(0.05, 3))
def test_density_integrates_to_1(seed, h):
    samples = draw(6, seed=seed)
    total, _ = quad(
        lambda w: eq.density(w, samples, h),
        samples.min() - 10 * h,
        samples.max() + 10 * h,
        points=sorted(samples),
        limit=200,
    )
    assert abs(total - 1) <= 1e-8


def test_density_of_one_sample_is_the_kernel():
    got = eq.density(np.array([[1.0, 3.0]]), [1.0], 2.0)
    assert_close(got, [[1 / (2 * math.sqrt(2 * math.pi)), math.exp(-0.5) / math.sqrt(8 * math.pi)]])
    assert eq.density(0.5, [1.0], 2.0).shape == ()
    assert eq.density(np.empty((0, 3)), [1.0], 2.0).shape == (0, 3)


def test_rate_threshold_gradient():
    assert eq.rate_threshold_gradient(0.25, 0.5) == 0.75
    np.testing.assert_array_equal(eq.rate_threshold_gradient([1.0, 2.0], [0.5, 0.0]), [1.5, 2.0])


@given(seeds, st.floats(0, 0.99))
def test_equation_13_is_equation_8_times_equation_11(seed, target):
    generator = np.random.default_rng(seed)
    rates, sizes = generator.uniform(0, 1, 4), generator.integers(1, 99, 4)
    layers = [generator.standard_normal(n) for n in sizes]
    p = np.array([eq.density([0.7, -0.7], layer, 0.5) for layer in layers])
    dr_dt = eq.rate_threshold_gradient(p[:, 0], p[:, 1])
    dL_dr = eq.control_loss_gradient(rates, sizes, target)
    got = eq.control_threshold_gradient(dL_dr, dr_dt)
    sign = 1 if (rates * sizes).sum() / sizes.sum() > target else -1
    assert_close(got, sign * sizes / sizes.sum() * (p[:, 0] + p[:, 1]), 1e-14)


# The released code's density (convention 10)


def test_histogram_density_by_hand():
    samples = np.array([0.0, 0.25, 0.5, 0.5, 1.0])  # two bins: [0, 0.5), [0.5, 1]
    points = [0.0, 0.49, 0.5, 0.99, 1.0, -0.01, 1.01]
    first, second = 2 / (5 * 0.5), 3 / (5 * 0.5)
    np.testing.assert_array_equal(
        eq.histogram_density(points, samples, bins=2), [first, first, second, second, 0, 0, 0]
    )


@given(seeds, st.integers(1, 100))
def test_histogram_density_equals_numpy_and_integrates_to_1(seed, bins):
    samples = draw(5, 20, seed=seed)
    heights, edges = np.histogram(samples, bins=bins, density=True)
    centres = (edges[:-1] + edges[1:]) / 2
    got = eq.histogram_density(centres, samples, bins=bins)
    assert_close(got, heights, 1e-12)
    assert_close((got * np.diff(edges)).sum(), 1.0, 1e-12)


def test_histogram_density_of_constant_samples_is_0():
    np.testing.assert_array_equal(eq.histogram_density([[0.1, 0.2]], np.full(9, 0.1)), [[0, 0]])
    assert eq.histogram_density(3.0, [3.0]) == 0


# Every function: dtypes, purity, bad input


CALLS = {
    "mask": lambda a, s: eq.mask(a, 0.5),
    "sparse_weight": lambda a, s: eq.sparse_weight(a, a > 0),
    "control_loss": lambda a, s: eq.control_loss(s, [3, 4], 0.5),
    "reconstruction_loss": lambda a, s: eq.reconstruction_loss(a, a[::-1], temperature=4.0),
    "reconstruction_loss_gradient": lambda a, s: eq.reconstruction_loss_gradient(
        a, a[::-1], temperature=4.0
    ),
    "total_loss": lambda a, s: eq.total_loss(s[0], s[1]),
    "rate_gradient": lambda a, s: eq.rate_gradient(s, s),
    "control_loss_gradient": lambda a, s: eq.control_loss_gradient(s, [3, 4], 0.5),
    "reconstruction_rate_gradient": lambda a, s: eq.reconstruction_rate_gradient(a, a, 0.5),
    "mask_threshold_gradient": lambda a, s: eq.mask_threshold_gradient(a, 0.5),
    "sparsity_rate": lambda a, s: eq.sparsity_rate(a, 0.5),
    "sparsity_rate_integral": lambda a, s: eq.sparsity_rate_integral(0.5, a, 0.5),
    "rate_threshold_gradient": lambda a, s: eq.rate_threshold_gradient(s, s),
    "density": lambda a, s: eq.density(s, a, 0.5),
    "histogram_density": lambda a, s: eq.histogram_density(s, a, bins=3),
    "control_threshold_gradient": lambda a, s: eq.control_threshold_gradient(s, s),
    "reconstruction_threshold_gradient": lambda a, s: eq.reconstruction_threshold_gradient(a, a),
}


def test_all_functions_are_called_here():
    assert set(CALLS) | {"sparse_output", "EQUATIONS"} == set(eq.__all__)


@pytest.mark.parametrize("name", CALLS)
@DTYPES
def test_dtype_in_is_dtype_out_and_nothing_is_changed(name, dtype):
    array, shares = draw(4, 3).astype(dtype), np.array([0.25, 0.75], dtype)
    before = array.copy(), shares.copy()
    result = CALLS[name](array, shares)
    assert np.asarray(result).dtype == dtype
    assert_same_bits(array, before[0])
    assert_same_bits(shares, before[1])
    want = np.asarray(CALLS[name](array.astype(np.float64), shares.astype(np.float64)))
    assert_close(np.asarray(result, np.float64), want, 1e-5 if dtype == np.float32 else 0.0)


@pytest.mark.parametrize("kind", [int, bool])
def test_whole_numbers_become_float64(kind):
    weight = np.array([0, 1, 1], kind)
    assert eq.mask(weight, 0.5).dtype == np.float64
    assert eq.density([0, 1], weight, 1).dtype == np.float64


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (1, 1, 1, 1)])
def test_any_shape(shape):
    weight = np.full(shape, 0.25)
    for result in (
        eq.mask(weight, 0.1),
        eq.sparse_weight(weight, weight),
        eq.mask_threshold_gradient(weight, 0.1),
        eq.density(weight, [0.0], 1.0),
        eq.histogram_density(weight, [0.0, 1.0]),
    ):
        assert isinstance(result, np.ndarray)
        assert result.shape == shape
        assert result.dtype == np.float64


NOT_FINITE = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])


@NOT_FINITE
@pytest.mark.parametrize(
    "call",
    [
        lambda bad: eq.mask([1.0, bad], 0.5),
        lambda bad: eq.mask_threshold_gradient([1.0, bad], 0.5),
        lambda bad: eq.sparsity_rate([1.0, bad], 0.5),
        lambda bad: eq.density([0.0], [1.0, bad], 0.5),
        lambda bad: eq.density([bad], [1.0], 0.5),
        lambda bad: eq.histogram_density([0.0], [1.0, bad]),
        lambda bad: eq.histogram_density([bad], [1.0]),
        lambda bad: eq.sparsity_rate_integral(1.0, [1.0, bad], 0.5),
        lambda bad: eq.reconstruction_loss([[0.0, bad]], [[0.0, 1.0]]),
        lambda bad: eq.reconstruction_loss_gradient([[0.0, 1.0]], [[0.0, bad]]),
        lambda bad: eq.mask([1.0], bad),
        lambda bad: eq.mask_threshold_gradient([1.0], bad),
        lambda bad: eq.sparsity_rate([1.0], bad),
        lambda bad: eq.sparsity_rate_integral(bad, [1.0], 0.5),
        lambda bad: eq.density([0.0], [1.0], bad),
        lambda bad: eq.sparsity_rate_integral(1.0, [1.0], bad),
        lambda bad: eq.reconstruction_loss([[0.0]], [[0.0]], temperature=bad),
        lambda bad: eq.control_loss([bad], [1], 0.5),
        lambda bad: eq.control_loss([0.5], [1], bad),
        lambda bad: eq.control_loss_gradient([0.5], [bad], 0.5),
        lambda bad: eq.total_loss(1.0, 1.0, control_weight=bad),
    ],
)
def test_not_finite(call, bad):
    with pytest.raises(InputError) as caught:
        call(bad)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: eq.mask([1.0], -0.1), "finite magnitude >= 0"),
        (lambda: eq.mask([1.0], [0.1]), "one finite magnitude"),
        (lambda: eq.mask([1.0], 0.1, tie="kept"), "expected 'pruned' or 'half'"),
        (lambda: eq.mask([1j], 0.1), "expected real"),
        (lambda: eq.mask(["1"], 0.1), "expected real"),
        (lambda: eq.sparse_weight([1.0, 2.0], [1.0]), "expected the same"),
        (lambda: eq.control_loss([0.5], [1, 2], 0.5), "one of each for every layer"),
        (lambda: eq.control_loss([], [], 0.5), "one of each for every layer"),
        (lambda: eq.control_loss([[0.5]], [[1]], 0.5), "one of each for every layer"),
        (lambda: eq.control_loss([1.5], [1], 0.5), r"shares in \[0, 1\]"),
        (lambda: eq.control_loss([-0.1], [1], 0.5), r"shares in \[0, 1\]"),
        (lambda: eq.control_loss([0.5], [-1], 0.5), "numbers of weights"),
        (lambda: eq.control_loss([0.5], [0], 0.5), "not all 0"),
        (lambda: eq.control_loss([0.5], [1], 1.0), r"in \[0, 1\)"),
        (lambda: eq.control_loss_gradient([0.5], [1], -0.1), r"in \[0, 1\)"),
        (lambda: eq.control_loss_gradient([0.5], [1], 0.5, at_target="up"), "'zero'"),
        (lambda: eq.reconstruction_loss([[1.0, 2.0]], [[1.0]]), "expected the same"),
        (lambda: eq.reconstruction_loss([1.0], [1.0]), r"\(batch, classes\)"),
        (lambda: eq.reconstruction_loss(np.ones((0, 3)), np.ones((0, 3))), "not empty"),
        (lambda: eq.reconstruction_loss([[1.0]], [[1.0]], temperature=0), "above 0"),
        (lambda: eq.total_loss(1.0, 1.0, control_weight=-1), ">= 0"),
        (lambda: eq.rate_gradient([1.0], [1.0, 2.0]), "expected the same"),
        (lambda: eq.reconstruction_rate_gradient([1.0], [1.0, 2.0], 1.0), "expected the same"),
        (lambda: eq.reconstruction_threshold_gradient([1.0], [1.0, 2.0]), "expected the same"),
        (lambda: eq.control_threshold_gradient([1.0], [1.0, 2.0]), "expected the same"),
        (lambda: eq.sparsity_rate([], 0.5), "at least one weight"),
        (lambda: eq.sparsity_rate_integral(0.5, [], 0.5), "at least one weight"),
        (lambda: eq.sparsity_rate_integral(-0.5, [1.0], 0.5), "magnitude >= 0"),
        (lambda: eq.density([0.0], [], 0.5), "at least one weight"),
        (lambda: eq.density([0.0], [1.0], 0), "equal weights have no standard deviation"),
        (lambda: eq.density([0.0], [1.0], -1), "above 0"),
        (lambda: eq.histogram_density([0.0], []), "at least one weight"),
        (lambda: eq.histogram_density([0.0], [1.0], bins=0), "at least 1"),
        (lambda: eq.histogram_density([0.0], [1.0, np.nextafter(1, 2)]), "use fewer bins"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_masks_of_unknown_weights():
    graph = plain(classes=3, widths=(2,), input_shape=(1, 4, 4))
    network = initialise(graph, np.random.default_rng(0))
    with pytest.raises(InputError, match="no weight of that name"):
        eq.sparse_output(network, np.zeros((1, 1, 4, 4)), {"conv9.weight": np.ones(1)})
    with pytest.raises(InputError, match="expected the same"):
        eq.sparse_output(network, np.zeros((1, 1, 4, 4)), {"linear.weight": np.ones(1)})
