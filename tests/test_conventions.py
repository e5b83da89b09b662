"""The open points: every one a named choice, and the two profiles."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from fcpts_ref.conventions import (
    CHOICES,
    OPEN_POINTS,
    PAPER,
    PROFILES,
    RELEASED,
    Conventions,
    profile,
)
from fcpts_ref.errors import InputError

NAMES = {field.name for field in fields(Conventions)}


def test_eighteen_points_in_order():
    assert [point.number for point in OPEN_POINTS] == list(range(1, 19))


def test_every_convention_belongs_to_exactly_one_point():
    listed = [name for point in OPEN_POINTS for name in point.fields]
    assert sorted(listed) == sorted(NAMES)


def test_every_point_says_what_either_profile_does():
    for point in OPEN_POINTS:
        assert point.question.endswith("?")
        assert point.paper
        assert point.released


def test_profiles_differ_where_their_answers_do():
    different = {name for name in NAMES if getattr(PAPER, name) != getattr(RELEASED, name)}
    assert different == {
        "tie",
        "reconstruction_moves_thresholds",
        "temperature",
        "threshold_parameter",
        "strict_rate",
        "density",
        "at_target",
        "teacher_batch_norm",
        "calibration_images",
    }


def test_profiles_by_name():
    assert profile("paper") is PAPER
    assert profile("released") is RELEASED
    assert set(PROFILES) == {"paper", "released"}
    with pytest.raises(InputError, match="expected one of paper, released"):
        profile("Paper")


def test_choices_are_replaced_by_name():
    changed = PAPER.with_choices({"tie": "half", "learning_rate": 0.5})
    assert (changed.tie, changed.learning_rate) == ("half", 0.5)
    assert changed.with_choices({"tie": "pruned", "learning_rate": 0.01}) == PAPER
    assert PAPER.tie == "pruned"


def test_unknown_names():
    with pytest.raises(InputError, match="unknown convention 'ties'"):
        PAPER.with_choices({"ties": "half"})


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_choices(name):
    assert name in NAMES
    assert all(getattr(PAPER, name) in CHOICES[name] for PAPER in PROFILES.values())
    with pytest.raises(InputError, match=f"{name!r} is 'something'; expected one of"):
        PAPER.with_choices({name: "something"})


def test_conventions_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        PAPER.tie = "half"
