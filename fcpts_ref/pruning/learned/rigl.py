"""RigL as a post-training method: the smallest weights of a layer are replaced by others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.pruning.learned.base import LearnedMethod
from fcpts_ref.pruning.learned.state import Array, Arrays, Effective, Gradients, State
from fcpts_ref.pruning.masks import allocate_within, final_masks
from fcpts_ref.pruning.names import ALLOCATION_LABELS
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.allocation import ALLOCATIONS
from fcpts_ref.spec.budget import threshold_of_count
from fcpts_ref.spec.regrowth import drop_share, regrown_mask

MASK, GRADIENT = "mask/", "gradient/"
"""Before the names of the weights among the learned arrays."""

STOP = 0.75
"""The share of the steps in which weights are replaced, as published."""


@dataclass(frozen=True)
class RigL(LearnedMethod):
    """Settings of RigL (conventions RL-1 to RL-3 in docs/methods.md)."""

    description: ClassVar[str] = (
        "fixed rates; at intervals the smallest weights of a layer are replaced by\n"
        "those with the largest gradients (RigL, Evci et al. 2020)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rigl": {},
        "rigl-global": {"allocation": "global"},
    }
    symbol: ClassVar[str] = "RigL"

    allocation: str = setting("erk", "rates of the layers", choices=ALLOCATIONS)
    every: int = setting(20, "steps between two replacements")
    replaced: float = setting(
        0.3, "share of a layer's kept weights that the first replacement exchanges", metavar="SHARE"
    )

    @property
    def label(self) -> str:
        """The name in tables, such as "RigL (ERK)"."""
        return f"RigL ({ALLOCATION_LABELS.get(self.allocation, self.allocation)})"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every < 1 or not 0 <= self.replaced <= 1:
            raise InputError(
                f"every is {self.every} and replaced {self.replaced}; expected at least 1 step, "
                "and a share from 0 to 1"
            )

    def start(self, problem: Problem) -> dict[str, Array]:
        """Return the masks of one-shot pruning at the allocation, and sums of gradients of 0."""
        rates, sizes = allocate_within(self.allocation, problem).rates, problem.sizes
        counts = {name: round(rate * sizes[name]) for name, rate in rates.items()}
        weights = problem.weights
        thresholds = {name: threshold_of_count(weights[name], n) for name, n in counts.items()}
        masks, _ = final_masks(problem, problem.network.parameters, thresholds)
        kept = {f"{MASK}{name}": masks[name].astype(np.uint8) for name in weights}
        return kept | {f"{GRADIENT}{name}": np.zeros_like(w) for name, w in weights.items()}

    def effective(
        self,
        problem: Problem,
        learned: Arrays,
        weights: Arrays,
        progress: float,
        generator: np.random.Generator,
    ) -> Effective:
        """Return M * W of every layer."""
        masks = _masks(learned)
        rates = [1 - np.count_nonzero(mask) / mask.size for mask in masks.values()]
        return Effective({n: w * masks[n] for n, w in weights.items()}, np.array(rates), {})

    def gradients(
        self, problem: Problem, learned: Arrays, weights: Arrays, now: Effective, deffective: Arrays
    ) -> Gradients:
        """Return dL/dW = M * dL/dW_sparse, and the whole gradient for regrowth."""
        dweights = {name: deffective[name] * mask for name, mask in _masks(learned).items()}
        return Gradients(dweights, {f"{GRADIENT}{n}": deffective[n] for n in weights})

    def descend(
        self, problem: Problem, state: State, dlearned: Arrays, factor: float, progress: float
    ) -> tuple[Arrays, Arrays]:
        """Add up the gradients and, where it is time, replace weights."""
        learned = {**state.learned}
        for key, gradient in dlearned.items():
            learned[key] = learned[key] + gradient
        if state.step % self.every or not drop_share(progress, self.replaced, STOP):
            return learned, {}
        for name, mask in _masks(learned).items():
            weight, gradient = state.parameters[name], learned[f"{GRADIENT}{name}"]
            share = drop_share(progress, self.replaced, STOP)
            new = regrown_mask(weight, mask, gradient, share)
            learned[f"{MASK}{name}"] = new.astype(np.uint8)
            learned[f"{GRADIENT}{name}"] = np.zeros_like(gradient)
        return learned, {}

    def settled(self, problem: Problem, state: State) -> State:
        """Return the state with pruned weights and their velocities at 0: regrown ones start so."""
        masks = _masks(state.learned)
        parameters = {name: state.parameters[name] * mask for name, mask in masks.items()}
        velocities = {name: state.velocities[name] * mask for name, mask in masks.items()}
        return replace(
            state,
            parameters={**state.parameters, **parameters},
            velocities={**state.velocities, **velocities},
        )

    def final(self, problem: Problem, state: State) -> tuple[Arrays, Mapping[str, float]]:
        """Return the masks as magnitudes, and a threshold between their values."""
        masks = {name: mask.astype(np.float64) for name, mask in _masks(state.learned).items()}
        return masks, dict.fromkeys(masks, 0.5)


def _masks(learned: Arrays) -> dict[str, NDArray[np.bool_]]:
    """Return the masks among the learned arrays, by the names of the weights."""
    return {
        key.removeprefix(MASK): array.astype(np.bool_)
        for key, array in learned.items()
        if key.startswith(MASK)
    }
