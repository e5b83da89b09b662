"""Every subtly wrong implementation is caught by ``check``, and located by ``diverge``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from mutants import MUTANTS
from mutation import replaced
from traced_networks import record

from fcpts_ref.oracle.adapters import load_python_adapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.report import format_report
from fcpts_ref.oracle.vectors import load_cases

PAGE = Path(__file__).resolve().parents[2] / "docs" / "oracle.md"
CASES = load_cases()
REFERENCE = load_python_adapter("reference")
IDS = [mutant.name for mutant in MUTANTS]


def test_the_page_counts_them_right():
    text = f"holds {len(MUTANTS)} subtly wrong implementations"
    assert text in PAGE.read_text(encoding="utf-8")


@cache
def faithful(vectors):
    return check(REFERENCE, CASES, only=vectors)


def run_of(mutant):
    return record(**({"steps": (0, 1)} | mutant.run))


RUNS = {}


def is_faithful(settings, mutant):
    """Whether the run without the mistake agrees; computed once per settings."""
    if settings not in RUNS:
        RUNS[settings] = diverge(run_of(mutant)).ok
    return RUNS[settings]


def test_there_are_many_mutants():
    assert len(MUTANTS) >= 20
    assert len(set(IDS)) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_check_catches_it(mutant):
    with replaced(mutant.original, mutant.wrong(mutant.original)):
        report = check(REFERENCE, CASES, only=mutant.vectors)
    assert report.counts["fail"] > 0, format_report(report)
    assert not report.ok
    right = faithful(mutant.vectors)  # without the mistake
    assert right.ok, format_report(right)


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_diverge_locates_it(mutant):
    with replaced(mutant.original, mutant.wrong(mutant.original)):
        wrong = run_of(mutant)
    result = diverge(wrong)
    assert not result.ok
    assert result.finding.name == mutant.found_at
    found = result.finding.explanations
    assert found[0].point == mutant.point, found
    assert any(mutant.cause in one.text for one in found), found
    assert is_faithful(repr(mutant.run), mutant)  # without the mistake
