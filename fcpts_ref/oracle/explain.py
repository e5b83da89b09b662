"""Why a quantity differs: the reference computes it again in the ways people get it wrong.

Two kinds of ways: the other choice of an open point, with which the whole step is replayed; and
single formulas, known slips among them (``fcpts_ref.oracle.slips``).  A way explains the
difference if its value is the one that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.oracle import slips
from fcpts_ref.oracle.clue import Array, Clue
from fcpts_ref.oracle.quantities import in_order, quantity_of
from fcpts_ref.oracle.replay import begin, replay
from fcpts_ref.oracle.trace_file import Setting
from fcpts_ref.spec.allocation import ALLOCATIONS
from fcpts_ref.spec.conventions import OPEN_POINTS

SHOWN = 3  # explanations in a report

CHOICES: tuple[tuple[int, dict[str, Any]], ...] = (
    (1, {"tie": "pruned"}),
    (1, {"tie": "half"}),
    (3, {"reconstruction_moves_thresholds": False}),
    (3, {"reconstruction_moves_thresholds": True}),
    (4, {"mask_gradient_reaches_weights": True}),
    (4, {"mask_gradient_reaches_weights": False}),
    *((5, {"temperature": value}) for value in (1.0, 4.0, 2.0)),
    (7, {"threshold_parameter": "sigmoid"}),
    (7, {"threshold_parameter": "threshold"}),
    *((8, {"initial_allocation": name}) for name in ALLOCATIONS),
    (9, {"strict_rate": True}),
    (9, {"strict_rate": False}),
    (10, {"density": "histogram"}),
    (10, {"density": "kernel"}),
    *((10, {"histogram_bins": value}) for value in (99, 100, 101, 256)),
    (11, {"bandwidth": "absolute"}),
    (11, {"bandwidth": "relative"}),
    (11, {"bandwidth_factor": 1.0}),
    (12, {"at_target": "zero"}),
    (12, {"at_target": "negative"}),
    (15, {"student_batch_norm": "evaluation"}),
    (15, {"student_batch_norm": "training"}),
    (15, {"teacher_batch_norm": "training"}),
    (15, {"teacher_batch_norm": "evaluation"}),
    (16, {"nesterov": True}),
    (16, {"nesterov": False}),
    *((16, {"momentum": value}) for value in (0.0, 0.9)),
    *((16, {"weight_decay": value}) for value in (0.0, 3e-4, 1e-4, 5e-4)),
    *((16, {"warmup_epochs": value}) for value in (0, 1)),
    *((16, {"learning_rate": value}) for value in (0.04, 0.01)),
    *((16, {"threshold_learning_rate": value}) for value in (0.04, 0.01)),
)
"""The conventions that are tried, by the number of their open point."""

Matches = Callable[[str, Array], bool]


@dataclass(frozen=True)
class Explanation:
    """One way that gives the value found.

    point: the open point, None for a plain slip.  rest: the quantities of the step that still
    differ with that way, in order; None where it was not tried on the others.
    """

    point: int | None
    text: str
    rest: tuple[str, ...] | None = None

    @property
    def question(self) -> str:
        """What the open point asks."""
        return "" if self.point is None else OPEN_POINTS[self.point - 1].question


def explain(clue: Clue, values: Mapping[str, Array], matches: Matches) -> tuple[Explanation, ...]:
    """The ways that give the value found, the best first.

    values: all that was found in the step.  ``matches(name, expected)`` says whether what was
    found under a name is ``expected``.
    """
    choices = sorted(_by_choice(clue, values, matches), key=lambda one: len(one.rest or ()))
    whole = [one for one in choices if one.rest == ()]
    known: dict[str, Explanation] = {}
    for point, text, value in slips.suspects(clue):
        if text not in known and matches(clue.name, value):
            known[text] = Explanation(point, text)
    partly = [] if whole else [one for one in choices if one.rest]
    return (*whole, *known.values(), *partly)[:SHOWN]


def _by_choice(clue: Clue, values: Mapping[str, Array], matches: Matches) -> Iterator[Explanation]:
    """Other choices of the open points that this quantity can depend on."""
    quantity = quantity_of(clue.name)
    for point, text, setting in _other_settings(clue):
        if quantity is None or point not in quantity.points:
            continue
        otherwise = _replayed(replace(clue, setting=setting))
        if clue.name in otherwise and matches(clue.name, otherwise[clue.name]):
            names = in_order(otherwise, clue.setting.network.graph)
            rest = [n for n in names if n in values and not matches(n, otherwise[n])]
            yield Explanation(point, text, tuple(rest))


def _other_settings(clue: Clue) -> Iterator[tuple[int, str, Setting]]:
    """Every choice but those already made, and the other control."""
    for point, choice in CHOICES:
        (name, value), *_ = choice.items()
        if getattr(clue.conventions, name) != value:
            yield point, f"{name}={value!r}", clue.with_choices(choice)
    control = "projection" if clue.setting.control == "loss" else "loss"
    yield 18, f"control={control!r}", replace(clue.setting, control=control)


def _replayed(clue: Clue) -> Mapping[str, Array]:
    """The step's quantities; those before the first step where the clue lies there."""
    try:
        if clue.inputs is None:
            return begin(clue.setting)[0]
        return replay(clue.setting, clue.inputs)[0]
    except InputError:  # not possible with these inputs
        return {}
