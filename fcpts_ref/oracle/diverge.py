"""Find the first quantity at which an implementation diverges from the reference.

The expected values come from a second trace, or the reference computes them from the inputs and the
earlier values of the trace under test: every value is judged alone, and rounding does not add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.case import Restage
from fcpts_ref.oracle.compare import Difference
from fcpts_ref.oracle.explain import Explanation, explain
from fcpts_ref.oracle.judge import Instead
from fcpts_ref.oracle.passed_on import hides_nodes, too_large
from fcpts_ref.oracle.patterns import describe_pattern
from fcpts_ref.oracle.quantities import Quantity, quantity_of
from fcpts_ref.oracle.stages import Stage, make_stages
from fcpts_ref.oracle.tolerance import Tolerance
from fcpts_ref.oracle.trace_file import Setting, Trace

LATER = 2  # steps after the first difference that causes are checked against
LATER_OF_SCHEDULE = 8  # where it is the learning rate's factor: most schedules begin alike


@dataclass(frozen=True, eq=False)
class Finding:
    """The first quantity that differs, and how many later ones of its step agree or differ.

    Later ones are judged from the values found: those that differ are wrong in their own right.
    used: whether the step goes on with the wrong value; if not, it is only recorded.
    pattern: how the values found are related to the expected ones, if no cause is known.
    unsought: whether mistakes in single nodes of the network were not sought, for want of recorded
        activations and of time.
    """

    step: int
    name: str
    quantity: Quantity
    difference: Difference
    later_equal: int
    later_different: int
    explanations: tuple[Explanation, ...] = ()
    also: tuple[str, ...] = ()
    pattern: str = ""
    used: bool = True
    unsought: bool = False


@dataclass(frozen=True, eq=False)
class Divergence:
    """The result of comparing two traces.

    compared: how many quantities agree up to the first difference, by the first part of their
    names.  decided: how many close decisions were taken as found, by the same.
    only_mine, only_reference, unknown: how many were not compared, by the same.
    """

    steps: tuple[int, ...]
    compared: Counter[str]
    last_equal: str
    finding: Finding | None
    decided: Counter[str]
    only_mine: Counter[str]
    only_reference: Counter[str]
    unknown: Counter[str]

    @property
    def count(self) -> int:
        """The number of quantities that agree."""
        return self.compared.total()

    @property
    def ok(self) -> bool:
        """Whether at least one quantity was compared, and none differs."""
        return self.finding is None and self.count > 0


@dataclass
class _Tally:
    """The counts of a comparison in progress."""

    steps: list[int] = field(default_factory=list)
    compared: Counter[str] = field(default_factory=Counter)
    last_equal: str = ""
    decided: Counter[str] = field(default_factory=Counter)
    only_mine: Counter[str] = field(default_factory=Counter)
    only_reference: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def diverge(
    mine: Trace,
    reference: Trace | None = None,
    *,
    scale: float = 1.0,
    single: bool = False,
    on_step: Callable[[int], object] = lambda more: None,
) -> Divergence:
    """Compare two traces up to the first difference.

    reference: None to compute the expected values from the network and inputs in ``mine``.
    scale: a factor on all tolerances.  single: use float32's tolerances; they are also used if
    any quantity of either trace is float32.  on_step: called with 1 at the start of a step.
    Quantities that only one trace has are counted but not compared.
    Raises InputError for a bad scale, and for traces that hold too little or share no step.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"the scale of the tolerances is {scale}; expected a number above 0")
    setting = mine.setting
    if reference is not None and reference.setting is not None:
        setting = reference.setting
    tolerance = Tolerance(scale, single or any(map(_is_single, (mine, reference))))
    tally = _Tally()
    stages = make_stages(mine, reference, setting, tolerance)
    agreeing: list[Stage] = []  # of the step in progress: evidence against causes
    finding = None
    for stage in stages:
        if stage.step not in tally.steps:
            tally.steps.append(stage.step)
            on_step(1)
            agreeing = agreeing[-2:]
        _count(stage, tally)
        if stage.differences:
            if "rate_factor" in stage.differences:
                before = _only(mine, _last_steps(mine, stage.step))
                judged = make_stages(before, reference, setting, tolerance)
                agreeing = [one for one in judged if one.step < stage.step]
            seen = [*agreeing, stage, *_next_steps(stages, stage)]
            numbers = {s.step for s in seen} | {stage.step - 1}

            def restage(
                other: Setting, instead: Instead | None = None, numbers: set[int] = numbers
            ) -> Iterator[Stage]:
                theirs = None if reference is None else _only(reference, numbers)
                return make_stages(_only(mine, numbers), theirs, other, tolerance, instead)

            finding = _find(stage, seen, restage, tolerance)
            break
        agreeing.append(stage)
    _note_the_rest(mine, reference, tally)
    return Divergence(
        tuple(tally.steps),
        tally.compared,
        tally.last_equal,
        finding,
        +tally.decided,
        tally.only_mine,
        tally.only_reference,
        tally.unknown,
    )


