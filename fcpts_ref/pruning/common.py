"""The one shape that all pruning methods have, and what a run gives back.

A method is a frozen dataclass of its settings.  It works in stages (epochs, or layers): between
two stages everything it knows is its state, a dataclass of arrays, so that a run can be stored
and continued after any stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import Engine, WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network, check_images
from fcpts_ref.pruning.arithmetic import NUMPY, Arithmetic, arithmetic
from fcpts_ref.spec.budget import budget

Array = NDArray[Any]


@dataclass(frozen=True)
class StepReport:
    """What a step has to say: its number, of how many, its images, and numbers by name."""

    step: int
    steps: int
    images: int
    numbers: Mapping[str, Any]


OnStep = Callable[[StepReport], None]


def ignore_step(report: StepReport) -> None:
    """An ``on_step`` that does nothing."""


@dataclass(frozen=True)
class Problem:
    """What every method is given: the dense network, calibration images, target, and engines.

    images: (n, C, H, W) in [0, 1], of the network's dtype; labels are never given.
    ``teacher`` runs the dense network, ``student`` the sparse one; ``make_engine`` makes an engine
    of their kind for another graph; ``teacher_cache`` is for passes of the dense network.
    """

    network: Network
    images: Array
    target: float
    teacher: Engine
    student: Engine
    make_engine: Callable[[Graph], Engine] = NumpyEngine
    arithmetic: Arithmetic = NUMPY
    teacher_cache: WeightCache = field(default_factory=WeightCache, compare=False, repr=False)

    @property
    def count(self) -> int:
        """The exact budget: how many weights are pruned."""
        return budget(self.target, sum(self.network.sizes.values()))

    @cached_property
    def dense_logits(self) -> Array:
        """The dense network's logits (n, classes) for all images, batch norm evaluating: once."""
        return predict(self.network, self.images, engine=self.teacher)

    @property
    def weights(self) -> dict[str, Array]:
        """The prunable weights of the dense network by name."""
        return {name: self.network.parameters[name] for name in self.network.graph.prunable}


def make_problem(
    network: Network,
    images: Array,
    target: float,
    *,
    engine: str = "numba",
    threads: int | None = None,
) -> Problem:
    """A checked problem.  Raises InputError for images, a target or an engine that do not fit."""
    images = check_images(network.graph, images).astype(network.dtype, copy=False)
    if network.masks:
        raise InputError(
            f"network {network.graph.name!r} is pruned already; start from the dense network"
        )
    sizes = network.sizes
    count = budget(target, sum(sizes.values()))
    if count > sum(sizes.values()) - len(sizes):
        raise InputError(
            f"target {target} prunes {count} of {sum(sizes.values())} weights and would empty one "
            f"of the {len(sizes)} layers; use a lower target"
        )
    make = partial(make_engine, engine=engine, threads=threads)
    teacher, student = make(network.graph), make(network.graph)
    return Problem(network, images, target, teacher, student, make, arithmetic(engine))


@dataclass(frozen=True)
class Result:
    """A sparse network and how it came about.

    network: its pruned weights are exactly 0, ``network.masks`` says which are kept; exactly
        round(target * N) are pruned.
    thresholds, rates: by the name of the weight, of the returned network: a layer's threshold is
        its largest pruned magnitude, so Equation 1 gives its mask again (but for ties).
    initial_rates: the allocation that the method started from.
    rate_before_projection: the global rate that the method itself reached, before the last
        projection onto the exact budget.
    dense_layers: layers that the initial allocation left dense.
    history: arrays by name, the first axis counts steps.
    """

    network: Network
    thresholds: dict[str, float]
    rates: dict[str, float]
    initial_rates: dict[str, float]
    rate_before_projection: float
    dense_layers: tuple[str, ...] = ()
    history: dict[str, Array] = field(default_factory=dict)


class Method(Protocol):
    """A method is its settings and these functions."""

    def begin(self, problem: Problem) -> Any:
        """The state before the first stage."""

    def stages(self, problem: Problem) -> int:
        """How many stages there are; 0 for a method that is done when it has begun."""

    def advance(
        self, problem: Problem, state: Any, generator: np.random.Generator, on_step: OnStep
    ) -> Any:
        """The state after one more stage."""

    def finish(self, problem: Problem, state: Any) -> Result:
        """The sparse network of a state."""

    def pack(self, state: Any) -> tuple[dict[str, Array], dict[str, Any]]:
        """The state as named arrays, and notes that JSON can hold."""

    def unpack(self, arrays: Mapping[str, Array], notes: Mapping[str, Any]) -> Any:
        """The state that ``pack`` was given."""


def run_method(
    method: Method, problem: Problem, generator: np.random.Generator, on_step: OnStep = ignore_step
) -> Result:
    """All stages of a method, from its beginning to its result."""
    state = method.begin(problem)
    for _ in range(method.stages(problem)):
        state = method.advance(problem, state, generator, on_step)
    return method.finish(problem, state)


def masked_network(network: Network, masks: Mapping[str, NDArray[np.bool_]]) -> Network:
    """The network with its pruned weights set to exactly 0 and the masks attached."""
    weights = {
        name: np.where(mask, network.parameters[name], network.dtype.type(0))
        for name, mask in masks.items()
    }
    return Network(
        network.graph, {**network.parameters, **weights}, dict(network.buffers), dict(masks)
    )


def mask_thresholds(
    weights: Mapping[str, Array], masks: Mapping[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """The largest pruned magnitude of every layer; 0 for a layer that lost nothing."""
    return {
        name: float(np.abs(weights[name][~mask]).max(initial=0)) for name, mask in masks.items()
    }


def mask_rates(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
    """The share of pruned weights of every layer."""
    return {name: 1 - np.count_nonzero(mask) / mask.size for name, mask in masks.items()}
