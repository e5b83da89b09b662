"""The training loop that methods with learned thresholds or scores share.

Each step replaces the weights W by effective weights W~ that depend on learned arrays (thresholds
or scores), compares the outputs with those of the dense network (Equation 4), and descends in the
parameters and in the learned arrays.  A method says how W~ is made, and its gradients.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.objectives.make import make_objective
from fcpts_ref.pruning.fcpts.views import seen_in
from fcpts_ref.pruning.history import extended
from fcpts_ref.pruning.masks import (
    final_masks,
    left_out,
    mask_rates,
    mask_thresholds,
    masked_network,
)
from fcpts_ref.pruning.method import MethodBase, OnStep, Result, StepReport
from fcpts_ref.pruning.micro_batches import (
    MICRO_BATCH,
    accumulated,
    in_micro_batches,
    is_accumulated,
)
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.pruning.units import SINGLE_WEIGHTS
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH, PAPER, Conventions
from fcpts_ref.spec.optim import warmup_cosine

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class State:
    """Everything that a step changes, by name.

    learned: the method's own arrays, such as thresholds (L,) or scores; moments: what its
    optimiser knows about them.
    """

    step: int
    parameters: Arrays
    buffers: Arrays
    velocities: Arrays
    learned: Arrays
    moments: Arrays
    history: Arrays = field(default_factory=dict)
    views: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Effective:
    """The weights that a step computes with, and what their gradients need.

    weights: W~ by name; rates: the share of weights that count as pruned, (L,); context: arrays for
    ``gradients``, by name.
    """

    weights: Arrays
    rates: Array
    context: Arrays


@dataclass(frozen=True)
class Gradients:
    """Gradients of the weights and of the learned arrays, by name; the loss that a penalty adds."""

    weights: Arrays
    learned: Arrays
    penalty: float = 0.0


@dataclass(frozen=True)
class LearnedMethod(MethodBase):
    """Settings and loop of all of them.

    choices: conventions that differ from those of the profile "paper" (5, 6 and 15 to 17 are used).
    """

    runs_backward: ClassVar[bool] = True
    symbol: ClassVar[str] = ""
    """The name in tables."""

    epochs: int = setting(10, "passes over the calibration images")
    batch_size: int | None = setting(None, "images in a step (default: 64)")
    micro_batch: int | None = setting(None, MICRO_BATCH)
    augmentation: str = setting(
        "none", "augmentation of the images", choices=AUGMENTATIONS, metavar="NAME"
    )
    tune: float = setting(
        0.25, "share of the steps, at the end, that train with fixed masks", metavar="SHARE"
    )
    views: int = setting(0, "augmented views of each image, used in turn; 0: new ones every epoch")
    choices: Mapping[str, Any] = setting(
        dict,
        "override one convention, such as learning_rate=0.001; may be repeated",
        option="choose",
        metavar="NAME=VALUE",
        of=Conventions,
    )

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.symbol

    @property
    def conventions(self) -> Conventions:
        """The conventions of the paper with ``choices`` applied."""
        return PAPER.with_choices(self.choices)

    @property
    def calibration_images(self) -> int:
        """The number of calibration images of the conventions (convention 17)."""
        return self.conventions.calibration_images

    def __post_init__(self) -> None:
        _ = self.conventions
        if self.epochs < 0 or self.views < 0 or (self.batch_size or 1) < 1:
            raise InputError(
                f"epochs is {self.epochs}, views {self.views} and batch_size {self.batch_size}; "
                "expected epochs >= 0, views >= 0 and batch_size >= 1"
            )
        if self.micro_batch is not None and self.micro_batch < 1:
            raise InputError(f"micro_batch is {self.micro_batch}; expected 1 or more")
        if not 0 <= self.tune <= 1:
            raise InputError(f"tune is {self.tune}; expected a share of the steps from 0 to 1")
        if self.augmentation not in AUGMENTATIONS:
            raise InputError(
                f"augmentation is {self.augmentation!r}; expected one of {', '.join(AUGMENTATIONS)}"
            )

    def start(self, problem: Problem) -> dict[str, Array]:
        """Return the learned arrays before the first step: none if the weights alone decide."""
        return {}

    @abstractmethod
    def effective(
        self,
        problem: Problem,
        learned: Arrays,
        weights: Arrays,
        progress: float,
        generator: np.random.Generator,
    ) -> Effective:
        """Return the effective weights at ``progress``, from 0 to 1 of the run."""

    @abstractmethod
    def gradients(
        self, problem: Problem, learned: Arrays, weights: Arrays, now: Effective, deffective: Arrays
    ) -> Gradients:
        """Return the gradients from those of the effective weights."""

    def descend(
        self, problem: Problem, state: State, dlearned: Arrays, factor: float, progress: float
    ) -> tuple[Arrays, Arrays]:
        """Return the learned arrays and moments after a step; state holds the new parameters.

        factor: of the learning rate (schedule and batch size).  None are learned by default.
        """
        return {}, {}

    @abstractmethod
    def final(self, problem: Problem, state: State) -> tuple[Arrays, Mapping[str, float]]:
        """Return magnitudes and thresholds by name: what is at most its threshold is pruned."""

    def choose_masks(
        self, problem: Problem, state: State, generator: np.random.Generator
    ) -> Mapping[str, NDArray[np.bool_]]:
        """Return masks on the exact budget (convention 18), which the rest of the run keeps."""
        return self._projected(problem, state)

    def is_done(self, problem: Problem, state: State) -> bool:
        """Return whether the masks can be fixed before the share of the steps that is planned."""
        return False

    def settled(self, problem: Problem, state: State) -> State:
        """Return the state after a step, with parameters as its learned arrays require."""
        return state

    def hardened(self, weight: Array, mask: NDArray[np.bool_]) -> Array:
        """Return the weight of the finished network; pruned weights are set to 0 afterwards."""
        return weight

    def begin(self, problem: Problem) -> State:
        """Return the state before the first step."""
        if problem.unit is not SINGLE_WEIGHTS or problem.costs is not None:
            raise InputError(
                f"{self.symbol} prunes single weights by their number; use granularity 'weight' "
                "and cost 'weights'"
            )
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
        objective = make_objective(self.conventions, problem.network.graph)
        problem = problem.comparing(objective.outputs(problem.network.graph))
        problem = in_micro_batches(problem, self.micro_batch, self.conventions)
        seen, remembered = seen_in(
            state.step // (n // batch), problem, self.augmentation, self.views, state.views,
            generator,
            remember=self.conventions.teacher_batch_norm == "evaluation" and objective.memorable,
        )  # fmt: skip
        state = replace(state, views=remembered)
        order = generator.permutation(n)
        records = []
        chosen = [order[start : start + batch] for start in range(0, n - batch + 1, batch)]
        for images, dense in seen.batches(problem.images, chosen):
            if not frozen_masks(state) and self._fixes_masks(problem, state):
                state = self._frozen(problem, state, generator)
            state, record = self._step(problem, state, images, dense, generator)
            records.append(record)
            on_step(StepReport(state.step, self.steps(problem), batch, record))
        return replace(state, history=extended(state.history, records))

    def finish(self, problem: Problem, state: State) -> Result:
        """Return the result, projected onto the exact budget (convention 18)."""
        masks = frozen_masks(state) or self._projected(problem, state)
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
        arrays = {
            f"{group}/{name}": array
            for group in GROUPS
            for name, array in getattr(state, group).items()
        }
        return arrays, {"step": state.step}

    def unpack(self, arrays: Arrays, notes: Mapping[str, Any]) -> State:
        """Return the state that ``pack`` was given."""
        groups: dict[str, dict[str, Array]] = {group: {} for group in GROUPS}
        for name, array in arrays.items():
            group, _, key = name.partition("/")
            groups[group][key] = array
        return State(step=int(notes["step"]), **groups)

    def _fixes_masks(self, problem: Problem, state: State) -> bool:
        planned = self.tune > 0 and state.step >= round((1 - self.tune) * self.steps(problem))
        return planned or self.is_done(problem, state)

    def _batch(self, problem: Problem) -> int:
        return min(self.batch_size or self.conventions.batch_size, len(problem.images))

    def _projected(self, problem: Problem, state: State) -> dict[str, NDArray[np.bool_]]:
        magnitudes, thresholds = self.final(problem, state)
        masks, _ = final_masks(problem, {**state.parameters, **magnitudes}, thresholds)
        return {name: masks[name] for name in problem.prunable}

    def _frozen(self, problem: Problem, state: State, generator: np.random.Generator) -> State:
        """Return the state with its masks fixed, and pruned weights set to 0."""
        masks = self.choose_masks(problem, state, generator)
        weights = {
            name: np.where(mask, self.hardened(state.parameters[name], mask), 0).astype(
                problem.network.dtype
            )
            for name, mask in masks.items()
        }
        kept = {f"{KEPT}{name}": mask.astype(np.uint8) for name, mask in masks.items()}
        reached = {REACHED: np.array(self.reached(problem, state))}
        return replace(
            state,
            parameters={**state.parameters, **weights},
            learned={**state.learned, **kept, **reached},
        )

    def reached(self, problem: Problem, state: State) -> float:
        """Return the global rate that the method itself has reached."""
        magnitudes, thresholds = self.final(problem, state)
        pruned = sum(np.count_nonzero(np.abs(m) <= thresholds[n]) for n, m in magnitudes.items())
        return float(pruned / problem.totals.sum())

    def _step(
        self,
        problem: Problem,
        state: State,
        images: Array,
        dense: Arrays | None,
        generator: np.random.Generator,
    ) -> tuple[State, dict[str, Any]]:
        conventions, steps = self.conventions, self.steps(problem)
        progress = state.step / steps
        warmup = min(conventions.warmup_epochs * (steps // max(self.epochs, 1)), steps)
        factor = warmup_cosine(state.step, steps, warmup) * len(images) / LEARNING_RATE_BATCH
        weights = {name: state.parameters[name] for name in problem.prunable}
        masks = frozen_masks(state)
        if masks:
            now = _masked(weights, masks)
        else:
            now = self.effective(problem, state.learned, weights, progress, generator)
        loss, gradients, buffers = self._reconstruction(problem, state, now, images, dense)
        deffective = {name: gradients[name] for name in weights}
        if masks:
            found = Gradients({n: deffective[n] * mask for n, mask in masks.items()}, {})
        else:
            found = self.gradients(problem, state.learned, weights, now, deffective)
        gradients |= dict(found.weights)
        parameters, velocities = {}, {}
        for name, parameter in state.parameters.items():
            parameters[name], velocities[name] = problem.arithmetic.sgd_step(
                parameter, gradients[name], state.velocities[name],
                learning_rate=conventions.learning_rate * factor, momentum=conventions.momentum,
                weight_decay=conventions.weight_decay, nesterov=conventions.nesterov,
            )  # fmt: skip
        new = replace(
            state, step=state.step + 1, parameters=parameters, velocities=velocities,
            buffers=buffers,
        )  # fmt: skip
        learned, moments = new.learned, new.moments
        if not masks:
            learned, moments = self.descend(problem, new, found.learned, factor, new.step / steps)
        if not all(np.isfinite(array).all() for array in (*parameters.values(), *learned.values())):
            raise InputError(
                f"{self.symbol} diverged at step {state.step}; lower its learning rates"
            )
        sizes = np.array(list(problem.sizes.values()))
        record = {
            "reconstruction_loss": float(loss),
            "penalty": found.penalty,
            "total_loss": float(loss) + found.penalty,
            "global_rate": float((now.rates * sizes).sum() / sizes.sum()),
            "rates": now.rates,
            "learning_rate_factor": factor,
        }
        new = replace(new, learned=learned, moments=moments)
        return new if masks else self.settled(problem, new), record

    def _reconstruction(
        self, problem: Problem, state: State, now: Effective, images: Array, dense: Arrays | None
    ) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """Return L_rec (Equation 4), the gradients of the parameters, and the new buffers."""
        conventions, graph = self.conventions, problem.network.graph
        parameters = {**state.parameters, **now.weights}
        objective = make_objective(conventions, graph)
        teacher_trains = conventions.teacher_batch_norm == "training"
        if is_accumulated(problem, self.micro_batch, images):
            loss, gradients = accumulated(
                problem, parameters, state.buffers, images,
                dense or (lambda part: problem.dense_on(part, training=teacher_trains)),
                objective, micro_batch=self.micro_batch or len(images), weight_gradient="all",
            )  # fmt: skip
            return loss, gradients, dict(state.buffers)
        if dense is None:
            dense = problem.dense_on(images, training=teacher_trains)
        passed = problem.student.forward(
            parameters, state.buffers, {graph.input: images},
            training=conventions.student_batch_norm == "training", keep=True, sparse=True,
        )  # fmt: skip
        names = objective.outputs(graph)
        loss, doutputs = objective.loss_and_gradients(
            {name: dense[name] for name in names}, {name: passed.outputs[name] for name in names}
        )
        gradients = problem.student.backward(passed, doutputs)
        return float(loss), gradients, dict(passed.buffers)


KEPT = "kept/"
"""Before the names of fixed masks among the learned arrays."""

REACHED = "rate_before_projection"

GROUPS = ("parameters", "buffers", "velocities", "learned", "moments", "history", "views")


def frozen_masks(state: State) -> dict[str, NDArray[np.bool_]]:
    """Return the fixed masks by name; none while they are learned."""
    return {
        name.removeprefix(KEPT): array.astype(np.bool_)
        for name, array in state.learned.items()
        if name.startswith(KEPT)
    }


def _masked(weights: Arrays, masks: Mapping[str, NDArray[np.bool_]]) -> Effective:
    rates = [1 - np.count_nonzero(mask) / mask.size for mask in masks.values()]
    sparse = {name: weights[name] * mask for name, mask in masks.items()}
    return Effective(sparse, np.array(rates), {})
