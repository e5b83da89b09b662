"""ST-3 as a post-training method: one soft threshold, on the budget in every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_choice
from fcpts_ref.pruning.learned.base import LearnedMethod
from fcpts_ref.pruning.learned.ramp import ramped, thresholds_in_ratio
from fcpts_ref.pruning.learned.state import Array, Arrays, Effective, Gradients, State
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.probabilistic_masks import cubic_density
from fcpts_ref.spec.rescaled_threshold import rescaled_soft_threshold

RAMP = (0.03, 0.5)
"""The shares of the steps between which the rate rises: epochs 5 to 80 of 160 as published."""


@dataclass(frozen=True)
class RescaledThreshold(LearnedMethod):
    """Settings of ST-3 (conventions ST3-1 to ST3-3 in docs/methods.md)."""

    description: ClassVar[str] = (
        "one soft threshold on the budget, rescaled channels, and gradients for pruned\n"
        "weights (ST-3, Vanderschueren and De Vleeschouwer 2023)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "st3": {},
        "st3-sigma": {"scale": "fan"},
    }
    symbol: ClassVar[str] = "ST-3"

    scale: Literal["one", "fan"] = setting(
        "one", "one threshold for all layers, or divided by the root of the sum of their sides"
    )

    @property
    def label(self) -> str:
        """The name in tables, such as "ST-3 (sigma)"."""
        return "ST-3 (sigma)" if self.scale == "fan" else "ST-3"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.scale, "scale", ("one", "fan"))

    def effective(
        self,
        problem: Problem,
        learned: Arrays,
        weights: Arrays,
        progress: float,
        generator: np.random.Generator,
    ) -> Effective:
        """Return q of every layer, at the rate of the schedule."""
        first, last = RAMP[0], min(RAMP[1], 1 - self.tune) if self.tune < 1 else RAMP[1]
        pruned = 1 - cubic_density(progress, 0.0, min(first, last / 2), last)
        t = thresholds_in_ratio(ramped(problem, pruned), weights, self._ratio(problem))
        soft = {n: rescaled_soft_threshold(w, t[i]) for i, (n, w) in enumerate(weights.items())}
        rates = [1 - np.count_nonzero(q) / max(q.size, 1) for q in soft.values()]
        return Effective(soft, np.array(rates), {})

    def gradients(
        self, problem: Problem, learned: Arrays, weights: Arrays, now: Effective, deffective: Arrays
    ) -> Gradients:
        """Return dL/dW = dL/dq for every weight."""
        return Gradients(deffective, {})

    def final(self, problem: Problem, state: State) -> tuple[Arrays, Mapping[str, float]]:
        """Return |W|, and the thresholds on the budget."""
        weights = {name: state.parameters[name] for name in problem.prunable}
        t = thresholds_in_ratio(problem, weights, self._ratio(problem))
        return weights, dict(zip(weights, t.tolist(), strict=True))

    def hardened(self, weight: Array, mask: NDArray[np.bool_]) -> Array:
        """Return q at the threshold of the mask: the network was trained with it."""
        return rescaled_soft_threshold(weight, float(np.abs(weight[~mask]).max(initial=0)))

    def _ratio(self, problem: Problem) -> Array:
        """Return the thresholds of the layers up to a common factor, (L,)."""
        if self.scale == "one":
            return np.ones(len(problem.prunable))
        return np.array([sum(w.shape) ** -0.5 for w in problem.weights.values()])
