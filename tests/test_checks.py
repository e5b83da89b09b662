"""Arguments that are not numbers, dtypes, and results that no dtype can hold: InputError."""

from __future__ import annotations

import inspect
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from small_networks import make_network, small_resnet

from fcpts_ref.checks import floating_array, real_number, uniform_bins, whole_number
from fcpts_ref.errors import InputError
from fcpts_ref.spec import equations
from fcpts_ref.spec.allocation import allocate
from fcpts_ref.spec.budget import budget, mask_of_count, threshold_of_count
from fcpts_ref.spec.optim import warmup_cosine


class Hostile:
    """An object that fails whatever is done with it."""

    def __array__(self, *arguments, **settings):
        raise RuntimeError("no array")

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


LOGITS = np.array([[0.5, 1.0], [2.0, -1.0]])
ARGUMENTS = {
    "weight": LOGITS,
    "threshold": 0.5,
    "tie": "pruned",
    "mask": LOGITS > 0,
    "rates": [0.25, 0.75],
    "sizes": [3, 4],
    "target": 0.5,
    "dense_logits": LOGITS,
    "sparse_logits": LOGITS[::-1],
    "temperature": 1.0,
    "reconstruction": 1.0,
    "control": 0.5,
    "control_weight": 1.0,
    "dreconstruction_drate": [1.0],
    "dcontrol_drate": [2.0],
    "at_target": "zero",
    "dloss_dmask": LOGITS,
    "dmask_dthreshold": LOGITS,
    "dthreshold_drate": 0.5,
    "samples": LOGITS,
    "bandwidth": 0.5,
    "density_at_threshold": [1.0],
    "density_at_minus_threshold": [1.0],
    "points": [0.5],
    "bins": 3,
    "drate_dthreshold": [0.5],
}
NONSENSE = {
    "None": None,
    "text": "0.5",
    "object": object(),
    "hostile": Hostile(),
    "ragged": [[1.0], [1.0, 2.0]],
    "complex": 1j,
    "dict": {"a": 1.0},
    "set": {0.5},
    "dates": np.array(["2026-01-01"], "datetime64[D]"),
    "masked": np.ma.masked_array(LOGITS, LOGITS > 0),
}
FUNCTIONS = [f for functions in equations.EQUATIONS.values() for f in functions]
CALLS = [
    (function, name)
    for function in FUNCTIONS
    if function.__name__ != "sparse_output"
    for name in inspect.signature(function).parameters
    if name != "strict"
]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(
    ("function", "name"), CALLS, ids=[f"{function.__name__}-{name}" for function, name in CALLS]
)
def test_nonsense_for_any_argument_of_any_equation(function, name, nonsense):
    names = [n for n in inspect.signature(function).parameters if n != "strict"]
    arguments = {n: ARGUMENTS[n] for n in names}
    function(**arguments)
    with pytest.raises(InputError) as caught:
        function(**{**arguments, name: NONSENSE[nonsense]})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["threshold", "target", "temperature", "bandwidth", "bins"])
@pytest.mark.parametrize("bad", [True, np.bool_(True), 10**400, [0.5], np.array([0.5])])
def test_single_numbers_are_single_numbers(name, bad):
    function = next(f for f in FUNCTIONS if name in inspect.signature(f).parameters)
    arguments = {n: ARGUMENTS[n] for n in inspect.signature(function).parameters if n in ARGUMENTS}
    with pytest.raises(InputError):
        function(**{**arguments, name: bad})


def test_objects_that_are_not_networks_or_masks():
    network = make_network(small_resnet())
    with pytest.raises(InputError, match="masks is of type list"):
        equations.sparse_output(network, LOGITS, [])
    for nonsense in NONSENSE.values():
        with pytest.raises(InputError, match="network is of type"):
            equations.sparse_output(nonsense, LOGITS, {})


OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "budget": (budget, {"target": 0.5, "size": 10}),
    "threshold_of_count": (threshold_of_count, {"weight": LOGITS, "count": 2}),
    "mask_of_count": (mask_of_count, {"weight": LOGITS, "count": 2}),
    "allocate": (allocate, {"name": "erk", "weights": {"a": LOGITS}, "target": 0.5}),
    "warmup_cosine": (warmup_cosine, {"step": 1, "steps": 3, "warmup": 1}),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(("name", "argument"), [(n, a) for n in OTHERS for a in OTHERS[n][1]])
def test_nonsense_for_budgets_allocations_and_schedules(name, argument, nonsense):
    function, arguments = OTHERS[name]
    function(**arguments)
    wrong = {"a": None} if (argument, nonsense) == ("weights", "dict") else NONSENSE[nonsense]
    with pytest.raises(InputError) as caught:
        function(**{**arguments, argument: wrong})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "number", [1, 1.0, np.float32(1), np.int8(1), np.array(1.0), Fraction(1), np.longdouble(1)]
)
def test_numbers_of_any_kind(number):
    assert real_number(number, "x", "a number") == 1.0


