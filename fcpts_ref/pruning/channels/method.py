"""The course of all methods that remove channels: search, removal, fine-tuning.

The search trains the whole network, in a way of each method's own.  Then units are chosen on the
budget and removed, and the smaller network is trained by the same steps.  The result is the dense
network with the removed channels masked; ``models remove-channels`` makes it small.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_removal import insert_channels, remove_channels
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.channels.space import Mask, Space, space_of
from fcpts_ref.pruning.channels.training import Batch, batches, compute
from fcpts_ref.pruning.history import extended
from fcpts_ref.pruning.labels import OBJECTIVES, labels_of
from fcpts_ref.pruning.masks import left_out, mask_rates, mask_thresholds
from fcpts_ref.pruning.method import MethodBase, OnStep, Result, StepReport
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.optim import warmup_cosine

Array = NDArray[Any]
Arrays = Mapping[str, Array]
GROUPS = ("parameters", "buffers", "velocities", "learned", "keep", "history")


@dataclass(frozen=True)
class State:
    """Everything that a step changes, by name.

    parameters, buffers, velocities: of the whole network, and from the removal on of the smaller
    one.  learned: the method's own arrays.  keep: masks of units (units,) by group; empty before
    the removal.
    """

    epoch: int
    parameters: Arrays
    buffers: Arrays
    velocities: Arrays
    learned: Arrays = field(default_factory=dict)
    keep: Arrays = field(default_factory=dict)
    history: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelMethod(MethodBase):
    """Settings and course of all of them."""

    runs_backward: ClassVar[bool] = True
    projects: ClassVar[bool] = False
    symbol: ClassVar[str] = ""
    """The name in tables."""
    searches: ClassVar[bool] = True
    """Whether the network is trained before the removal."""

    search: int = setting(10, "passes over the images before the removal", option="search-epochs")
    epochs: int = setting(10, "passes over the images after the removal")
    batch_size: int = setting(64, "images in a step")
    learning_rate: float = setting(0.02, "learning rate of both phases, which falls as a cosine")
    weight_decay: float = setting(5e-4, "weight decay of convolution and linear weights")
    augmentation: str = setting(
        "none", "augmentation of the images", choices=AUGMENTATIONS, metavar="NAME"
    )
    objective: str = setting(
        "labels",
        "train with labels (cross-entropy), or without, on the dense network's outputs",
        choices=OBJECTIVES,
    )

    def __post_init__(self) -> None:
        if self.search < 0 or self.epochs < 0 or self.batch_size < 1:
            raise InputError(
                f"search is {self.search}, epochs {self.epochs} and batch_size {self.batch_size}; "
                "expected search >= 0, epochs >= 0 and batch_size >= 1"
            )
        if not (0 < self.learning_rate < np.inf and 0 <= self.weight_decay < np.inf):
            raise InputError(
                f"learning_rate is {self.learning_rate} and weight_decay {self.weight_decay}; "
                "expected finite numbers, the first above 0, the second at least 0"
            )
        for name, choices in (("augmentation", AUGMENTATIONS), ("objective", OBJECTIVES)):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}"
                )

    @property
    def label(self) -> str:
        """The name in tables, such as "DSA without labels"."""
        return self.symbol + ("" if self.objective == "labels" else " without labels")

    @property
    def reads_labels(self) -> bool:
        """Whether the objective is cross-entropy."""
        return self.objective == "labels"

    @property
    def calibration_images(self) -> int:
        """The most images: those of CIFAR's training split, as published."""
        return 50_000

    @abstractmethod
    def choose(self, problem: Problem, space: Space, state: State) -> list[Mask]:
        """Return which units of each group stay, on the budget."""

    def start(self, problem: Problem, space: Space) -> dict[str, Array]:
        """Return the method's own arrays before the first step."""
        return {}

    def search_epoch(
        self, problem: Problem, space: Space, state: State, generator: np.random.Generator
    ) -> Iterator[tuple[State, dict[str, Any]]]:
        """Yield the state and the record of every step of an epoch of the search."""
        network, epoch = problem.network, state.epoch
        yield from self._train(problem, space, state, generator, network, epoch, self.search)

    @property
    def search_epochs(self) -> int:
        """The number of epochs of the search."""
        return self.search if self.searches else 0

    def begin(self, problem: Problem) -> State:
        """Return the state before the first step."""
        space = space_of(problem, self.symbol)
        if self.objective == "labels" and self.search_epochs + self.epochs:
            labels_of(problem)
        network = problem.network
        return State(
            epoch=0,
            parameters=dict(network.parameters),
            buffers=dict(network.buffers),
            velocities={name: np.zeros_like(a) for name, a in network.parameters.items()},
            learned=self.start(problem, space),
        )

    def stages(self, problem: Problem) -> int:
        """Return the number of epochs: each is a stage."""
        return self.search_epochs + self.epochs

    def advance(
        self, problem: Problem, state: State, generator: np.random.Generator, on_step: OnStep
    ) -> State:
        """Run one epoch; before the first one of fine-tuning, remove the channels."""
        space = space_of(problem, self.symbol)
        if state.epoch < self.search_epochs:
            steps = self.search_epoch(problem, space, state, generator)
        else:
            state = self._removed(problem, space, state)
            smaller = remove_channels(problem.network, state.keep, space.groups)
            tuned = state.epoch - self.search_epochs
            steps = self._train(problem, space, state, generator, smaller, tuned, self.epochs)
        records = []
        before, total = self.steps_before(problem, state.epoch), self.steps_before(problem)
        for new, record in steps:
            state = new
            ratios = self._ratios(space, state)
            rate = space.rate(ratios)
            records.append({**record, "global_rate": rate, "keep_ratios": ratios})
            shown = {k: v for k, v in records[-1].items() if np.ndim(v) == 0}
            on_step(StepReport(before + len(records), total, self.batch_size, shown))
        return replace(state, epoch=state.epoch + 1, history=extended(state.history, records))

    def search_images(self, images: int) -> int:
        """Return the number of images that train the weights in the search."""
        return images

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of steps in an epoch over this many images."""
        return max(images // min(self.batch_size, images), 1)

    def steps_before(self, problem: Problem, epoch: int | None = None) -> int:
        """Return the number of steps before an epoch; None for all."""
        images, epoch = len(problem.images), self.stages(problem) if epoch is None else epoch
        searched = min(epoch, self.search_epochs)
        return searched * self.steps_per_epoch(self.search_images(images)) + (
            epoch - searched
        ) * self.steps_per_epoch(images)

    def finish(self, problem: Problem, state: State) -> Result:
        """Return the result: the dense network's graph, removed channels masked."""
        space = space_of(problem, self.symbol)
        reached = space.rate(self._ratios(space, state))
        state = self._removed(problem, space, state)
        smaller = remove_channels(problem.network, state.keep, space.groups)
        smaller = Network(smaller.graph, state.parameters, state.buffers)
        network = insert_channels(problem.network, smaller, state.keep, space.groups)
        whole = {n: np.ones(problem.network.parameters[n].shape, np.bool_) for n in network.sizes}
        masks = {**whole, **network.masks}
        return Result(
            network=replace(network, masks=masks),
            thresholds=mask_thresholds(problem.network.parameters, masks),
            rates=mask_rates(masks),
            initial_rates=dict.fromkeys(masks, 0.0),
            rate_before_projection=reached,
            left_out=left_out(problem),
            history=dict(state.history),
        )

    def pack(self, state: State) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state as named arrays and notes that JSON can hold."""
        arrays = {
            f"{group}/{name}": array.astype(np.uint8) if array.dtype == np.bool_ else array
            for group in GROUPS
            for name, array in getattr(state, group).items()
        }
        return arrays, {"epoch": state.epoch}

    def unpack(self, arrays: Arrays, notes: Mapping[str, Any]) -> State:
        """Return the state that ``pack`` was given."""
        found: dict[str, dict[str, Array]] = {group: {} for group in GROUPS}
        for name, array in arrays.items():
            group, _, key = name.partition("/")
            found[group][key] = array.astype(np.bool_) if group == "keep" else array
        return State(epoch=int(notes["epoch"]), **found)

    def _ratios(self, space: Space, state: State) -> Array:
        """The keep ratios that a state has: 1 before the removal, unless the method learns them."""
        if state.keep:
            return np.array([state.keep[group.name].mean() for group in space.groups.groups])
        return np.asarray(state.learned.get("ratios", np.ones(len(space.units))))

    def _removed(self, problem: Problem, space: Space, state: State) -> State:
        """Return the state with the channels removed; velocities begin at 0."""
        if state.keep:
            return state
        keep = space.by_name(self.choose(problem, space, state))
        network = Network(problem.network.graph, state.parameters, state.buffers)
        smaller = remove_channels(network, keep, space.groups)
        return replace(
            state,
            parameters=dict(smaller.parameters),
            buffers=dict(smaller.buffers),
            velocities={name: np.zeros_like(a) for name, a in smaller.parameters.items()},
            keep=keep,
        )

    def _train(
        self,
        problem: Problem,
        space: Space,
        state: State,
        generator: np.random.Generator,
        network: Network,
        epoch: int,
        epochs: int,
    ) -> Iterator[tuple[State, dict[str, Any]]]:
        """Yield the states of an epoch of plain training of a network of this graph."""
        engine = (
            problem.student if network is problem.network else problem.make_engine(network.graph)
        )
        rows = np.arange(len(problem.images))
        per_epoch = self.steps_per_epoch(len(rows))
        for number, batch in enumerate(self.batches(problem, rows, generator)):
            found = compute(engine, network.graph, state.parameters, state.buffers, batch)
            rate = self.rate_at(epoch * per_epoch + number, epochs * per_epoch)
            gradients = found.gradients
            if not state.keep:
                gradients = self.regularised(space, state, gradients)
            state = self.descended(problem, state, gradients, found.buffers, rate)
            if not state.keep:
                state = self.shrunk(space, state, rate)
            yield state, {"reconstruction_loss": found.loss}

    def regularised(
        self, space: Space, state: State, gradients: dict[str, Array]
    ) -> dict[str, Array]:
        """Return the gradients of the search with those of a penalty, if the method has one."""
        return gradients

    def shrunk(self, space: Space, state: State, rate: float) -> State:
        """Return the state after the proximal step of the method's penalty, if it has one."""
        return state

    def batches(
        self, problem: Problem, rows: Array, generator: np.random.Generator
    ) -> Iterator[Batch]:
        """Yield the images of these rows in a random order."""
        return batches(problem, rows, self.batch_size, self.objective, self.augmentation, generator)

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step of a phase."""
        return self.learning_rate * warmup_cosine(step, steps, 0)

    def descended(
        self,
        problem: Problem,
        state: State,
        gradients: Arrays,
        buffers: Arrays,
        rate: float,
    ) -> State:
        """Return the state after one step of SGD with Nesterov's momentum 0.9."""
        parameters, velocities = {}, {}
        prunable = set(problem.network.graph.prunable)
        for name, parameter in state.parameters.items():
            parameters[name], velocities[name] = problem.arithmetic.sgd_step(
                parameter, gradients[name], state.velocities[name],
                learning_rate=rate, momentum=0.9, nesterov=True,
                weight_decay=self.weight_decay if name in prunable else 0.0,
            )  # fmt: skip
        return replace(state, parameters=parameters, velocities=velocities, buffers=dict(buffers))
