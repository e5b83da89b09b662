"""STR as a post-training method: a learned soft threshold for every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from fcpts_ref.checks import check_choice
from fcpts_ref.errors import InputError
from fcpts_ref.pruning.fcpts.step import projected
from fcpts_ref.pruning.learned.base import LearnedMethod
from fcpts_ref.pruning.learned.state import Array, Arrays, Effective, Gradients, State
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.soft_threshold import soft_threshold, soft_threshold_gradients

SMALLEST = 1e-13  # of the thresholds that projection scales


@dataclass(frozen=True)
class SoftThreshold(LearnedMethod):
    """Settings of STR (conventions STR-1 to STR-4 in docs/methods.md)."""

    description: ClassVar[str] = (
        "learn a soft threshold for every layer (STR, Kusupati et al. 2020); weight\n"
        "decay on its logit is the only control of the rate"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "str": {},
        "str-projection": {"control": "projection"},
    }
    symbol: ClassVar[str] = "STR"

    control: Literal["decay", "projection"] = setting(
        "decay", "what steers the rate: weight decay alone, or a projection after every step"
    )
    start_logit: float = setting(-12.0, "s of every layer before the first step")
    threshold_decay: float = setting(0.01, "weight decay on s, which raises the thresholds")
    threshold_learning_rate: float | None = setting(
        None, "learning rate of s (default: that of the weights)"
    )
    tune: float = setting(
        0.0, "share of the steps, at the end, that train with fixed masks", metavar="SHARE"
    )

    @property
    def label(self) -> str:
        """The name in tables, such as "STR (projected)"."""
        return "STR (projected)" if self.control == "projection" else "STR"

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = (self.threshold_decay, self.threshold_learning_rate or 0.0)
        if not (np.isfinite(self.start_logit) and all(0 <= rate < np.inf for rate in rates)):
            raise InputError(
                f"start_logit is {self.start_logit}, threshold_decay {self.threshold_decay} and "
                f"threshold_learning_rate {self.threshold_learning_rate}; expected finite numbers, "
                "decay and learning rate at least 0"
            )
        check_choice(self.control, "control", ("decay", "projection"))

    def start(self, problem: Problem) -> dict[str, Array]:
        """Return s of every layer (L,)."""
        return {"logits": np.full(len(problem.prunable), float(self.start_logit))}

    def effective(
        self,
        problem: Problem,
        learned: Arrays,
        weights: Arrays,
        progress: float,
        generator: np.random.Generator,
    ) -> Effective:
        """Return W~ of every layer."""
        t = expit(learned["logits"])
        soft = {name: soft_threshold(w, t[i]) for i, (name, w) in enumerate(weights.items())}
        rates = np.array([1 - np.count_nonzero(w) / max(w.size, 1) for w in soft.values()])
        return Effective(soft, rates, {"thresholds": t})

    def gradients(
        self, problem: Problem, learned: Arrays, weights: Arrays, now: Effective, deffective: Arrays
    ) -> Gradients:
        """Return dL/dW, and dL/ds = dL/dt t (1 - t)."""
        t, dweights = now.context["thresholds"], {}
        dt = np.empty_like(t)
        for i, (name, w) in enumerate(weights.items()):
            dweights[name], dt[i] = soft_threshold_gradients(w, t[i], deffective[name])
        return Gradients(dweights, {"logits": dt * t * (1 - t)})

    def descend(
        self, problem: Problem, state: State, dlearned: Arrays, factor: float, progress: float
    ) -> tuple[Arrays, Arrays]:
        """Apply SGD with weight decay to s, and the projection if it steers the rate."""
        conventions = self.conventions
        rate = self.threshold_learning_rate
        logits, velocity = problem.arithmetic.sgd_step(
            state.learned["logits"], dlearned["logits"],
            state.moments.get("logits", np.zeros(len(problem.prunable))),
            learning_rate=(conventions.learning_rate if rate is None else rate) * factor,
            momentum=conventions.momentum, weight_decay=self.threshold_decay,
            nesterov=conventions.nesterov,
        )  # fmt: skip
        if self.control == "projection":
            weights = {name: state.parameters[name] for name in problem.prunable}
            t = projected(problem, weights, np.maximum(expit(logits), SMALLEST))
            if (t >= 1).any():
                raise InputError(
                    f"STR needs a threshold of {t.max():.3g}, and sigmoid(s) stays below 1; scale "
                    "the weights, or use another method"
                )
            logits = logit(np.maximum(t, SMALLEST))
        return {"logits": logits}, {"logits": velocity}

    def final(self, problem: Problem, state: State) -> tuple[Arrays, Mapping[str, float]]:
        """Return |W|, and the thresholds t."""
        t = expit(state.learned["logits"]).tolist()
        weights = {name: state.parameters[name] for name in problem.prunable}
        return weights, dict(zip(weights, t, strict=True))

    def hardened(self, weight: Array, mask: NDArray[np.bool_]) -> Array:
        """Return W~ at the threshold of the mask: the network was trained with smaller weights."""
        threshold = np.abs(weight[~mask]).max(initial=0)
        return soft_threshold(weight, float(threshold))
