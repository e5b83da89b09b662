"""Causes: at least 80 % of the mutants kept apart have the right one, and none a wrong one."""

from __future__ import annotations

import pytest
from held_out import HELD_OUT, RIGHT
from interventions import run_mutant

from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.mistakes import CATALOGUE, FUNCTIONS
from fcpts_ref.oracle.quantities import QUANTITIES

BY_NAME = {mutant.name: mutant for mutant in HELD_OUT}
SOME = list(BY_NAME)[::7]


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
