"""DSA: keep ratios of channel groups learned by gradients, on a budget (Ning et al., 2020).

Weights and keep ratios are updated in turn (first-order bilevel optimisation): the weights on
training images under random masks, the ratios on held-out images.  The budget is imposed by the
alternating direction method of multipliers: a copy z of the ratios lies on the budget, and a scaled
dual u pulls both together (docs/methods.md has the choices DSA-1 to DSA-12).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.pruning.channels.draws import Draw, Gated, by_scores, draw, straight_through
from fcpts_ref.pruning.channels.gates import gated, with_masks
from fcpts_ref.pruning.channels.method import ChannelMethod, State
from fcpts_ref.pruning.channels.ratios import followed_ratios, lowest_ratios, on_budget
from fcpts_ref.pruning.channels.space import Mask, Space, importances
from fcpts_ref.pruning.channels.training import Batch
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.channel_budget import check_budget
from fcpts_ref.spec.channel_selection import select_by_ratios

Array = NDArray[Any]
GRADIENTS = ("signed", "magnitude", "score")
LEAST_BATCH = 2
"""Images that batch norm needs for statistics of its own."""


@dataclass(frozen=True)
class DSA(ChannelMethod):
    """Differentiable Sparsity Allocation."""

    description: ClassVar[str] = (
        "keep ratios of channel groups learned on a budget; the channels are removed\n"
        "(DSA, Ning et al., 2020); --cost macs for a budget of multiplications"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dsa": {},
        "dsa-magnitude": {"gradient": "magnitude"},
        "dsa-score": {"gradient": "score"},
        "dsa-no-labels": {"objective": "outputs"},
    }
    symbol: ClassVar[str] = "DSA"

    validation: float = setting(0.1, "share of the images, the last ones, that train the ratios")
    interval: int = setting(2, "steps of the weights for each step of the ratios")
    ratio_rate: float = setting(0.02, "learning rate of the ratios, whose gradient has size 1")
    penalty: float = setting(
        1.0, "rho, the weight of the distance from the budget, that from the last ratios being 1"
    )
    ramp: float = setting(
        0.5, "share of the search in which the budget falls from the whole cost to the target"
    )
    steepness: float = setting(20.0, "beta2 at the beginning of the search")
    last_steepness: float = setting(60.0, "beta2 at its end; it grows geometrically")
    importance: str = setting(
        "scale",
        "importance of channels: of batch norm's scales, or of filters",
        choices=("scale", "filter"),
    )

    gradient: str = setting(
        "signed",
        "gradient of the masks: signed, as published; minus its magnitude, which never counts "
        "a channel as harmful; or score, from the losses of two draws of masks",
        choices=GRADIENTS,
    )

    @property
    def label(self) -> str:
        """The name in tables, such as "DSA (magnitude)"."""
        return super().label + ("" if self.gradient == "signed" else f" ({self.gradient})")

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = (self.ratio_rate, self.penalty, self.steepness, self.last_steepness)
        if not all(0 < number < np.inf for number in positive) or self.interval < 1:
            raise InputError(
                f"ratio_rate, penalty, steepness and last_steepness are {positive} and interval "
                f"{self.interval}; expected finite numbers above 0"
            )
        if not (0 < self.validation < 1 and 0 <= self.ramp <= 1):
            raise InputError(
                f"validation is {self.validation} and ramp {self.ramp}; expected validation "
                "between 0 and 1, both excluded, and ramp from 0 to 1"
            )
        if self.importance not in ("scale", "filter"):
            raise InputError(f"importance is {self.importance!r}; expected 'scale' or 'filter'")
        if self.gradient not in GRADIENTS:
            raise InputError(
                f"gradient is {self.gradient!r}; expected one of {', '.join(GRADIENTS)}"
            )

    def start(self, problem: Problem, space: Space) -> dict[str, Array]:
        """Return ratios 1, the copy on the budget, the dual, and the mean gradient, (G,) each."""
        check_budget(space.costs, space.budget, lowest_ratios(space))
        rows = len(problem.images)
        if self.search_epochs and self.search_images(rows) < LEAST_BATCH:
            raise InputError(
                f"{self._held_out(rows)} of {counted(rows, 'image')} would be held out; DSA needs "
                f"at least {LEAST_BATCH} to train the weights, and {LEAST_BATCH} to train the "
                "ratios"
            )
        ones, zeros = np.ones(len(space.units)), np.zeros(len(space.units))
        return {"ratios": ones, "copy": ones, "dual": zeros, "mean_gradient": zeros}

    def search_epoch(
        self, problem: Problem, space: Space, state: State, generator: np.random.Generator
    ) -> Iterator[tuple[State, dict[str, Any]]]:
        """Yield the states of an epoch: steps of the weights, and of the ratios in between."""
        gates = [gated(space, group) for group in space.groups.groups]
        network = Gated(problem, space, gates)
        rows = np.arange(len(problem.images))
        train, held_out = np.split(rows, [self.search_images(len(rows))])
        validation = self._forever(problem, held_out, generator)
        per_epoch = self.steps_per_epoch(len(train))
        for number, batch in enumerate(self.batches(problem, train, generator)):
            step = state.epoch * per_epoch + number
            progress = step / (self.search * per_epoch)
            if number % self.interval == 0:
                state = self._ratio_step(network, state, next(validation), progress, generator)
            masks = self._draw(space, state, progress, generator).masks
            rate = self.rate_at(step, self.search * per_epoch)
            found = network.compute(state, masks, batch)
            gradients = with_masks(found.gradients, gates, masks)  # d(m P) = m dP
            state = self.descended(problem, state, gradients, found.buffers, rate)
            yield state, {"reconstruction_loss": found.loss}

    def search_images(self, images: int) -> int:
        """Return the number of images that train the weights in the search."""
        return images - self._held_out(images)

    def choose(self, problem: Problem, space: Space, state: State) -> list[Mask]:
        """Return the most important units of every group, by its ratio on the budget."""
        wanted = state.learned["ratios"] + state.learned["dual"]
        ratios = on_budget(wanted, space, space.budget)
        scores = [
            importances(space.graph, state.parameters, group, self.importance)[0]
            for group in space.groups.groups
        ]
        return select_by_ratios(ratios, scores, space.costs, space.budget, space.least)

    def _ratio_step(
        self,
        network: Gated,
        state: State,
        batch: Batch,
        progress: float,
        generator: np.random.Generator,
    ) -> State:
        """One step of the ratios on held-out images, of their copy and of the dual."""
        space = network.space
        drawn = self._draw(space, state, progress, generator)
        if self.gradient == "score":
            other = self._draw(space, state, progress, generator)
            dratios = by_scores(network, state, (drawn, other), batch)
        else:
            magnitude = self.gradient == "magnitude"
            dratios = straight_through(network, state, drawn, batch, magnitude=magnitude)
        mean = 0.9 * state.learned["mean_gradient"] + 0.1 * dratios
        size = float(np.sqrt((mean * mean).mean()))
        direction = mean / size if size > 0 else mean
        lowest, budget = lowest_ratios(space), self._budget(space, progress)
        ratios = followed_ratios(state.learned["ratios"], space, budget)
        copy = followed_ratios(state.learned["copy"], space, budget)
        dual, rho = state.learned["dual"], self.penalty
        moved = ratios - self.ratio_rate * direction
        ratios = np.clip((moved + rho * (copy - dual)) / (1 + rho), lowest, 1.0)
        copy = on_budget(ratios + dual, space, budget)
        learned = {
            "ratios": ratios, "copy": copy, "dual": dual + ratios - copy, "mean_gradient": mean,
        }  # fmt: skip
        return replace(state, learned=learned)

    def _draw(
        self, space: Space, state: State, progress: float, generator: np.random.Generator
    ) -> Draw:
        return draw(space, state, self.importance, self._steepness(progress), generator)

    def _steepness(self, progress: float) -> float:
        return float(self.steepness * (self.last_steepness / self.steepness) ** progress)

    def _budget(self, space: Space, progress: float) -> float:
        """The budget of the copy, which falls linearly to the target."""
        done = min(progress / self.ramp, 1.0) if self.ramp else 1.0
        return space.costs.whole + done * (space.budget - space.costs.whole)

    def _held_out(self, images: int) -> int:
        return max(round(self.validation * images), LEAST_BATCH)

    def _forever(
        self, problem: Problem, rows: Array, generator: np.random.Generator
    ) -> Iterator[Batch]:
        while True:
            yield from self.batches(problem, rows, generator)
