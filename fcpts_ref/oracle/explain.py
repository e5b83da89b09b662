"""Explain why values differ: the reference recomputes them with each possible cause.

There are two kinds of causes: other choices of the open points, with which whole steps are judged
again, and known mistakes in single formulas (``fcpts_ref.oracle.mistakes``).  A cause is named only
if it gives every value found, in all arrays of its quantities and in the steps that follow; a
mistake in the forward pass may be followed by its gradients or not.  Several mistakes may together
explain what one does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import filterfalse, takewhile
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.case import Case, Place, Restage, kind_of
from fcpts_ref.oracle.choices import CHOICES, changed
from fcpts_ref.oracle.evidence import Array, Arrays, Evidence
from fcpts_ref.oracle.judge import Instead
from fcpts_ref.oracle.mistakes import Mistake, known, values_of
from fcpts_ref.oracle.mistakes.constant import MARK, base_of
from fcpts_ref.oracle.mistakes.slips import SLIP
from fcpts_ref.oracle.quantities import in_order, quantity_of
from fcpts_ref.oracle.replay import StepInputs
from fcpts_ref.oracle.stages import Stage
from fcpts_ref.oracle.tolerance import Tolerance
from fcpts_ref.oracle.trace_file import Setting
from fcpts_ref.spec.conventions import OPEN_POINTS

SHOWN = 4  # explanations in a report
DEEPEST = 3  # mistakes that may explain the values together

WHOLE = {"final_mask", "initial_rates"}
"""Quantities that are computed for all layers together: a mistake cannot concern one alone."""

LEADING = {
    "thresholds",
    "mask",
    "sparse_weight",
    "dense_activation",
    "activation",
    "total_loss",
}
"""Values whose gradients follow them: a mistake there shows in the value, too."""

BESIDE = {
    "reconstruction_loss": ("dsparse_logits",),
    "control_loss": ("dcontrol_drate",),
    "dense_activation": ("activation",),
}
"""Where a general mistake is looked for, too: in a loss's gradient, and in both networks."""


@dataclass(frozen=True)
class Explanation:
    """A cause that gives the values found.

    name: of the mistake, or "FIELD=VALUE" of a choice.  point: the open point, if it is one.
    only: the items that it concerns, if others of the quantity are right.  with_others: other
    mistakes that are needed besides.  apart: what would tell it from the next explanation.
    """

    name: str
    text: str
    point: int | None
    only: tuple[str, ...] = ()
    with_others: tuple[str, ...] = ()
    apart: str = ""

    @property
    def question(self) -> str:
        """The question of the open point; empty without one."""
        return "" if self.point is None else OPEN_POINTS[self.point - 1].question


@dataclass(frozen=True, eq=False)
class _Cause:
    """A candidate: the places that it explains, and the items where it does not apply.

    rank: 0 for a mistake that all its quantities show, 2 for another constant or a slip in the
    formula, more for a general one; 1 more for one that shows in gradients alone, though its value
    is right.
    """

    name: str
    covers: frozenset[Place]
    only: tuple[str, ...] = ()
    rank: int = 0


def explain(
    name: str,
    stage: Stage,
    stages: Sequence[Stage],
    restage: Restage,
    tolerance: Tolerance,
    *,
    followed: bool = True,
) -> tuple[Explanation, ...]:
    """Return the causes that give all values found, at most ``SHOWN``; none if there are none.

    name: the first quantity that differs, in ``stage``.  stages: in order, ``stage`` and others
    around it, against which causes are checked.  restage: judges their steps with another setting.
    followed: whether the steps go on with the wrong values (``Judgement.followed``).
    """
    if stage.setting is None or (stage.inputs is None and name not in stage.judgement.expected):
        return ()
    case = Case(stages, restage, tolerance, followed)
    if (stage.step, name) not in case.wrong:
        return ()
    with np.errstate(all="ignore"):  # a mistake may overflow or divide by 0
        found = _explain_all(case, _to_explain(case, name, stage), DEEPEST)
        return tuple(_told_apart(case, found[:SHOWN]))


def _to_explain(case: Case, name: str, stage: Stage) -> frozenset[Place]:
    """Return what is wrong; the first quantity alone if no step can be taken with its values."""
    follows = stage.judgement.followed or stage.judgement.other is not None
    if follows or case.followed:
        return frozenset(case.wrong)
    return frozenset(place for place in case.wrong if kind_of(place[1]) == kind_of(name))


