"""LTP as a post-training method: a learned threshold on the squares of every layer's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.pruning.learned.base import LearnedMethod
from fcpts_ref.pruning.learned.state import Array, Arrays, Effective, Gradients, State
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.threshold_pruning import (
    soft_count,
    soft_mask,
    soft_mask_gradients,
    temperature,
)


@dataclass(frozen=True)
class LearnedThreshold(LearnedMethod):
    """Settings of LTP (conventions LTP-1 to LTP-6 in docs/methods.md)."""

    description: ClassVar[str] = (
        "learn a threshold on squared weights for every layer by a penalty on their\n"
        "soft count, until the rate is met (LTP, Azarian et al. 2020)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ltp": {}, "ltp-exact": {"exact": True}}
    symbol: ClassVar[str] = "LTP"

    penalty: float = setting(1.0, "weight of the share of softly kept weights in the loss")
    temperature: float = setting(0.1, "T0: the temperature of a layer is T0 times Var(|w|)")
    threshold_learning_rate: float = setting(
        0.05, "learning rate of the thresholds, in units of the layer's mean squared weight"
    )
    exact: bool = setting(False, "give the weights their exact gradient too")

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = (self.penalty, self.threshold_learning_rate)
        if not (0 < self.temperature < np.inf and all(0 <= n < np.inf for n in numbers)):
            raise InputError(
                f"temperature is {self.temperature}, penalty {self.penalty} and "
                f"threshold_learning_rate {self.threshold_learning_rate}; expected a finite "
                "temperature above 0, and the others at least 0"
            )

    @property
    def label(self) -> str:
        """The name in tables, such as "LTP (exact)"."""
        return "LTP (exact)" if self.exact else "LTP"

    def start(self, problem: Problem) -> dict[str, Array]:
        """Return thresholds 0 and the scale of the squares of every layer, (L,)."""
        squares = [float((w.astype(np.float64) ** 2).mean()) for w in problem.weights.values()]
        return {"thresholds": np.zeros(len(squares)), "squares": np.array(squares)}

    def effective(
        self,
        problem: Problem,
        learned: Arrays,
        weights: Arrays,
        progress: float,
        generator: np.random.Generator,
    ) -> Effective:
        """Return v = w a of every layer; the rates are those of the hard masks w^2 > tau."""
        tau, soft, context, rates = learned["thresholds"], {}, {}, np.empty(len(weights))
        for i, (name, w) in enumerate(weights.items()):
            context[name] = soft_mask(w, tau[i], self._temperature(w))
            soft[name] = w * context[name]
            rates[i] = np.count_nonzero(w * w <= tau[i]) / max(w.size, 1)
        return Effective(soft, rates, context)

    def gradients(
        self, problem: Problem, learned: Arrays, weights: Arrays, now: Effective, deffective: Arrays
    ) -> Gradients:
        """Return the gradients of weights and thresholds; the penalty counts in the loss."""
        total = sum(problem.sizes.values())
        dweights, dtau, count = {}, np.empty(len(weights)), 0.0
        for i, (name, w) in enumerate(weights.items()):
            dweights[name], dtau[i] = soft_mask_gradients(
                w, now.context[name], self._temperature(w), deffective[name],
                self.penalty / total, exact=self.exact,
            )  # fmt: skip
            count += soft_count(now.context[name])
        return Gradients(dweights, {"thresholds": dtau}, self.penalty * count / total)

    def descend(
        self, problem: Problem, state: State, dlearned: Arrays, factor: float, progress: float
    ) -> tuple[Arrays, Arrays]:
        """Apply SGD to the thresholds in units of the layer's mean square (convention LTP-4)."""
        squares = state.learned["squares"]
        sizes = np.array(list(problem.sizes.values()))
        share = sizes.sum() / np.maximum(sizes, 1)  # of the penalty: the same pull on every layer
        tau, velocity = problem.arithmetic.sgd_step(
            state.learned["thresholds"], dlearned["thresholds"] * share * squares**2,
            state.moments.get("thresholds", np.zeros(len(sizes))),
            learning_rate=self.threshold_learning_rate * factor,
            momentum=self.conventions.momentum,
        )  # fmt: skip
        learned = {"thresholds": np.maximum(tau, 0.0), "squares": squares}
        return learned, {"thresholds": velocity}

    def is_done(self, problem: Problem, state: State) -> bool:
        """Return whether the hard masks have met the target: then they are fixed."""
        tau = state.learned["thresholds"]
        pruned = sum(
            np.count_nonzero(state.parameters[name] ** 2 <= tau[i])
            for i, name in enumerate(problem.prunable)
        )
        return bool(pruned >= problem.count)

    def final(self, problem: Problem, state: State) -> tuple[Arrays, Mapping[str, float]]:
        """Return |W|, and the square roots of the thresholds."""
        t = np.sqrt(state.learned["thresholds"]).tolist()
        weights = {name: state.parameters[name] for name in problem.prunable}
        return weights, dict(zip(weights, t, strict=True))

    def _temperature(self, weight: Array) -> float:
        """Return T of a layer; the smallest positive number if all its weights are equal."""
        return max(temperature(weight, self.temperature), float(np.finfo(weight.dtype).tiny))