def test_whole_numbers():
    assert whole_number(np.uint8(3), "n", 1) == 3
    with pytest.raises(InputError, match="n is 0; expected at least 1"):
        whole_number(0, "n", 1)
    for bad in (1.0, True, "1", None):
        with pytest.raises(InputError, match="expected a whole number"):
            whole_number(bad, "n", 1)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
@pytest.mark.parametrize("order", "<>")
def test_floats_of_either_byte_order_keep_their_dtype(dtype, order):
    array = floating_array(np.array([1.5], np.dtype(dtype).newbyteorder(order)))
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array[0] == 1.5


DTYPE_CALLS = {
    "control_loss": lambda a: equations.control_loss(a[0], [70_000, 30_000], 0.5),
    "control_loss_gradient": lambda a: equations.control_loss_gradient(a[0], [7, 3], 0.5),
    "reconstruction_loss": lambda a: equations.reconstruction_loss(a, a[::-1]),
    "reconstruction_loss_gradient": lambda a: equations.reconstruction_loss_gradient(a, a[::-1]),
    "reconstruction_rate_gradient": lambda a: equations.reconstruction_rate_gradient(a, a, 0.5),
    "sparsity_rate_integral": lambda a: equations.sparsity_rate_integral(0.5, a, 0.25),
    "density": lambda a: equations.density(a, a, 0.25),
    "histogram_density": lambda a: equations.histogram_density(a, a, bins=3),
}


@pytest.mark.parametrize("name", DTYPE_CALLS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_every_float_dtype_is_preserved(name, dtype):
    shares = np.array([[0.125, 0.75], [0.5, 0.25]])
    got = np.asarray(DTYPE_CALLS[name](shares.astype(dtype)))
    want = np.asarray(DTYPE_CALLS[name](shares))
    assert got.dtype == dtype
    np.testing.assert_allclose(got.astype(float), want, rtol=4e-3 if dtype == np.float16 else 1e-6)


def test_loss_of_near_logits_at_a_high_temperature_in_float32():
    """Subtracting logarithms in float32 gave 0.040 for 1.1e-7, or less than 0."""
    draw = np.random.default_rng(0).standard_normal
    dense, sparse = draw((8, 10)).astype("f4"), draw((8, 10)).astype("f4")
    want = equations.reconstruction_loss(dense.astype("f8"), sparse.astype("f8"), temperature=1000)
    got = equations.reconstruction_loss(dense, sparse, temperature=1000)
    assert got.dtype == np.float32
    assert abs(got - want) < 1e-6 * want


FAR = np.array([[1e308, -1e308]])
SINGLE = np.array([[1.0, 2.0]], np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: equations.reconstruction_loss(FAR, FAR[:, ::-1]), "scale them down"),
        (lambda: equations.reconstruction_loss(FAR[:, ::-1] * [1, 0], FAR), "scale them down"),
        (lambda: equations.reconstruction_loss(SINGLE, -SINGLE, temperature=1e-50), "outside the"),
        (lambda: equations.reconstruction_loss(SINGLE, -SINGLE, temperature=1e300), "outside the"),
        (lambda: equations.reconstruction_loss_gradient(FAR, -FAR, temperature=0.1), "scale them"),
        (lambda: equations.density([1.0], SINGLE, 1e-50), "outside the range of float32"),
        (lambda: equations.density([1.0], [1.0, 2.0], 5e-324), "use a larger one"),
        (lambda: equations.sparsity_rate_integral(0.5, SINGLE, 1e-50), "outside the range"),
        (lambda: equations.control_loss([0.5, 0.5], [1e308, 1e308], 0.5), "numbers of weights"),
        (lambda: equations.histogram_density([0.0], [-1.7e308, 1.7e308]), "wider dtype"),
        (lambda: equations.histogram_density([0.0], [0.0, 1e-310], bins=1), "fewer bins"),
    ],
)
def test_no_nan_from_finite_numbers(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("low", "steps", "bins"),
    [(1.0, 1, 2), (1.0, 99, 100), (-4.0, 3, 100), (0.0, 50, 100)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bins_narrower_than_the_spacing_of_the_numbers(low, steps, bins, dtype):
    """The specification refuses them itself, whatever this NumPy's ``np.histogram`` does."""
    low = dtype(low)
    high = low
    for _ in range(steps):
        high = np.nextafter(high, dtype(np.inf))
    with pytest.raises(InputError, match="too narrow or too wide"):
        equations.histogram_density([low], np.array([low, high]), bins=bins)
    if low > 0:
        got = equations.histogram_density([low], np.array([low, high, high]), bins=1)
        np.testing.assert_allclose(got, [1 / (high - low)], rtol=1e-6)


def test_bins_of_one_width():
    edges, width = uniform_bins(np.float32(-1), np.float32(1), 4, 10)
    np.testing.assert_array_equal(edges, np.float32([-1, -0.5, 0, 0.5, 1]))
    assert edges.dtype == np.float32
    assert width == np.float32(0.5)
