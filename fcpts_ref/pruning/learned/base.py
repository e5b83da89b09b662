"""The training loop that methods with learned thresholds or scores share.

A method says how effective weights are made, and their gradients (``rule.py``); ``step.py`` takes
the steps, and ``state.py`` holds what they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.fcpts.views import Seen, seen_in
from fcpts_ref.pruning.history import extended
from fcpts_ref.pruning.labels import labels_of
from fcpts_ref.pruning.learned.rule import LearnedRule
from fcpts_ref.pruning.learned.state import (
    REACHED,
    Array,
    Arrays,
    State,
    frozen_masks,
    pack,
    unpack,
)
from fcpts_ref.pruning.learned.step import frozen, step
from fcpts_ref.pruning.masks import left_out, mask_rates, mask_thresholds, masked_network
from fcpts_ref.pruning.method import OnStep, Result, StepReport
from fcpts_ref.pruning.micro_batches import in_micro_batches
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.units import SINGLE_WEIGHTS


@dataclass(frozen=True)
class LearnedMethod(LearnedRule):
    """Their course: epochs of steps, fixed masks at the end, and the exact budget."""

    def begin(self, problem: Problem) -> State:
        """Return the state before the first step."""
        if problem.unit is not SINGLE_WEIGHTS or problem.costs is not None:
            raise InputError(
                f"{self.symbol} prunes single weights by their number; use granularity 'weight' "
                "and cost 'weights'"
            )
        if self.reads_labels and self.epochs:
            labels_of(problem)
        parameters = problem.network.parameters
        learned = self.start(problem)
        return State(
            step=0,
            parameters=dict(parameters),
            buffers=dict(problem.network.buffers),
            velocities={name: np.zeros_like(array) for name, array in parameters.items()},
            learned=learned,
            moments={},
        )

    def stages(self, problem: Problem) -> int:
        """Return the number of epochs: each is a stage."""
        return self.epochs

    def steps(self, problem: Problem) -> int:
        """Return the number of steps of the whole run."""
        return self.epochs * (len(problem.images) // self._batch(problem))

    def advance(
        self, problem: Problem, state: State, generator: np.random.Generator, on_step: OnStep
    ) -> State:
        """Run one epoch: every batch of the images in a new random order."""
        n, batch = len(problem.images), self._batch(problem)
        objective = self.compares(problem.network.graph)
        problem = problem.comparing(objective.outputs(problem.network.graph))
        problem = in_micro_batches(problem, self.micro_batch, self.conventions)
        seen, remembered = seen_in(
            state.step // (n // batch), problem, self.augmentation, self.views, state.views,
            generator,
            remember=not self.reads_labels and objective.memorable
            and self.conventions.teacher_batch_norm == "evaluation",
        )  # fmt: skip
        if self.reads_labels:  # in place of the dense network's outputs
            seen = Seen(seen.views, {problem.network.graph.output: labels_of(problem)})
        state = replace(state, views=remembered)
        order = generator.permutation(n)
        records = []
        chosen = [order[start : start + batch] for start in range(0, n - batch + 1, batch)]
        for images, dense in seen.batches(problem.images, chosen):
            if not frozen_masks(state) and self._fixes_masks(problem, state):
                state = frozen(self, problem, state, generator)
            state, record = step(
                self, problem, state, self.steps(problem), images, dense, generator
            )
            records.append(record)
            on_step(StepReport(state.step, self.steps(problem), batch, record))
        return replace(state, history=extended(state.history, records))

    def finish(self, problem: Problem, state: State) -> Result:
        """Return the result, projected onto the exact budget (convention 18)."""
        masks = frozen_masks(state) or self.projected_masks(problem, state)
        names = problem.prunable
        weights = {name: state.parameters[name] for name in names}
        if not frozen_masks(state):
            weights = {name: self.hardened(weights[name], masks[name]) for name in names}
        masks = {  # layers that stay dense keep every weight
            name: masks.get(name, np.ones(state.parameters[name].shape, np.bool_))
            for name in problem.network.graph.prunable
        }
        network = Network(
            problem.network.graph, {**state.parameters, **weights}, dict(state.buffers)
        )
        reached = float(state.learned.get(REACHED, self.reached(problem, state)))
        return Result(
            network=masked_network(network, masks),
            thresholds=mask_thresholds(state.parameters, masks),
            rates=mask_rates(masks),
            initial_rates=dict.fromkeys(names, 0.0),
            rate_before_projection=reached,
            left_out=left_out(problem),
            history=dict(state.history),
        )

    def pack(self, state: State) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state as named arrays and notes that JSON can hold."""
        return pack(state)

    def unpack(self, arrays: Arrays, notes: Mapping[str, Any]) -> State:
        """Return the state that ``pack`` was given."""
        return unpack(arrays, notes)

    def _fixes_masks(self, problem: Problem, state: State) -> bool:
        planned = self.tune > 0 and state.step >= round((1 - self.tune) * self.steps(problem))
        return planned or self.is_done(problem, state)

    def _batch(self, problem: Problem) -> int:
        return min(self.batch_size or self.conventions.batch_size, len(problem.images))
