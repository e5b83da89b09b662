"""Constants that are read from the values found, and slips in formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interventions import Mutant, run_mutant

from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.mistakes.constant import Constant, base_of, number_of, ratio, written

ABOVE = {"target": 0.51, "steps": 3}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.05, "0.05"),
        (1e-5, "1e-05"),
        (-2.0, "-2"),
        (0.0, "0"),
        (256.0, "256"),
        (1 / 3, "1/3"),
        (1 / 64, "1/64"),
        (0.05 * (1 + 1e-9), "0.05"),
        (0.123, ""),
        (np.pi, ""),
        (np.nan, ""),
        (np.inf, ""),
    ],
)
def test_only_round_numbers_are_believed(number, text):
    assert written(number) == text


@given(st.integers(1, 99), st.integers(-9, 9))
def test_a_written_number_is_read_back(digits, exponent):
    number = digits * 10.0**exponent
    assert number_of(written(number)) == pytest.approx(number, rel=1e-12)


def test_a_usual_number_is_no_mistake():
    constant = Constant(lambda found: [float(found), 0.2], lambda c: c, (0.1,))
    assert constant.candidates(np.array(0.1)) == {"0.2": 0.2}


def test_a_ratio_needs_something_to_divide_by():
    assert ratio(np.ones(2), np.zeros(2)) == []
    assert ratio(np.ones(2), np.ones(3)) == []
    assert ratio(np.array([2.0, 6.0]), np.array([1.0, 3.0])) == [2.0]


def causes(wrong, **run):
    finding = diverge(run_mutant(Mutant("", wrong, run=ABOVE | run))).finding
    assert finding is not None
    return [one.name for one in finding.explanations]


def weighted(constant):
    return lambda c: c["reconstruction_loss"] + constant * c["control_loss"]


TOTALS = {
    "total-weight=5": weighted(5.0),
    "total-weight=0.001": weighted(0.001),
    "total-control-twice": weighted(2.0),
    "total-reconstruction-twice": lambda c: 2 * c["reconstruction_loss"] + c["control_loss"],
    "total-reconstruction-weight=3": lambda c: 3 * c["reconstruction_loss"] + c["control_loss"],
    "total-blend=0.3": lambda c: 0.7 * c["reconstruction_loss"] + 0.3 * c["control_loss"],
    "total-sign": lambda c: -c.value,
    "total-difference": weighted(-1.0),
}


@pytest.mark.parametrize("name", TOTALS)
def test_the_weights_of_the_total(name):
    assert causes({"total_loss": TOTALS[name]}) == [name]


def test_a_weight_that_is_no_round_number_is_no_cause():
    assert causes({"total_loss": weighted(1.2345)}) == []


def test_a_weight_that_changes_is_no_cause():
    assert causes({"total_loss": lambda c: weighted(2.0 + c.state.step)(c)}) == []


def test_a_weight_shows_in_the_gradients_too():
    wrong = {
        "total_loss": lambda c: 3 * c["reconstruction_loss"] + c["control_loss"],
        "dsparse_logits": lambda c: 3 * c.value,
    }
    assert causes(wrong) == ["total-reconstruction-weight=3"]


SLIPS = {
    "slip=momentum v - gradient + decay w": {
        "velocity": lambda c: c.value - 2 * c[f"dparameter/{c.item}"]
    },
    "slip=L_rec + 1": {"total_loss": lambda c: c["reconstruction_loss"] + 1},
    "slip=sum(r N) - r_0": {
        "control_loss": lambda c: abs(c["rates"] @ c.N - c.setting.target),
    },
    "slip=w - rate factor": {"new_parameter": lambda c: c.w - c.c.learning_rate * c["rate_factor"]},
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_written_out(name):
    found = causes(SLIPS[name])
    assert found == [name]
    assert base_of(found[0]) == "slip"


def test_a_mistake_with_a_name_is_no_slip():
    assert causes({"velocity": lambda c: c.value * -1}) == ["velocity-sign"]


def test_thresholds_with_which_no_step_can_be_taken_have_a_cause():
    trace = run_mutant(Mutant("", run={"profile": "released", "steps": 1}))
    step = trace.steps[0]
    wrong = {"thresholds": step.inputs["threshold_parameters"]}  # negative, so all is kept
    wrong |= {n: np.ones_like(a) for n, a in step.quantities.items() if n.startswith("mask/")}
    steps = {0: replace(step, quantities={**step.quantities, **wrong})}
    finding = diverge(replace(trace, steps=steps)).finding
    assert [one.name for one in finding.explanations] == ["threshold-without-sigmoid"]


SCALES = {
    "scaled=0.5": {
        "reconstruction_loss": lambda c: c.value / 2,
        "dsparse_logits": lambda c: c.value / 2,
    },
    "scaled=4": {"drate_dthreshold": lambda c: 4 * c.value},
    "scaled=3": {"dparameter": lambda c: 3 * c.value},
}


@pytest.mark.parametrize("name", SCALES)
def test_a_constant_factor_is_a_cause(name):
    assert causes(SCALES[name])[0] == name


def test_a_factor_that_is_no_round_number_is_a_pattern():
    assert causes({"drate_dthreshold": lambda c: 1.2345 * c.value}) == []


def test_one_over_the_batch_is_no_other_batch_size():
    names = causes({"rate_factor": lambda c: c.value * (64 / 4) / 4}, batch_size=4)
    assert not any(base_of(name) == "rate-by-batch-of" for name in names)
    assert names


def test_another_batch_size_is_read_off():
    assert "rate-by-batch-of=128" in causes({"rate_factor": lambda c: c.value / 2}, batch_size=4)
