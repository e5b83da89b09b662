"""How a method with learned thresholds or scores makes effective weights, and their gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_choice
from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.objectives.cross_entropy import CrossEntropy
from fcpts_ref.objectives.make import make_objective
from fcpts_ref.objectives.objective import Objective
from fcpts_ref.pruning.labels import OBJECTIVES
from fcpts_ref.pruning.learned.state import Array, Arrays, Effective, Gradients, State
from fcpts_ref.pruning.masks import final_masks
from fcpts_ref.pruning.method import MethodBase
from fcpts_ref.pruning.micro_batches import MICRO_BATCH
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.conventions import PAPER, Conventions


@dataclass(frozen=True)
class LearnedRule(MethodBase):
    """Settings of all of them, and the functions in which they differ.

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
    objective: str = setting(
        "outputs",
        "train on the dense network's outputs, or with labels (cross-entropy), as published",
        choices=OBJECTIVES,
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
    def reads_labels(self) -> bool:
        """Whether the objective is cross-entropy."""
        return self.objective == "labels"

    def compares(self, graph: Graph) -> Objective:
        """Return the loss: cross-entropy, or that of conventions 5 and 6."""
        return (
            CrossEntropy(graph.output)
            if self.reads_labels
            else make_objective(self.conventions, graph)
        )

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
        check_choice(self.augmentation, "augmentation", AUGMENTATIONS)
        check_choice(self.objective, "objective", OBJECTIVES)

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
        return self.projected_masks(problem, state)

    def is_done(self, problem: Problem, state: State) -> bool:
        """Return whether the masks can be fixed before the share of the steps that is planned."""
        return False

    def settled(self, problem: Problem, state: State) -> State:
        """Return the state after a step, with parameters as its learned arrays require."""
        return state

    def hardened(self, weight: Array, mask: NDArray[np.bool_]) -> Array:
        """Return the weight of the finished network; pruned weights are set to 0 afterwards."""
        return weight

    def projected_masks(self, problem: Problem, state: State) -> dict[str, NDArray[np.bool_]]:
        """Return the masks of ``final`` on the exact budget."""
        magnitudes, thresholds = self.final(problem, state)
        masks, _ = final_masks(problem, {**state.parameters, **magnitudes}, thresholds)
        return {name: masks[name] for name in problem.prunable}

    def reached(self, problem: Problem, state: State) -> float:
        """Return the global rate that the method itself has reached."""
        magnitudes, thresholds = self.final(problem, state)
        pruned = sum(np.count_nonzero(np.abs(m) <= thresholds[n]) for n, m in magnitudes.items())
        return float(pruned / problem.totals.sum())
