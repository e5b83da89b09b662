"""Causes: at least 80 % of the mutants kept apart have the right one, and none a wrong one."""

from __future__ import annotations

from dataclasses import replace

import kept_apart
import pytest
import written_blind
from held_out import HELD_OUT, RIGHT
from interventions import Mutant, run_mutant

from fcpts_ref.oracle import passed_on
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.diverge_report import format_divergence, make_json
from fcpts_ref.oracle.mistakes import CATALOGUE, FUNCTIONS
from fcpts_ref.oracle.quantities import QUANTITIES

BY_NAME = {mutant.name: mutant for mutant in HELD_OUT}
SOME = list(BY_NAME)[::7]
LATER = {mutant.name: mutant for mutant in kept_apart.KEPT_APART} | written_blind.MUTANTS
RIGHT_LATER = kept_apart.RIGHT | written_blind.RIGHT
FEW = {
    "initial_rates",
    "inputs",
    "rate_factor",
    "thresholds",
    "mask",
    "dense_logits",
    "sparse_logits",
    "reconstruction_loss",
    "rates",
    "control_loss",
    "new_buffer",
    "dthreshold",
    "dparameter",
    "dthreshold_parameter",
    "new_parameter",
    "new_thresholds",
    "final_rate",
    "final_mask",
}
"""The quantities that a training loop has at hand."""

UNSEEN = {
    "the control loss is left out",
    "the control loss enters squared",
    "a number out of nowhere",
    "the density of magnitudes",
    "L_c has weight 10",
}
"""Mutants that change none of these."""

NAMELESS = {
    "no ReLU after an addition",
    "the teacher is softened alone backwards",
    "ReLU leaks backwards",
    "an addition halves the gradient",
    "the pool's gradient is not shared out",
    "no decay on batch norm and biases",
    "decoupled decay",
    "images of 0 to 255",
    "every layer draws with one seed",
}
"""Mutants that are seen, and have no cause."""

IN_OTHER_WORDS = {
    "L_c counts tenfold": {"control_weight=10.0"},
    "the teacher's batch is reversed": {"fed=images reversed"},
}
FROM_FEW = [name for name in (*BY_NAME, *kept_apart.RIGHT) if name not in UNSEEN]


def causes_of(mutant):
    """Return the names of the causes found, those that act together included."""
    finding = diverge(run_mutant(mutant)).finding
    assert finding is not None, f"{mutant.name}: nothing differs"
    return {name for one in finding.explanations for name in (one.name, *one.with_others)}


def test_there_are_many_mutants_of_all_kinds():
    assert len(BY_NAME) == len(HELD_OUT) >= 60
    assert set(RIGHT) == set(BY_NAME)
    changed = {name.partition("/")[0] for mutant in HELD_OUT for name in mutant.wrong}
    assert len(changed) >= 25


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in BY_NAME]
)
def test_no_cause_is_wrong_and_most_are_found(name):
    found = causes_of(BY_NAME[name])
    assert found <= set(RIGHT[name])
    assert found or not RIGHT[name]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if i % 7 else ()) for i, n in enumerate(LATER)]
)
def test_no_cause_of_the_later_ones_is_wrong(name):
    found = causes_of(LATER[name])
    assert found <= set(RIGHT_LATER[name])
    assert found or not RIGHT_LATER[name]


def test_most_of_the_later_ones_have_a_cause():
    assert set(RIGHT_LATER) == set(LATER)
    assert sum(map(bool, RIGHT_LATER.values())) >= 0.8 * len(LATER)


def with_few(name):
    """Return a mutant of which only some quantities are recorded."""
    mutant = (BY_NAME | LATER)[name]
    others = tuple(quantity for quantity in QUANTITIES if quantity not in FEW)
    return replace(mutant, run={**mutant.run, "without": others})


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if i % 9 else ()) for i, n in enumerate(FROM_FEW)],
)
def test_causes_are_found_where_few_quantities_are_recorded(name):
    """A mistake in what is not recorded is found by what follows from it."""
    found = causes_of(with_few(name))
    right = (RIGHT | RIGHT_LATER)[name]
    assert found & (IN_OTHER_WORDS.get(name) or set(right)) or (name in NAMELESS and not found)


def test_what_takes_too_long_to_seek_is_said(monkeypatch):
    mutant = with_few("batch norm divides by the variance")
    result = diverge(run_mutant(mutant))
    assert result.finding.explanations
    assert not result.finding.unsought
    monkeypatch.setattr(passed_on, "MOST", 0)
    result = diverge(run_mutant(mutant))
    assert not result.finding.explanations
    assert result.finding.unsought
    assert "not sought: mistakes in single layers" in format_divergence(
        result, "mine", "the reference"
    )
    assert '"unsought": true' in make_json(result, "mine", "the reference")


def test_a_learning_rate_of_0_is_no_obstacle():
    """In the released profile the factor of the first step is 0."""

    def constant(c):
        rate = c.c.threshold_learning_rate
        return c.state.threshold_parameters - rate * c["threshold_velocity"]

    run = {"kind": "residual", "profile": "released"}
    mutant = Mutant("", {"new_threshold_parameters": constant}, run=run)
    assert causes_of(mutant) == {"rate-not-scheduled"}


def test_rates_that_are_none_are_no_obstacle():
    def nonsense(before, state):
        return {**before, "initial_rates": before["initial_rates"] - 2}, state

    assert causes_of(Mutant("", run={"wrong_begin": nonsense, "steps": 1})) == set()


def test_a_mask_is_not_explained_by_itself():
    """The mask found, times the right one, would be the mask found."""
    mutant = Mutant("", {"mask": lambda c: c.value * (c.w < 0.317)}, run={"steps": 2})
    assert not causes_of(mutant)


def test_most_mutants_have_a_cause():
    assert sum(map(bool, RIGHT.values())) >= 0.8 * len(RIGHT)


def test_the_catalogue_is_complete():
    """Every name is of known quantities, and of those that yield it."""
    for name, mistake in CATALOGUE.items():
        assert mistake.text, name
        assert mistake.formula, name
        assert set(mistake.of) <= set(QUANTITIES), name
        assert set(mistake.of) <= set(FUNCTIONS), name
    assert len({(m.text, m.of) for m in CATALOGUE.values()}) == len(CATALOGUE)