def _explain_all(case: Case, left: frozenset[Place], depth: int) -> list[Explanation]:
    """Return the explanations of the first place that is left which, with others, explain all."""
    first = min(left, key=case.wrong.index)
    causes = list(_causes(case, first))
    if not any(left <= cause.covers and cause.rank == 0 for cause in causes):
        causes = [_followed_on(case, cause, left) for cause in causes]
    whole = _best([cause for cause in causes if left <= cause.covers])
    if whole or depth <= 1:
        return [_explanation(cause) for cause in whole]
    together: list[Explanation] = []
    best = 0
    for cause in sorted(causes, key=lambda one: (one.rank, len(left - one.covers))):
        if together and cause.rank > best:
            break  # a mistake that says more is known
        others = _explain_all(case, left - cause.covers, depth - 1)
        if others and not _alike(cause.name, others[0]):
            names = (others[0].name, *others[0].with_others)
            together.append(replace(_explanation(cause), with_others=names))
            best = cause.rank
    return [one for one in together if not any(_within(other, one) for other in together)]


def _within(one: Explanation, other: Explanation) -> bool:
    """Whether the other needs all mistakes of this one, and more."""
    return {one.name, *one.with_others} < {other.name, *other.with_others}


def _alike(name: str, other: Explanation) -> bool:
    """Whether the two are one mistake with two constants, which no program makes."""
    base = base_of(name)
    return base != SLIP and base in (base_of(one) for one in (other.name, *other.with_others))


def _followed_on(case: Case, cause: _Cause, left: frozenset[Place]) -> _Cause:
    """Return the cause with what it explains through quantities that were not recorded.

    Gradients follow a mistake in a value by automatic differentiation, or do not.
    """
    setting = case.stages[0].setting
    mistake = known(cause.name)
    if mistake is None or setting is None or cause.only or mistake.general or left <= cause.covers:
        return cause
    tried = set()
    unrecorded = _unrecorded(case) & {*mistake.of}
    for kinds in (unrecorded, frozenset(filterfalse(_is_gradient, unrecorded))):
        if not kinds or kinds in tried:
            continue
        tried.add(kinds)
        instead = _instead(case, setting, cause.name, kinds)
        differences = _differences(case, setting, instead)
        if differences is not None and not differences - set(case.wrong):
            covers = cause.covers | (set(case.wrong) - differences)
            cause = replace(cause, covers=covers) if len(covers) > len(cause.covers) else cause
        if left <= cause.covers:
            break
    return cause


def _unrecorded(case: Case) -> frozenset[str]:
    """Return the kinds of which not all arrays are recorded."""
    return frozenset(
        kind_of(name)
        for stage in case.stages
        for name in stage.judgement.expected
        if name not in stage.found
    )


def _instead(case: Case, setting: Setting, cause: str, kinds: frozenset[str]) -> Instead:
    """Return what gives the values of these kinds with the cause, where they are not recorded."""

    def instead(inputs: StepInputs, name: str, value: Array, given: Arrays) -> Array | None:
        if kind_of(name) not in kinds or _is_dense(name):
            return None
        earlier = case.earlier(inputs.state.step)
        evidence = Evidence(name, value, given, setting, inputs, earlier, value)
        return next((found for _, found in values_of(evidence, cause)), None)

    return instead


def _is_dense(name: str) -> bool:
    """Whether it is about the dense network, which may be computed by other functions."""
    return name.startswith("dense_")


def _best(causes: list[_Cause]) -> list[_Cause]:
    """Return the causes of the first rank that there is."""
    best = min((cause.rank for cause in causes), default=0)
    return [cause for cause in causes if cause.rank == best]


def _causes(case: Case, first: Place) -> Iterator[_Cause]:
    """Yield the choices and mistakes that explain a place, without contradiction elsewhere."""
    yield from _choices(case, first)
    for name in case.values(first):
        cause = _mistake(case, name, first)
        if cause is not None:
            yield cause


def _mistake(case: Case, name: str, first: Place) -> _Cause | None:
    """Return the mistake as a cause; None if any array of its quantities contradicts it.

    An array contradicts it that is wrong in another way, or that is right in one step and has the
    mistake in another.  Items that are right in all steps are not concerned.
    """
    mistake = known(name)
    covers: set[Place] = set()
    right: set[str] = set()
    denied: set[str] = set()  # kinds in which it gives other values than those found
    assert mistake is not None, name
    if not any(case.agrees(first, value) for value in case.values(first)[name]):
        return None
    shows = _shows_in(mistake, kind_of(first[1]))
    shows = (*shows, kind_of(first[1]))  # perhaps from an operand that was not recorded
    for place in case.stage_of:
        if kind_of(place[1]) not in shows:
            continue
        values = case.values(place, name).get(name, [])
        if any(case.agrees(place, value) for value in values):
            if place in case.wrong:
                covers.add(place)
        elif values and place not in case.wrong:
            right.add(place[1])
            denied.add(kind_of(place[1]))
        elif values and kind_of(place[1]) == kind_of(first[1]):
            return None
        elif values:
            denied.add(kind_of(place[1]))
    concerned = {item for _, item in covers}
    kinds, right_kinds = {kind_of(c) for c in concerned}, {kind_of(r) for r in right}
    whole = kinds if mistake.everywhere else WHOLE & kinds
    if right & concerned or right_kinds & whole:
        return None
    dense = {_is_dense(kind) for kind in kinds}
    leading = {kind for kind in LEADING & {*mistake.of} if _is_dense(kind) in dense}
    led = mistake.of[0] in LEADING and _recorded(case, leading)
    if led and not LEADING & kinds:
        return None
    if mistake.together and right_kinds - kinds - {"dense_activation"}:
        return None
    only = tuple(sorted(concerned)) if right_kinds & kinds else ()
    denied_values = {kind for kind in denied - {"dense_activation"} if not _is_gradient(kind)}
    gradients_alone = bool(denied_values) and all(map(_is_gradient, kinds))
    rank = 2 * max(MARK in name, mistake.general) + gradients_alone
    return _Cause(name, frozenset(covers), only, rank)