def _is_single(trace: Trace | None) -> bool:
    """Whether any quantity of the trace is float32."""
    steps = trace.steps.values() if trace is not None else ()
    return any(a.dtype == np.float32 for step in steps for a in step.quantities.values())


def _count(stage: Stage, tally: _Tally) -> None:
    """Count the quantities that agree up to the first that differs."""
    for name in takewhile(lambda name: name not in stage.judgement.differences, stage.names):
        tally.compared[_kind(name)] += 1
        tally.last_equal = name
    tally.decided += stage.judgement.decided


def _last_steps(trace: Trace, step: int) -> set[int]:
    """Return the steps before this one against which a schedule is checked, and itself."""
    return {*[n for n in trace.steps if n < step][-LATER_OF_SCHEDULE:], step}


def _next_steps(stages: Iterator[Stage], first: Stage) -> list[Stage]:
    """Return the rest of this step and the next ones, as far as they can be computed."""
    found: list[Stage] = []
    step, count = first.step, LATER_OF_SCHEDULE if "rate_factor" in first.differences else LATER
    try:
        for stage in stages:
            later = {s.step for s in found if s.step > step}
            if len(later) == count and stage.step not in later:
                break
            found.append(stage)
    except InputError:  # inputs of a later step are missing or broken
        pass
    return found


def _only(trace: Trace, numbers: set[int]) -> Trace:
    return replace(trace, steps={k: step for k, step in trace.steps.items() if k in numbers})


def _find(stage: Stage, seen: list[Stage], restage: Restage, tolerance: Tolerance) -> Finding:
    name = stage.differences[0]
    quantity = quantity_of(name)
    assert quantity is not None
    later = stage.names[stage.names.index(name) + 1 :]
    wrong = [n for n in later if n in stage.judgement.differences]
    difference = stage.judgement.differences[name]
    explanations: tuple[Explanation, ...] = ()
    for followed in (True, False):
        if not explanations:
            explanations = explain(name, stage, seen, restage, tolerance, followed=followed)
    return Finding(
        stage.step,
        name,
        quantity,
        difference,
        len(later) - len(wrong),
        len(wrong),
        explanations,
        tuple(wrong),
        "" if explanations else describe_pattern(name, stage, seen, tolerance),
        stage.judgement.followed,
        not explanations and _is_unsought(stage, name),
    )


def _is_unsought(stage: Stage, name: str) -> bool:
    if stage.setting is None or stage.inputs is None:
        return False
    graph = stage.setting.network.graph
    hidden = hides_nodes(_kind(name), graph, stage.found)
    return hidden and too_large(graph, len(stage.inputs.images))


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _note_the_rest(mine: Trace, reference: Trace | None, tally: _Tally) -> None:
    """Count the quantities that were not compared: on one side only, or unknown."""
    for number, step in mine.steps.items():
        other = reference.steps.get(number) if reference is not None else None
        for name in step.quantities:
            if quantity_of(name) is None:
                tally.unknown[_kind(name)] += 1
            elif other is not None and name not in other.quantities:
                tally.only_mine[_kind(name)] += 1
        for name in other.quantities if other is not None else ():
            if name not in step.quantities:
                tally.only_reference[_kind(name)] += 1
