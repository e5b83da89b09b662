"""Judge every quantity of a step from the values that were found before it.

The reference takes the step with the values of the trace wherever it has them.  So each quantity is
compared with what follows from the ones found: rounding does not add up, a decision such as a mask
is the one that the implementation made, and a second mistake is not hidden by the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.compare import Difference
from fcpts_ref.oracle.decisions import settle
from fcpts_ref.oracle.quantities import quantity_of
from fcpts_ref.oracle.replay import StepInputs, replay
from fcpts_ref.oracle.tolerance import Tolerance, compare_quantity
from fcpts_ref.oracle.trace_file import Setting
from fcpts_ref.pruning.fcpts.step import State

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass
class Judgement:
    """What was expected of a step, and how it differs.

    expected: by name, what follows from ``given``: the values found where there are any, and the
    reference's own.  decided: how many close decisions were taken as found, by quantity.
    followed: whether wrong values were followed, too; if not, the step does not use them.
    other: the judgement the other way round, where something differs.
    """

    expected: dict[str, Array] = field(default_factory=dict)
    given: dict[str, Array] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    decided: Counter[str] = field(default_factory=Counter)
    state: State | None = None
    followed: bool = True
    other: Judgement | None = None


Instead = Callable[[StepInputs, str, Array, Arrays], Array | None]
"""Of a step's inputs, a quantity's name, its value, and the values before it: another value."""


def judge_step(
    setting: Setting,
    inputs: StepInputs,
    found: Arrays,
    tolerance: Tolerance,
    instead: Instead | None = None,
) -> Judgement:
    """Replay a step with the values found; compare each with what follows from the ones before it.

    Wrong values are followed too, unless the step cannot be taken with them, or the values after
    them are nearer to those that follow from the right ones: then they were recorded, not used.
    instead: gives another value of quantities that were not recorded, as a mistake would.
    Raises InputError if the inputs do not make a step.
    """
    try:
        followed = _judge(setting, inputs, found, tolerance, follow=True, instead=instead)
    except InputError:
        return _judge(setting, inputs, found, tolerance, follow=False)
    if not followed.differences:
        return followed
    apart = _judge(setting, inputs, found, tolerance, follow=False)
    followed.other, apart.other = apart, followed
    return apart if len(apart.differences) < len(followed.differences) else followed


def _judge(
    setting: Setting,
    inputs: StepInputs,
    found: Arrays,
    tolerance: Tolerance,
    *,
    follow: bool,
    instead: Instead | None = None,
) -> Judgement:
    result = Judgement(followed=follow)

    def observe(name: str, value: Any) -> Any:
        want = np.array(value)
        got = found.get(name)
        if got is None or quantity_of(name) is None:
            other = instead(inputs, name, want, result.given) if instead is not None else None
            result.expected[name] = result.given[name] = want if other is None else other
            return other
        if got.shape == want.shape:
            want, taken = settle(name, want, got, result.given, setting, inputs, tolerance)
            result.decided[name.partition("/")[0]] += taken
        result.expected[name] = want
        difference = compare(name, want, got, result.given, setting, tolerance)
        if difference is not None:
            result.differences[name] = difference
        usable = difference is None or (
            follow and got.shape == want.shape and bool(np.isfinite(got).all())
        )
        given = got.astype(np.float64) if usable else want
        result.given[name] = given
        return given if given.ndim else given[()]

    _, result.state = replay(setting, inputs, observe)
    return result


def compare(
    name: str, want: Array, got: Array, given: Arrays, setting: Setting | None, tolerance: Tolerance
) -> Difference | None:
    """Return the difference, without gradients of pruned weights if nothing uses them."""
    kind, _, item = name.partition("/")
    if kind == "dsparse_weight" and setting is not None and want.shape == got.shape:
        kept = given.get(f"sparse_weight/{item}")
        used = setting.conventions.uses_pruned_gradients
        if kept is not None and kept.shape == want.shape and not used:
            want, got = np.where(kept != 0, want, 0.0), np.where(kept != 0, got, 0.0)
    quantity = quantity_of(name)
    assert quantity is not None
    return compare_quantity(name, quantity, want, got, tolerance, least=_summed(name, given))


def _summed(name: str, given: Arrays) -> float:
    """Return the magnitude of the numbers that the gradient of a bias adds up, if it is one.

    They may cancel: the gradient of a bias before batch norm is 0 but for rounding.
    """
    kind, _, item = name.partition("/")
    node, _, short = item.rpartition(".")
    dy = given.get(f"dactivation/{node}")
    if kind != "dparameter" or short != "bias" or dy is None or dy.ndim < 2:
        return 0.0
    sums = np.abs(dy).sum(axis=(0, *range(2, dy.ndim)))
    return float(sums.max(initial=0.0))
