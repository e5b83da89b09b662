"""Draws of masks, and what they tell about the gradient of the keep ratios (DSA-7 to DSA-8b)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.pruning.channels.gates import mask_gradients, with_masks
from fcpts_ref.pruning.channels.method import State
from fcpts_ref.pruning.channels.space import Space, importances
from fcpts_ref.pruning.channels.training import Batch, Computed, compute, loss_of
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.spec.channel_pruning import (
    draw_mask,
    keep_probabilities,
    keep_ratio_gradient,
    score_gradient,
    solve_log_threshold,
)

Array = NDArray[Any]
MOST = 0.999
"""The greatest keep ratio that masks are drawn with."""


@dataclass(frozen=True)
class Draw:
    """Masks (units,) of all groups, with what their probabilities came from.

    importance (units,) and log_thresholds: by group; steepness: beta2.
    """

    masks: list[Array]
    importance: list[Array]
    log_thresholds: list[float]
    steepness: float


@dataclass(frozen=True)
class Gated:
    """A network in training whose groups have masks; gates: ``gates.gated`` of every group."""

    problem: Problem
    space: Space
    gates: list[dict[str, Array]]

    def compute(self, state: State, masks: list[Array], batch: Batch) -> Computed:
        """Return the loss of a batch, and the gradients of the masked parameters."""
        masked = with_masks(state.parameters, self.gates, masks)
        engine = self.problem.student
        return compute(engine, self.space.graph, masked, state.buffers, batch)

    def loss(self, state: State, masks: list[Array], batch: Batch) -> float:
        """Return the loss alone."""
        masked = with_masks(state.parameters, self.gates, masks)
        engine = self.problem.student
        return loss_of(engine, self.space.graph, masked, state.buffers, batch)


def draw(
    space: Space, state: State, kind: str, steepness: float, generator: np.random.Generator
) -> Draw:
    """Draw a mask for every group by the ratios of a state; kind: of importance."""
    masks, found, thresholds = [], [], []
    for group, ratio in zip(space.groups.groups, state.learned["ratios"], strict=True):
        b = importances(space.graph, state.parameters, group, kind)[0]
        threshold = solve_log_threshold(b, min(float(ratio), MOST), steepness)
        p = keep_probabilities(b, threshold, steepness)
        mask = draw_mask(p, generator.random(group.units))
        mask[p.argmax()] |= not mask.any()  # never a whole layer
        masks.append(mask)
        found.append(b)
        thresholds.append(threshold)
    return Draw(masks, found, thresholds, steepness)


def straight_through(
    gated: Gated, state: State, drawn: Draw, batch: Batch, *, magnitude: bool
) -> Array:
    """Return the gradient of the ratios (G,) from that of one draw of masks.

    magnitude: take minus the magnitude of every mask's gradient.
    """
    gradients = gated.compute(state, drawn.masks, batch).gradients
    dmasks = mask_gradients(state.parameters, gated.gates, gradients)
    if magnitude:
        dmasks = [-np.abs(dmask) for dmask in dmasks]
    groups = zip(drawn.importance, drawn.log_thresholds, dmasks, strict=True)
    return np.array([keep_ratio_gradient(b, at, drawn.steepness, dmask) for b, at, dmask in groups])


def by_scores(gated: Gated, state: State, draws: Sequence[Draw], batch: Batch) -> Array:
    """Return its estimate (G,) from the losses of two draws, without a backward pass."""
    one, other = draws
    losses = gated.loss(state, one.masks, batch), gated.loss(state, other.masks, batch)
    masks = zip(one.masks, other.masks, strict=True)
    groups = zip(one.importance, one.log_thresholds, masks, strict=True)
    return np.array([score_gradient(b, at, one.steepness, pair, losses) for b, at, pair in groups])
