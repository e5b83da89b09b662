"""One-shot magnitude pruning: an allocation, then the smallest weights of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from fcpts_ref.pruning.masks import (
    allocate_within,
    final_masks,
    left_out,
    mask_rates,
    masked_network,
)
from fcpts_ref.pruning.method import MethodBase, OnStep, Result
from fcpts_ref.pruning.names import ALLOCATION_LABELS
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.allocation import ALLOCATIONS, Allocation
from fcpts_ref.spec.budget import threshold_of_count


@dataclass(frozen=True)
class OneShot(MethodBase):
    """One-shot pruning: nothing is learned, and no image is used."""

    description: ClassVar[str] = (
        "prune the smallest weights of every layer at the rates of an allocation;\n"
        "nothing is learned"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        f"one-shot-{name}": {"allocation": name} for name in ALLOCATION_LABELS
    }
    is_random: ClassVar[bool] = False

    allocation: str = setting("erk", "rates of the layers", choices=ALLOCATIONS)

    @property
    def label(self) -> str:
        """A name such as "one-shot LAMP"."""
        return f"one-shot {ALLOCATION_LABELS.get(self.allocation, self.allocation)}"

    def begin(self, problem: Problem) -> Allocation:
        """Return the allocation, which is the whole state."""
        return allocate_within(self.allocation, problem)

    def stages(self, problem: Problem) -> int:
        """Return 0: the method is finished after ``begin``."""
        return 0

    def advance(
        self,
        problem: Problem,
        state: Allocation,
        generator: np.random.Generator,
        on_step: OnStep,
    ) -> Allocation:
        """Return the state; never called, as there are no stages."""
        return state

    def pack(self, state: Allocation) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the allocation as notes, without arrays."""
        return {}, asdict(state)

    def unpack(self, arrays: Mapping[str, Any], notes: Mapping[str, Any]) -> Allocation:
        """Return the allocation that ``pack`` was given."""
        return Allocation(dict(notes["rates"]), tuple(notes["dense"]))

    def finish(self, problem: Problem, state: Allocation) -> Result:
        """Mask the smallest units of every layer and meet the global budget."""
        parameters, sizes = problem.network.parameters, problem.sizes
        counts = {name: round(rate * sizes[name]) for name, rate in state.rates.items()}
        units = problem.magnitudes(parameters)
        thresholds = {name: threshold_of_count(units[name], n) for name, n in counts.items()}
        masks, reached = final_masks(problem, parameters, thresholds)
        pruned = sum(n * problem.unit_costs[name] for name, n in counts.items())
        return Result(
            network=masked_network(problem.network, masks),
            thresholds=reached,
            rates=mask_rates(masks),
            initial_rates=dict(state.rates),
            rate_before_projection=float(pruned / problem.totals.sum()),
            dense_layers=state.dense,
            left_out=left_out(problem),
        )
