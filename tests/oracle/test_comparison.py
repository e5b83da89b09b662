"""The comparison of one output: rules, shapes, NaN and infinity, both precisions."""

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.compare import compare_output
from fcpts_ref.oracle.vectors import Expected, Rule

EXACT = Rule("exact", "because")
ULP = Rule("ulp", "because", ulp=2)
CLOSE = Rule("close", "because", rtol=1e-3, atol=1e-6)


def differ(want, got, rule=EXACT, **options):
    return compare_output("y", Expected(np.asarray(want), rule), got, **options)


@pytest.mark.parametrize("rule", [EXACT, ULP, CLOSE])
@pytest.mark.parametrize("value", [0.0, 1.5, np.inf, -np.inf, np.nan, [1.0, 2.0], []])
def test_equal_values_pass(rule, value):
    assert differ(value, value, rule) is None


@pytest.mark.parametrize("rule", [EXACT, ULP, CLOSE])
@pytest.mark.parametrize("got", [np.nan, np.inf, -np.inf, 2.0])
def test_wrong_values_fail_under_every_rule(rule, got):
    assert differ(1.0, got, rule) is not None


@pytest.mark.parametrize("rule", [EXACT, ULP, CLOSE])
@pytest.mark.parametrize(("want", "got"), [(np.nan, 1.0), (np.inf, 1e308), (np.inf, -np.inf)])
def test_non_finite_expectations_are_not_met_by_others(rule, want, got):
    assert differ(want, got, rule) is not None


def test_units_in_the_last_place():
    one_up = np.nextafter(1.0, 2.0)
    assert differ(1.0, one_up, EXACT) is not None
    assert differ(1.0, np.nextafter(one_up, 2.0), ULP) is None
    assert differ(1.0, 1.0 + 3 * np.spacing(1.0), ULP) is not None
    assert differ(0.0, 5e-324, ULP) is None


def test_close_adds_absolute_and_relative_tolerance():
    assert differ(0.0, 9e-7, CLOSE) is None
    assert differ(0.0, 1.1e-6, CLOSE) is not None
    assert differ(1000.0, 1000.9, CLOSE) is None
    assert differ(1000.0, 1001.1, CLOSE) is not None


def test_the_worst_element_is_named_as_a_share_of_its_tolerance():
    found = differ([1.0, 1.0, 1.0], [1.0, 1.002, 1.01], CLOSE)
    assert found.index == (2,)
    assert found.wrong == 2
    assert found.size == 3
    assert found.share == pytest.approx(0.01 / 0.001001)
    assert "[2]" in found.message


def test_nan_is_worse_than_any_number():
    assert differ([1.0, 1.0], [9.0, np.nan], CLOSE).index == (1,)


def test_shape_comes_before_values():
    assert differ(np.zeros((2, 3)), np.zeros((3, 2))).problem == "shape"
    assert differ(np.zeros(1), 0.0).problem == "shape"


def test_dtype_is_compared_only_on_request():
    single = np.ones(2, dtype=np.float32)
    assert differ(single, np.ones(2)) is None
    assert differ(single, np.ones(2), check_dtype=True).problem == "dtype"


@pytest.mark.parametrize("got", ["abc", None, 1j, [[1.0], [1.0, 2.0]]])
def test_values_that_are_not_real_arrays_fail(got):
    assert differ(1.0, got) is not None


def test_float32_widens_tolerances_and_rounds_exact_values():
    third = np.float32(1 / 3)
    assert differ(1 / 3, third, EXACT) is not None
    assert differ(1 / 3, third, EXACT, precision="float32") is None
    assert differ(1 / 3, np.nextafter(third, np.float32(1)), ULP, precision="float32") is None
    with pytest.raises(InputError, match="float16"):
        differ(1.0, 1.0, ULP, precision="float16")


def test_a_vanishing_tolerance_gives_an_infinite_share():
    assert differ(0.0, 1.0, ULP).share == np.inf
    assert "inf times the tolerance" in differ(0.0, 1.0, ULP).message
