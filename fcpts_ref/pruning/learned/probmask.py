"""ProbMask as a post-training method: a learned probability for every weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from fcpts_ref.data.prepared import batches_of
from fcpts_ref.errors import InputError
from fcpts_ref.objectives.make import make_objective
from fcpts_ref.pruning.learned.base import LearnedMethod
from fcpts_ref.pruning.learned.state import Array, Arrays, Effective, Gradients, State
from fcpts_ref.pruning.masks import final_masks
from fcpts_ref.pruning.micro_batches import parts_of
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.optim import adam_step
from fcpts_ref.spec.probabilistic_masks import (
    SCORE_MARGIN,
    cubic_density,
    falling_temperature,
    logistic_noise,
    project_scores,
    relaxed_mask,
    relaxed_mask_gradient,
)

TRIAL_IMAGES = 512
"""Images on which drawn masks are compared."""


@dataclass(frozen=True)
class ProbMask(LearnedMethod):
    """Settings of ProbMask (conventions PM-1 to PM-7 in docs/methods.md)."""

    description: ClassVar[str] = (
        "learn for every weight the probability that it is kept, projected onto the\n"
        "budget after every step (ProbMask, Zhou et al. 2021)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "probmask": {},
        "probmask-top": {"draws": 0},
    }
    symbol: ClassVar[str] = "ProbMask"

    score_learning_rate: float = setting(0.006, "learning rate of Adam on the scores")
    start_score: float = setting(
        1.0, "score of every weight before the first step; 0: by the rank of its magnitude"
    )
    draws: int = setting(
        10, "masks drawn at the end, of which the best is kept; 0: the highest scores are kept"
    )

    @property
    def label(self) -> str:
        """The name in tables, such as "ProbMask (top)"."""
        return "ProbMask" if self.draws else "ProbMask (top)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.score_learning_rate < np.inf and 0 <= self.start_score <= 1):
            raise InputError(
                f"score_learning_rate is {self.score_learning_rate} and start_score "
                f"{self.start_score}; expected a finite rate of at least 0 and a score from 0 to 1"
            )
        if self.draws < 0:
            raise InputError(f"draws is {self.draws}; expected 0 or more")

    def start(self, problem: Problem) -> dict[str, Array]:
        """Return the scores of every weight, in its shape and dtype."""
        if self.start_score:
            return {name: np.full_like(w, self.start_score) for name, w in problem.weights.items()}
        return {name: _ranks(w) for name, w in problem.weights.items()}

    def effective(
        self,
        problem: Problem,
        learned: Arrays,
        weights: Arrays,
        progress: float,
        generator: np.random.Generator,
    ) -> Effective:
        """Return W m with one relaxed draw m; the rates are 1 minus the mean score."""
        hotness = falling_temperature(progress)
        masks = {
            name: relaxed_mask(s, logistic_noise(_uniform(s, generator)), hotness).astype(s.dtype)
            for name, s in learned.items()
        }
        rates = np.array([1 - learned[name].mean(dtype=np.float64) for name in weights])
        soft = {name: w * masks[name] for name, w in weights.items()}
        return Effective(soft, rates, masks | {TEMPERATURE: np.array(hotness)})

    def gradients(
        self, problem: Problem, learned: Arrays, weights: Arrays, now: Effective, deffective: Arrays
    ) -> Gradients:
        """Return dL/dW = dL/dW~ m, and the gradients of the scores."""
        hotness = float(now.context[TEMPERATURE])
        dscores = {
            name: relaxed_mask_gradient(
                learned[name], now.context[name], hotness, deffective[name] * w
            ).astype(w.dtype)
            for name, w in weights.items()
        }
        return Gradients({n: deffective[n] * now.context[n] for n in weights}, dscores)

    def descend(
        self, problem: Problem, state: State, dlearned: Arrays, factor: float, progress: float
    ) -> tuple[Arrays, Arrays]:
        """Apply Adam to the scores and project them onto the budget of the schedule."""
        scores: list[Array] = []
        moments: dict[str, Array] = {}
        for name, dscore in dlearned.items():
            s = state.learned[name]
            first, second = (
                state.moments.get(f"{which}/{name}", np.zeros_like(s))
                for which in ("first", "second")
            )
            new, first, second = adam_step(
                s, dscore, first, second, state.step,
                learning_rate=self.score_learning_rate * factor,
            )  # fmt: skip
            scores.append(new.astype(s.dtype))
            moments |= {f"first/{name}": first, f"second/{name}": second}
        total = sum(problem.sizes.values())
        learned_share = 1 - self.tune if self.tune < 1 else 1.0
        kept = cubic_density(min(progress / learned_share, 1.0), 1 - problem.count / total)
        return dict(zip(dlearned, project_scores(scores, kept * total), strict=True)), moments

    def choose_masks(
        self, problem: Problem, state: State, generator: np.random.Generator
    ) -> Mapping[str, NDArray[np.bool_]]:
        """Return the best of several draws by the loss of Equation 4 on some of the images."""
        found = [self.projected_masks(problem, state)] if self.draws == 0 else []
        for _ in range(self.draws):
            odds = {
                name: np.exp(logit(_inside(s)) + logistic_noise(_uniform(s, generator)))
                for name, s in state.learned.items()
            }
            masks, _ = final_masks(problem, {**state.parameters, **odds}, dict.fromkeys(odds, 1.0))
            found.append({name: masks[name] for name in odds})
        if len(found) == 1:
            return found[0]
        return min(found, key=lambda masks: self._loss(problem, state, masks))

    def final(self, problem: Problem, state: State) -> tuple[Arrays, Mapping[str, float]]:
        """Return the odds s / (1 - s), which are above 1 where a weight is more likely kept."""
        odds = {name: np.exp(logit(_inside(state.learned[name]))) for name in problem.prunable}
        return odds, dict.fromkeys(odds, 1.0)

    def reached(self, problem: Problem, state: State) -> float:
        """Return the expected share of pruned weights."""
        kept = sum(float(state.learned[name].sum(dtype=np.float64)) for name in problem.prunable)
        return 1 - kept / float(problem.totals.sum())

    def _loss(
        self, problem: Problem, state: State, masks: Mapping[str, NDArray[np.bool_]]
    ) -> float:
        """Return the loss with these masks; batch norm uses the statistics of the images."""
        some = np.arange(min(TRIAL_IMAGES, len(problem.images)))
        sparse = {name: state.parameters[name] * mask for name, mask in masks.items()}
        parameters = {**state.parameters, **sparse}
        parts = parts_of(problem, self.micro_batch, some)
        return sum(
            len(images) / len(some) * self._loss_on(problem, parameters, state.buffers, images)
            for images in batches_of(problem.images, parts)
        )

    def _loss_on(
        self, problem: Problem, parameters: Arrays, buffers: Arrays, images: Array
    ) -> float:
        conventions = self.conventions
        passed = problem.student.forward(
            parameters, buffers, {problem.network.graph.input: images},
            training=conventions.student_batch_norm == "training", sparse=True,
        )  # fmt: skip
        dense = problem.dense_on(images, training=conventions.teacher_batch_norm == "training")
        objective = make_objective(conventions, problem.network.graph)
        names = objective.outputs(problem.network.graph)
        loss, _ = objective.loss_and_gradients(
            {n: dense[n] for n in names}, {n: passed.outputs[n] for n in names}
        )
        return float(loss)


TEMPERATURE = "temperature"


def _ranks(weight: Array) -> Array:
    """Return the share of the weights in the layer whose magnitude is at most this one's."""
    order = np.abs(weight).ravel().argsort(kind="stable")
    ranks = np.empty(weight.size)
    ranks[order] = np.arange(1, weight.size + 1) / weight.size
    return ranks.reshape(weight.shape).astype(weight.dtype)


def _uniform(scores: Array, generator: np.random.Generator) -> Array:
    """Return numbers in (0, 1), without its ends, where the logit is finite."""
    return np.clip(generator.random(scores.shape), 1e-12, 1 - 1e-12)


def _inside(scores: Array) -> Array:
    return np.clip(scores, SCORE_MARGIN, 1 - SCORE_MARGIN).astype(np.float64)
