"""Find the first quantity at which an implementation diverges from the reference.

The expected values come from a second trace, or the reference computes them from the inputs of
the trace under test, so that every step is judged alone and rounding does not accumulate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.compare import Difference
from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.explain import Explanation, explain
from fcpts_ref.oracle.quantities import Quantity, quantity_of
from fcpts_ref.oracle.replay import replay
from fcpts_ref.oracle.stages import Stage, is_before_a_step, make_stages, step_values
from fcpts_ref.oracle.tolerance import compare_quantity
from fcpts_ref.oracle.trace_file import Trace

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Finding:
    """The first quantity that differs, and how many later ones of its step agree or differ."""

    step: int
    name: str
    quantity: Quantity
    difference: Difference
    later_equal: int
    later_different: int
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, eq=False)
class Divergence:
    """The result of comparing two traces.

    compared: how many quantities agree up to the first difference, by the first part of their
    names.  only_mine, only_reference, unknown: how many were not compared, by the same.
    """

    steps: tuple[int, ...]
    compared: Counter[str]
    last_equal: str
    finding: Finding | None
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

    scale: float
    single: bool
    steps: list[int] = field(default_factory=list)
    compared: Counter[str] = field(default_factory=Counter)
    last_equal: str = ""
    only_mine: Counter[str] = field(default_factory=Counter)
    only_reference: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def differ(self, name: str, want: Array, got: Array) -> Difference | None:
        quantity = quantity_of(name)
        assert quantity is not None
        return compare_quantity(name, quantity, want, got, scale=self.scale, single=self.single)


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
    single = single or any(map(_is_single, (mine, reference)))
    tally = _Tally(scale, single)
    finding = None
    for stage in make_stages(mine, reference, setting):
        if stage.step not in tally.steps:
            tally.steps.append(stage.step)
            on_step(1)
        finding = _compare(stage, step_values(mine.steps[stage.step]), tally)
        if finding is not None:
            break
    _note_the_rest(mine, reference, tally)
    return Divergence(
        tuple(tally.steps),
        tally.compared,
        tally.last_equal,
        finding,
        tally.only_mine,
        tally.only_reference,
        tally.unknown,
    )


def _is_single(trace: Trace | None) -> bool:
    """Whether any quantity of the trace is float32."""
    steps = trace.steps.values() if trace is not None else ()
    return any(a.dtype == np.float32 for step in steps for a in step.quantities.values())


def _compare(stage: Stage, values: dict[str, Array], tally: _Tally) -> Finding | None:
    """Count the quantities that agree; return the first that differs, with its explanations."""
    names = [n for n in stage.expected if n in values and quantity_of(n) is not None]
    for i, name in enumerate(names):
        want, got = _comparable(name, stage, values)
        difference = tally.differ(name, want, got)
        if difference is None:
            tally.compared[_kind(name)] += 1
            tally.last_equal = name
            continue
        later = [tally.differ(n, *_comparable(n, stage, values)) for n in names[i + 1 :]]
        finding = Finding(
            stage.step,
            name,
            quantity_of(name),  # type: ignore[arg-type]  # only names of the table are here
            difference,
            sum(one is None for one in later),
            sum(one is not None for one in later),
        )
        return replace(finding, explanations=_explanations(name, difference, stage, values, tally))
    return None


def _comparable(name: str, stage: Stage, values: dict[str, Array]) -> tuple[Array, Array]:
    """Return the expected and the found array, without gradients of pruned weights if unused."""
    want, got = stage.expected[name], values[name]
    kind, _, item = name.partition("/")
    if kind == "dsparse_weight" and stage.setting is not None and want.shape == got.shape:
        c = stage.setting.conventions
        kept = stage.expected.get(f"sparse_weight/{item}")
        used = c.reconstruction_moves_thresholds or c.mask_gradient_reaches_weights
        if kept is not None and kept.shape == want.shape and not used:
            want, got = np.where(kept != 0, want, 0.0), np.where(kept != 0, got, 0.0)
    return want, got


def _explanations(
    name: str, difference: Difference, stage: Stage, values: dict[str, Array], tally: _Tally
) -> tuple[Explanation, ...]:
    """Return the likely causes, if there is enough to compute them from."""
    before = is_before_a_step(name)
    if stage.setting is None or (stage.inputs is None and not before):
        return ()
    if difference.problem != "value" and name != "initial_rates":
        return ()
    expected = stage.expected
    if stage.inputs is not None:  # a second trace may lack arrays that mistakes need
        expected = replay(stage.setting, stage.inputs)[0] | expected
    evidence = Evidence(name, values[name], expected, stage.setting, stage.inputs)

    def matches(other: str, want: Array) -> bool:
        if other not in values or np.isnan(want).any():
            return False
        return tally.differ(other, want, values[other]) is None

    with np.errstate(all="ignore"):  # a mistake may overflow or divide by 0
        return explain(evidence, values, matches)


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
