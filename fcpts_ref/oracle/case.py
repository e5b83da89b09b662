"""The evidence of a comparison: stages, their differences, and the values that mistakes give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from fcpts_ref.oracle.evidence import Array, Arrays, Evidence
from fcpts_ref.oracle.judge import Instead, compare
from fcpts_ref.oracle.mistakes import values_of
from fcpts_ref.oracle.passed_on import passed_on, through_nodes
from fcpts_ref.oracle.stages import Stage
from fcpts_ref.oracle.tolerance import Tolerance
from fcpts_ref.oracle.trace_file import Setting

Place = tuple[int, str]
"""The number of a step and a quantity's name."""


class Restage(Protocol):
    """Judges the same steps with another setting, or with a mistake where nothing is recorded."""

    def __call__(self, other: Setting, instead: Instead | None = None) -> Iterable[Stage]: ...


class Case:
    """All stages seen, their differences, and the values that mistakes give in them."""

    def __init__(
        self, stages: Iterable[Stage], restage: Restage, tolerance: Tolerance, followed: bool
    ) -> None:
        self.stages = [stage.judged(followed=followed) for stage in stages]
        self.restage, self.tolerance, self.followed = restage, tolerance, followed
        stages = self.stages
        self.stage_of = {(stage.step, name): stage for stage in stages for name in stage.names}
        self.wrong = [(stage.step, name) for stage in stages for name in stage.differences]
        self.with_choice: dict[str, set[Place] | None] = {}  # what differs with another choice
        self._values: dict[tuple[Place, str | None], dict[str, list[Array]]] = {}

    def evidence(self, place: Place) -> Evidence | None:
        step, name = place
        for stage in self.stages:
            if stage.step == step and name in stage.judgement.expected:
                break
        else:
            return None
        if stage.setting is None:
            return None
        expected, given = stage.judgement.expected[name], stage.judgement.given
        earlier = self.earlier(step)
        found = np.asarray(stage.found.get(name, expected))
        return Evidence(
            name, expected, given, stage.setting, stage.inputs, earlier, found, self.history(step)
        )

    def history(self, step: int) -> tuple[Arrays, ...]:
        """Return the quantities found in all steps before; none if one was not recorded."""
        found = {s.step: s.found for s in self.stages if s.inputs is not None}
        before = range(step)
        return tuple(found[k] for k in before) if all(k in found for k in before) else ()

    def earlier(self, step: int) -> Arrays:
        """Return the quantities found in the step before, if it was recorded."""
        before = [s.found for s in self.stages if s.step == step - 1 and s.inputs is not None]
        return before[-1] if before else {}

    def values(self, place: Place, only: str | None = None) -> dict[str, list[Array]]:
        """Return the values that known mistakes give at a place, by name; of all, or only one."""
        if (place, only) not in self._values:
            evidence = self.evidence(place)
            found: dict[str, list[Array]] = {}
            for name, value in values_of(evidence, only) if evidence is not None else ():
                found.setdefault(name, []).append(value)
            for name, value in self._passed_on(place, evidence, only):
                found.setdefault(name, []).append(value)
            self._values[place, only] = found
        return self._values[place, only]

    def _passed_on(
        self, place: Place, evidence: Evidence | None, only: str | None
    ) -> Iterator[tuple[str, Array]]:
        """Yield what follows at a place from mistakes in its operands that were not recorded."""
        if evidence is not None and evidence.inputs is not None:
            step = place[0]
            recorded = {name for stage in self.stages if stage.step == step for name in stage.found}
            yield from passed_on(evidence, lambda name: self.values((step, name), only), recorded)
            yield from through_nodes(evidence, recorded, only)

    def agrees(self, place: Place, value: Array) -> bool:
        """Whether the value found at a place is this one."""
        name, stage = place[1], self.stage_of[place]
        if np.shape(value) != stage.found[name].shape or not np.isfinite(value).all():
            return False
        given = stage.judgement.given
        return compare(name, value, stage.found[name], given, stage.setting, self.tolerance) is None


def kind_of(name: str) -> str:
    """Return the quantity of a name, its first part."""
    return name.partition("/")[0]
