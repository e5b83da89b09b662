"""The parts of a trace in the order of computation, judged by the reference or a second trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.decisions import settle_beginning
from fcpts_ref.oracle.judge import Instead, Judgement, compare, judge_step
from fcpts_ref.oracle.quantities import in_order, quantity_of
from fcpts_ref.oracle.replay import (
    StepInputs,
    begin,
    read_inputs,
    state_inputs,
    thresholds_from,
)
from fcpts_ref.oracle.tolerance import Tolerance
from fcpts_ref.oracle.trace_file import Setting, StepTrace, Trace
from fcpts_ref.pruning.fcpts.step import State

Array = NDArray[Any]
INPUTS = "inputs/"
FIRST = "inputs/threshold_parameters"


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a step: the values found, their judgement, and what it follows from.

    inputs: None before a step, where only the state is compared.
    """

    step: int
    found: Mapping[str, Array]
    judgement: Judgement
    setting: Setting | None
    inputs: StepInputs | None
    names: tuple[str, ...] = field(default=())  # compared, in the order of computation

    @property
    def differences(self) -> tuple[str, ...]:
        """The names of what differs, in the order of computation."""
        return tuple(name for name in self.names if name in self.judgement.differences)

    def judged(self, *, followed: bool) -> Stage:
        """Return the part with wrong values followed, or not, where there is a choice."""
        other = self.judgement.other
        if other is None or self.judgement.followed is followed:
            return self
        return replace(self, judgement=other)


def make_stages(
    mine: Trace,
    reference: Trace | None,
    setting: Setting | None,
    tolerance: Tolerance,
    instead: Instead | None = None,
) -> Iterator[Stage]:
    """Yield the parts in the order of computation, judged on demand.

    instead: gives another value of quantities that were not recorded (``judge_step``).
    Raises InputError for traces that hold too little or share no step.
    """
    if reference is None:
        if setting is None:
            raise InputError(
                "the trace has no notes and network to compute the reference from; "
                "give a second trace"
            )
        yield from _recomputed(mine, setting, tolerance, instead)
        return
    common = [number for number in mine.steps if number in reference.steps]
    if not common:
        raise InputError(f"no step in common: {sorted(mine.steps)} and {sorted(reference.steps)}")
    for number in common:
        yield from _recorded(
            number, mine.steps[number], reference.steps[number], setting, tolerance, instead
        )


def _recomputed(
    mine: Trace, setting: Setting, tolerance: Tolerance, instead: Instead | None
) -> Iterator[Stage]:
    """Take every step with the reference, from the step's own inputs."""
    if not mine.steps:
        raise InputError("the trace has no steps")
    after: tuple[int, list[State]] | None = None
    for number, step in mine.steps.items():
        found = step_values(step)
        left = after[1] if after is not None and after[0] == number - 1 else []
        carried = left[0] if left else None
        if number == 0:
            yield compared(number, found, begin(setting)[0], setting, tolerance)
        elif carried is not None:
            yield compared(number, found, _carried(left, found, tolerance), setting, tolerance)
        inputs = read_inputs(setting, number, step.inputs, carried)
        judgement = judge_step(setting, inputs, step.quantities, tolerance, instead)
        names = in_order(_both(judgement.expected, step.quantities), setting.network.graph)
        yield Stage(number, found, judgement, setting, inputs, tuple(names))
        both = [judgement, *([judgement.other] if judgement.other is not None else [])]
        both.sort(key=lambda one: not one.followed)
        after = number, [one.state for one in both if one.state is not None]


def _carried(
    left: list[State], found: Mapping[str, Array], tolerance: Tolerance
) -> dict[str, Array]:
    """Return the state that the step before left: with its wrong values, or where those were not
    used with the right ones."""
    expected, *others = (state_inputs(state, INPUTS) for state in left)
    for other in others:
        for name, array in other.items():
            if name in found and found[name].shape == array.shape:
                wrong = compare(name, expected[name], found[name], {}, None, tolerance)
                if wrong and not compare(name, array, found[name], {}, None, tolerance):
                    expected[name] = array
    return expected