def _shows_in(mistake: Mistake, kind: str) -> tuple[str, ...]:
    """Return the quantities in which a mistake that shows in one of them is looked for."""
    return mistake.of if not mistake.general else (kind, *BESIDE.get(kind, ()))


def _recorded(case: Case, kinds: set[str]) -> bool:
    return any(kind_of(name) in kinds for _, name in case.stage_of)


def _is_gradient(kind: str) -> bool:
    return kind.startswith("d") and kind not in ("dense_activation", "dense_logits", "densities")


def _choices(case: Case, first: Place) -> Iterator[_Cause]:
    """Yield the other choices of open points with which fewer values differ, and no others."""
    quantity, setting = quantity_of(first[1]), case.stage_of[first].setting
    assert setting is not None
    points = _points(case, first)
    for point, text, change in CHOICES:
        if quantity is None or point not in points:
            continue
        if text not in case.with_choice:
            other = changed(setting, change)
            case.with_choice[text] = None if other is None else _differences(case, other)
        differences = case.with_choice[text]
        if differences is None or not differences < set(case.wrong):
            continue
        if not any(kind_of(name) == kind_of(first[1]) for _, name in differences):
            yield _Cause(text, frozenset(case.wrong) - differences)


def _points(case: Case, place: Place) -> set[int]:
    """Return the open points of a quantity, and of those before it that are not recorded."""
    step, name = place
    stage = case.stage_of[place]
    unrecorded = {
        kind_of(other)
        for other in takewhile(lambda other: other != name, stage.judgement.expected)
        if (step, other) not in case.stage_of
    }
    rows = [quantity_of(kind) for kind in (kind_of(name), *unrecorded)]
    return {point for row in rows if row is not None for point in row.points}


def _differences(case: Case, setting: Setting, instead: Instead | None = None) -> set[Place] | None:
    """Return what differs with another setting; None if the steps cannot be taken with it."""
    try:
        stages = [stage.judged(followed=case.followed) for stage in case.restage(setting, instead)]
    except InputError:
        return None
    found = {(stage.step, name) for stage in stages for name in stage.differences}
    return found & case.stage_of.keys()


def _explanation(cause: _Cause) -> Explanation:
    mistake = known(cause.name)
    if mistake is not None:
        return Explanation(cause.name, _text(cause.name, mistake), mistake.point, cause.only)
    point = next(point for point, text, _ in CHOICES if text == cause.name)
    return Explanation(cause.name, cause.name, point)


def _text(name: str, mistake: Mistake) -> str:
    """Return the mistake in a line, with its constant if it has one."""
    _, mark, constant = name.partition(MARK)
    return f"{mistake.text}: {constant}" if mark else mistake.text


def _told_apart(case: Case, found: list[Explanation]) -> Iterator[Explanation]:
    """Add what would tell the explanations apart, if there are several."""
    for i, one in enumerate(found):
        others = [other for j, other in enumerate(found) if j != i]
        yield replace(one, apart=_apart(case, one, others[0])) if others else one


def _apart(case: Case, one: Explanation, other: Explanation) -> str:
    """Name a quantity that is not recorded and differs between the two, or a step to record."""
    for stage in case.stages:
        graph = stage.setting.network.graph if stage.setting is not None else None
        for name in in_order(stage.judgement.expected, graph):
            if name in stage.found:
                continue
            a, b = (_predicted(case, stage, name, each.name) for each in (one, other))
            if not _equal(a, b):
                return f"recording {name} would tell it from {other.name}"
    if len({stage.step for stage in case.stages}) == 1:
        return f"recording the next step, too, may tell it from {other.name}"
    return f"nothing in these steps tells it from {other.name}; a later one may"


def _predicted(case: Case, stage: Stage, name: str, cause: str) -> Array:
    """Return the value of a quantity with a mistake: its own where the mistake says nothing."""
    values = case.values((stage.step, name), cause).get(cause)
    return values[0] if values else stage.judgement.expected[name]


def _equal(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.allclose(a, b, rtol=1e-9, atol=0))
