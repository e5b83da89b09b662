"""Explain why a quantity differs: the reference recomputes it with each possible cause.

There are two kinds of candidates: other choices of the open points, with which the whole step is
replayed, and known mistakes in single formulas (``fcpts_ref.oracle.mistakes``).  A candidate
explains the difference if it gives the value that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.oracle import mistakes
from fcpts_ref.oracle.evidence import Array, Evidence
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
    """A candidate that gives the value found.

    point: the open point; None for a plain mistake.  rest: the quantities of the step that still
    differ with this choice, in order; None for a mistake, which is tried on one quantity only.
    """

    point: int | None
    text: str
    rest: tuple[str, ...] | None = None

    @property
    def question(self) -> str:
        """The question of the open point; empty without one."""
        return "" if self.point is None else OPEN_POINTS[self.point - 1].question


def explain(
    evidence: Evidence, values: Mapping[str, Array], matches: Matches
) -> tuple[Explanation, ...]:
    """Return the candidates that give the value found, the best first, at most ``SHOWN``.

    values: the arrays found in the step.  ``matches(name, expected)``: whether the array found
    under a name agrees with ``expected``.
    """
    choices = sorted(_by_choice(evidence, values, matches), key=lambda one: len(one.rest or ()))
    whole = [one for one in choices if one.rest == ()]
    known: dict[str, Explanation] = {}
    for point, text, value in mistakes.candidates(evidence):
        if text not in known and matches(evidence.name, value):
            known[text] = Explanation(point, text)
    partly = [] if whole else [one for one in choices if one.rest]
    return (*whole, *known.values(), *partly)[:SHOWN]


def _by_choice(
    evidence: Evidence, values: Mapping[str, Array], matches: Matches
) -> Iterator[Explanation]:
    """Yield the other choices of the quantity's open points that give the value found."""
    quantity = quantity_of(evidence.name)
    for point, text, setting in _other_settings(evidence):
        if quantity is None or point not in quantity.points:
            continue
        otherwise = _replayed(replace(evidence, setting=setting))
        if evidence.name in otherwise and matches(evidence.name, otherwise[evidence.name]):
            names = in_order(otherwise, evidence.setting.network.graph)
            rest = [n for n in names if n in values and not matches(n, otherwise[n])]
            yield Explanation(point, text, tuple(rest))


def _other_settings(evidence: Evidence) -> Iterator[tuple[int, str, Setting]]:
    """Yield the setting with every choice not made already, and with the other control."""
    for point, choice in CHOICES:
        (name, value), *_ = choice.items()
        if getattr(evidence.conventions, name) != value:
            yield point, f"{name}={value!r}", evidence.with_choices(choice)
    control = "projection" if evidence.setting.control == "loss" else "loss"
    yield 18, f"control={control!r}", replace(evidence.setting, control=control)


def _replayed(evidence: Evidence) -> Mapping[str, Array]:
    """Return the quantities of the step, or of the initial state if the difference lies there."""
    try:
        if evidence.inputs is None:
            return begin(evidence.setting)[0]
        return replay(evidence.setting, evidence.inputs)[0]
    except InputError:  # the choice is impossible with these inputs
        return {}