def _both(expected: Mapping[str, Array], found: Mapping[str, Array]) -> list[str]:
    return [name for name in expected if name in found and quantity_of(name) is not None]


def compared(
    number: int,
    found: Mapping[str, Array],
    expected: dict[str, Array],
    setting: Setting | None,
    tolerance: Tolerance,
) -> Stage:
    """Compare values that follow from nothing in this step."""
    judgement = Judgement(expected=dict(expected))
    names = _both(expected, found)
    for name in names:
        want, got = expected[name], found[name]
        if name == FIRST and number == 0 and setting is not None and want.shape == got.shape:
            want = _first_thresholds(setting, found, want, got, tolerance)
            judgement.expected[name] = want
        difference = compare(name, want, got, expected, setting, tolerance)
        if difference is not None:
            judgement.differences[name] = difference
    judgement.given = expected | {n: found[n] for n in names}
    return Stage(number, found, judgement, setting, None, tuple(names))


def _first_thresholds(
    setting: Setting, found: Mapping[str, Array], want: Array, got: Array, tolerance: Tolerance
) -> Array:
    """Return the thresholds that follow from the rates found, with close decisions as found."""
    rates = found.get("initial_rates")
    if rates is None or rates.shape != want.shape:
        return want
    try:
        want = thresholds_from(setting, rates.astype(float))
    except InputError:
        return want
    return settle_beginning(setting, rates, want, got, tolerance)


def _recorded(
    number: int,
    mine: StepTrace,
    reference: StepTrace,
    setting: Setting | None,
    tolerance: Tolerance,
    instead: Instead | None,
) -> Iterator[Stage]:
    """Compare a step with that of a second trace.

    A value that differs from the second trace's agrees nevertheless if it follows from the values
    found before it, and the second trace's own follows from its own: then only rounding, or an
    earlier difference, is between them.
    """
    found, expected = step_values(mine), step_values(reference)
    graph = None if setting is None else setting.network.graph
    expected = {name: expected[name] for name in in_order(expected, graph)}
    before = {n: v for n, v in expected.items() if is_before_a_step(n)}
    yield compared(number, found, before, setting, tolerance)
    rest = {n: v for n, v in expected.items() if n not in before}
    stage = compared(number, found, rest, setting, tolerance)
    inputs = _given_inputs(number, mine, reference, setting)
    if setting is None or inputs is None or not stage.judgement.differences:
        yield Stage(number, found, stage.judgement, setting, inputs, stage.names)
        return
    theirs = judge_step(setting, inputs, reference.quantities, tolerance)
    judged = judge_step(setting, inputs, mine.quantities, tolerance, instead)
    differences = {
        name: difference
        for name, difference in stage.judgement.differences.items()
        if name in theirs.differences or name not in judged.expected or name in judged.differences
    }
    expected = judged.expected | {n: rest[n] for n in rest if n in theirs.differences}
    judgement = Judgement(expected, judged.given, differences, judged.decided)
    yield Stage(number, found, judgement, setting, inputs, stage.names)


def _given_inputs(
    number: int, mine: StepTrace, reference: StepTrace, setting: Setting | None
) -> StepInputs | None:
    """Return the inputs of the step; None if nothing can be computed from them, only compared."""
    if setting is None:
        return None
    try:
        return read_inputs(setting, number, reference.inputs or mine.inputs, None)
    except InputError:
        return None


def step_values(step: StepTrace) -> dict[str, Array]:
    """Return the quantities and inputs of a step by name, the inputs with a prefix."""
    return step.quantities | {INPUTS + name: array for name, array in step.inputs.items()}


def is_before_a_step(name: str) -> bool:
    """Whether a name belongs to the state before a step."""
    return name.startswith((INPUTS, "initial_rates"))
