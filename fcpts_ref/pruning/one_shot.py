"""One-shot magnitude pruning: an allocation, then the smallest weights of every layer go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fcpts_ref.pruning.common import (
    OnStep,
    Problem,
    Result,
    allocate_within,
    final_masks,
    left_out,
    mask_rates,
    mask_thresholds,
    masked_network,
)
from fcpts_ref.spec.allocation import Allocation
from fcpts_ref.spec.budget import threshold_of_count


@dataclass(frozen=True)
class OneShot:
    """Nothing is learned; no image is looked at."""

    allocation: str = "erk"

    def begin(self, problem: Problem) -> Allocation:
        """The allocation: all there is to know."""
        return allocate_within(self.allocation, problem)

    def stages(self, problem: Problem) -> int:
        """None: done when begun."""
        return 0

    def advance(
        self,
        problem: Problem,
        state: Allocation,
        generator: np.random.Generator,
        on_step: OnStep,
    ) -> Allocation:
        """Never called: there are no stages."""
        return state

    def pack(self, state: Allocation) -> tuple[dict[str, Any], dict[str, Any]]:
        """The allocation as notes; no arrays."""
        return {}, asdict(state)

    def unpack(self, arrays: Mapping[str, Any], notes: Mapping[str, Any]) -> Allocation:
        """The allocation that ``pack`` was given."""
        return Allocation(dict(notes["rates"]), tuple(notes["dense"]))

    def finish(self, problem: Problem, state: Allocation) -> Result:
        """The smallest weights of every layer masked, exactly round(target * N) in all."""
        weights = problem.weights
        counts = {name: round(rate * weights[name].size) for name, rate in state.rates.items()}
        thresholds = {name: threshold_of_count(weights[name], n) for name, n in counts.items()}
        masks = final_masks(problem, weights, thresholds)
        return Result(
            network=masked_network(problem.network, masks),
            thresholds=mask_thresholds(problem.network.parameters, masks),
            rates=mask_rates(masks),
            initial_rates=dict(state.rates),
            rate_before_projection=sum(counts.values()) / sum(problem.sizes.values()),
            dense_layers=state.dense,
            left_out=left_out(problem),
        )
