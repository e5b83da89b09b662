"""The open points, each a named choice, and the profiles."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.spec.conventions import (
    CHOICES,
    EXTENDED,
    LEAST,
    OPEN_POINTS,
    PAPER,
    PROFILES,
    RELEASED,
    Conventions,
    profile,
)

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
        "initial_allocation",
        "initial_threshold",
        "cosine",
        "rate_update",
        "strict_rate",
        "density",
        "at_target",
        "teacher_batch_norm",
        "threshold_learning_rate",
        "calibration_images",
    }


def test_profiles_by_name():
    assert profile("paper") is PAPER
    assert profile("released") is RELEASED
    assert profile("extended") is EXTENDED
    assert set(PROFILES) == {"paper", "released", "extended"}
    with pytest.raises(InputError, match="expected one of paper, released, extended"):
        profile("Paper")


def test_choices_are_replaced_by_name():
    changed = PAPER.with_choices({"tie": "half", "learning_rate": 0.5})
    assert (changed.tie, changed.learning_rate) == ("half", 0.5)
    assert changed.with_choices({"tie": "pruned", "learning_rate": 0.01}) == PAPER
    assert PAPER.tie == "pruned"


def test_unknown_names():
    with pytest.raises(InputError, match="unknown convention 'ties'"):
        PAPER.with_choices({"ties": "half"})


@pytest.mark.parametrize("name", LEAST)
def test_numbers_out_of_range(name):
    assert name in NAMES
    with pytest.raises(InputError, match=f"{name!r} is .*; expected at least {LEAST[name]}"):
        PAPER.with_choices({name: LEAST[name] - 1 + type(getattr(PAPER, name))(0)})
    PAPER.with_choices({name: type(getattr(PAPER, name))(LEAST[name])})


def test_a_pull_needs_the_gradient_that_it_adds_to():
    with pytest.raises(InputError, match="choose pruned_weight_gradient='dense'"):
        PAPER.with_choices({"pruned_weight_pull": 1e-4})
    choices = {"pruned_weight_gradient": "dense", "pruned_weight_pull": 1e-4}
    assert PAPER.with_choices(choices).uses_pruned_gradients


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_choices(name):
    assert name in NAMES
    assert all(getattr(PAPER, name) in CHOICES[name] for PAPER in PROFILES.values())
    with pytest.raises(InputError, match=f"{name!r} is .*; expected one of"):
        PAPER.with_choices({name: False if name == "exact_rate" else "something"})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("reconstruction_moves_thresholds", "no", "expected True or False"),
        ("nesterov", 1, "expected True or False"),
        ("density_samples", 10.5, "expected a whole number"),
        ("batch_size", True, "expected a whole number"),
        ("momentum", "high", "expected a finite number, such as 0.9"),
        ("learning_rate", float("nan"), "expected a finite number"),
        ("weight_decay", float("inf"), "expected a finite number"),
        ("temperature", None, "expected a finite number"),
        ("initial_allocation", 3, "expected a name, such as 'erk'"),
        ("tie", 0.5, "expected a name"),
    ],
)
def test_values_of_the_wrong_kind(name, value, message):
    with pytest.raises(InputError, match=message) as caught:
        PAPER.with_choices({name: value})
    assert "\n" not in str(caught.value)


def test_whole_and_numpy_numbers_are_numbers():
    changed = PAPER.with_choices({"temperature": 4, "learning_rate": np.float32(0.5)})
    assert (changed.temperature, changed.learning_rate) == (4, 0.5)
    assert PAPER.with_choices({"density_samples": np.int64(7)}).density_samples == 7


def test_conventions_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        PAPER.tie = "half"
