"""Spartan as a post-training method: a soft top-k over all layers, sharper in every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from fcpts_ref.checks import check_choice
from fcpts_ref.errors import InputError
from fcpts_ref.pruning.learned.base import LearnedMethod
from fcpts_ref.pruning.learned.ramp import ramped, thresholds_in_ratio
from fcpts_ref.pruning.learned.state import Arrays, Effective, Gradients, State
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.soft_top_k import soft_top_k, soft_top_k_gradient

RAMP = 0.2
"""The share of the steps in which the rate rises linearly to the target, as published."""

SHARPNESS, SCALE = "sharpness", "scale"
"""Among the arrays of a step: b, and the magnitude that counts as 1."""


@dataclass(frozen=True)
class Spartan(LearnedMethod):
    """Settings of Spartan (conventions SP-1 to SP-4 in docs/methods.md)."""

    description: ClassVar[str] = (
        "a differentiable top-k of all weights with an exact budget, whose gradient\n"
        "reaches pruned weights (Spartan, Tai et al. 2022)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "spartan": {},
        "spartan-soft": {"forward": "soft"},
    }
    symbol: ClassVar[str] = "Spartan"

    sharpness: float = setting(20.0, "sharpness of the soft mask at the end; it begins at 1")
    forward: Literal["hard", "soft"] = setting(
        "hard", "compute with the hard top-k and the soft one's gradient, or with the soft one"
    )
    tune: float = setting(
        0.2, "share of the steps, at the end, that train with fixed masks", metavar="SHARE"
    )

    @property
    def label(self) -> str:
        """The name in tables, such as "Spartan (soft)"."""
        return "Spartan (soft)" if self.forward == "soft" else "Spartan"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.forward, "forward", ("hard", "soft"))
        if not 1 <= self.sharpness < np.inf:
            raise InputError(f"sharpness is {self.sharpness}; expected a finite number from 1 on")

    def effective(
        self,
        problem: Problem,
        learned: Arrays,
        weights: Arrays,
        progress: float,
        generator: np.random.Generator,
    ) -> Effective:
        """Return W m with the hard or the soft mask m at the rate of the schedule."""
        aimed = ramped(problem, progress / RAMP)
        sharpness = 1 + (self.sharpness - 1) * self._sharpened(progress)
        magnitudes = np.concatenate([np.abs(w).ravel() for w in weights.values()])
        scale = float(magnitudes.mean(dtype=np.float64)) or 1.0
        soft = soft_top_k(magnitudes / scale, magnitudes.size - int(aimed.count), sharpness)
        ends = np.cumsum([w.size for w in weights.values()])
        parts = np.split(soft, ends[:-1])
        masks = {n: p.reshape(weights[n].shape) for n, p in zip(weights, parts, strict=True)}
        t = thresholds_in_ratio(aimed, weights, np.ones(len(weights)))
        hard = {n: np.abs(w) > t[i] for i, (n, w) in enumerate(weights.items())}
        used = hard if self.forward == "hard" else masks
        rates = [1 - np.count_nonzero(mask) / mask.size for mask in hard.values()]
        context = masks | {SHARPNESS: np.array(sharpness), SCALE: np.array(scale)}
        sparse = {n: w * used[n].astype(w.dtype) for n, w in weights.items()}
        return Effective(sparse, np.array(rates), context)

    def gradients(
        self, problem: Problem, learned: Arrays, weights: Arrays, now: Effective, deffective: Arrays
    ) -> Gradients:
        """Return the gradient of W m through both factors, m the soft mask."""
        sharpness, scale = float(now.context[SHARPNESS]), float(now.context[SCALE])
        masks = np.concatenate([now.context[name].ravel() for name in weights])
        dmasks = [(deffective[n] * w).ravel().astype(np.float64) for n, w in weights.items()]
        dvalues = soft_top_k_gradient(masks, sharpness, np.concatenate(dmasks)) / scale
        dweights, start = {}, 0
        for name, w in weights.items():
            through = dvalues[start : start + w.size].reshape(w.shape) * np.sign(w)
            start += w.size
            dweights[name] = (deffective[name] * now.context[name] + through).astype(w.dtype)
        return Gradients(dweights, {})

    def final(self, problem: Problem, state: State) -> tuple[Arrays, Mapping[str, float]]:
        """Return |W|, and one threshold on the budget."""
        weights = {name: state.parameters[name] for name in problem.prunable}
        t = thresholds_in_ratio(problem, weights, np.ones(len(weights)))
        return weights, dict(zip(weights, t.tolist(), strict=True))

    def _sharpened(self, progress: float) -> float:
        """Return the share of the sharpening at ``progress``: linear until masks are fixed."""
        return min(progress / (1 - self.tune), 1.0) if self.tune < 1 else 1.0
