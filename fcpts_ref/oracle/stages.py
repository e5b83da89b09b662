"""The expected content of a trace in parts: a second trace's, or computed by the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.quantities import in_order
from fcpts_ref.oracle.replay import StepInputs, begin, read_inputs, replay, state_inputs
from fcpts_ref.oracle.trace_file import Setting, StepTrace, Trace
from fcpts_ref.pruning.fcpts.step import State

Array = NDArray[Any]
INPUTS = "inputs/"


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a step: its expected quantities, and the setting and inputs they follow from."""

    step: int
    expected: dict[str, Array]
    setting: Setting | None
    inputs: StepInputs | None


def make_stages(mine: Trace, reference: Trace | None, setting: Setting | None) -> Iterator[Stage]:
    """Yield the expected content in the order of computation, computed on demand.

    Raises InputError for traces that hold too little or share no step.
    """
    if reference is None:
        if setting is None:
            raise InputError(
                "the trace has no notes and network to compute the reference from; "
                "give a second trace"
            )
        yield from _recomputed(mine, setting)
        return
    common = [number for number in mine.steps if number in reference.steps]
    if not common:
        raise InputError(f"no step in common: {sorted(mine.steps)} and {sorted(reference.steps)}")
    for number in common:
        yield from _recorded(number, mine.steps[number], reference.steps[number], setting)


def _recomputed(mine: Trace, setting: Setting) -> Iterator[Stage]:
    """Replay every step with the reference, from the step's own inputs."""
    if not mine.steps:
        raise InputError("the trace has no steps")
    after: tuple[int, State] | None = None
    for number, step in mine.steps.items():
        carried = after[1] if after is not None and after[0] == number - 1 else None
        if number == 0:
            yield Stage(number, begin(setting)[0], setting, None)
        elif carried is not None:
            yield Stage(number, state_inputs(carried, INPUTS), setting, None)
        inputs = read_inputs(setting, number, step.inputs, carried)
        expected, state = replay(setting, inputs)
        yield Stage(number, expected, setting, inputs)
        after = number, state


def _recorded(
    number: int, mine: StepTrace, reference: StepTrace, setting: Setting | None
) -> Iterator[Stage]:
    """Yield a step of the second trace."""
    expected, inputs = step_values(reference), None
    graph = None if setting is None else setting.network.graph
    expected = {name: expected[name] for name in in_order(expected, graph)}
    if setting is not None:
        try:
            given = reference.inputs or mine.inputs
            inputs = read_inputs(setting, number, given, None)
        except InputError:  # then nothing can be computed, only compared
            inputs = None
    before = {n: v for n, v in expected.items() if is_before_a_step(n)}
    yield Stage(number, before, setting, None)
    rest = {n: v for n, v in expected.items() if n not in before}
    yield Stage(number, rest, setting, inputs)


def step_values(step: StepTrace) -> dict[str, Array]:
    """Return the quantities and inputs of a step by name, the inputs with a prefix."""
    return step.quantities | {INPUTS + name: array for name, array in step.inputs.items()}


def is_before_a_step(name: str) -> bool:
    """Whether a name belongs to the state before a step."""
    return name.startswith((INPUTS, "initial_rates"))
