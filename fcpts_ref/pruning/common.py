"""The interface of all pruning methods, their input and their result.

A method is a frozen dataclass of its settings.  It works in stages (epochs, or layers).  Between
two stages everything it knows is its state, a dataclass of arrays, so that a run can be stored
and continued after any stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import Engine, WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict_outputs
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network, check_images
from fcpts_ref.pruning.arithmetic import NUMPY, Arithmetic, arithmetic
from fcpts_ref.pruning.selection import Selection
from fcpts_ref.pruning.units import SINGLE_WEIGHTS, Unit, make_unit, unit_costs
from fcpts_ref.spec.allocation import SCORES, Allocation, allocate
from fcpts_ref.spec.bounds import Bounds, check_bounds, free_bounds, shares_within
from fcpts_ref.spec.budget import budget, exact_masks

Array = NDArray[Any]


@dataclass(frozen=True)
class StepReport:
    """The report of a step: its number out of ``steps``, its images, and numbers by name."""

    step: int
    steps: int
    images: int
    numbers: Mapping[str, Any]


OnStep = Callable[[StepReport], None]


def ignore_step(report: StepReport) -> None:
    """An ``on_step`` that does nothing."""


@dataclass(frozen=True)
class Problem:
    """The input of every method: the dense network, calibration images, target and engines.

    images: (n, C, H, W) in [0, 1], of the network's dtype; there are no labels.
    ``teacher`` runs the dense network, ``student`` the sparse one; ``make_engine`` makes an engine
    of the same kind for another graph; ``teacher_cache`` is for passes of the dense network.
    target: share of the cost of the layers in ``bounds``, the fewest and most units that each may
    lose; by default all prunable layers, and all but one unit of each.
    """

    network: Network
    images: Array
    target: float
    teacher: Engine
    student: Engine
    make_engine: Callable[[Graph], Engine] = NumpyEngine
    arithmetic: Arithmetic = NUMPY
    bounds: Bounds = field(default_factory=dict)
    unit: Unit = SINGLE_WEIGHTS
    cost: str = "weights"
    teacher_cache: WeightCache = field(default_factory=WeightCache, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.bounds:
            sizes = unit_counts(self.network.graph, self.unit)
            object.__setattr__(self, "bounds", free_bounds(sizes))

    @property
    def prunable(self) -> tuple[str, ...]:
        """The names of the weights to prune: all but those of layers that stay dense."""
        return tuple(name for name in self.network.graph.prunable if name in self.bounds)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of units of every weight in ``prunable``."""
        counts = unit_counts(self.network.graph, self.unit)
        return {name: counts[name] for name in self.prunable}

    @property
    def narrow(self) -> bool:
        """Whether any layer is capped or fixed."""
        return dict(self.bounds) != free_bounds(self.sizes)

    @cached_property
    def unit_costs(self) -> dict[str, float]:
        """The cost of one unit of every weight in ``prunable``."""
        costs = unit_costs(self.network.graph, self.unit, self.cost)
        return {name: costs[name] for name in self.prunable}

    @property
    def costs(self) -> dict[str, float] | None:
        """``unit_costs``, or None if all units cost the same: then units are counted."""
        return None if len(set(self.unit_costs.values())) == 1 else self.unit_costs

    @property
    def totals(self) -> Array:
        """The cost of each layer, (L,): N of Equation 3."""
        sizes, costs = self.sizes, self.unit_costs
        return np.array([sizes[name] * costs[name] for name in self.prunable])

    @property
    def count(self) -> int | float:
        """The exact budget: the number of units to prune or, if ``costs`` differ, the cost."""
        if self.costs is None:
            return budget(self.target, sum(self.sizes.values()))
        return self.target * float(self.totals.sum())

    def aiming(self, target: float) -> Problem:
        """Return the problem at a lower target; lower bounds shrink in proportion."""
        if target == self.target:
            return self
        share = target / self.target
        bounds = {name: (int(low * share), high) for name, (low, high) in self.bounds.items()}
        return replace(self, target=target, bounds=bounds)

    @cached_property
    def dense_outputs(self) -> dict[str, Array]:
        """The dense network's outputs (n, ...) for all images, batch norm in evaluation mode."""
        return predict_outputs(self.network, self.images, engine=self.teacher)

    def comparing(self, outputs: Mapping[str, str]) -> Problem:
        """Return the problem with engines that also give these outputs, values by name."""
        graph = self.network.graph
        if outputs.items() <= graph.outputs.items():
            return self
        graph = graph.with_outputs(outputs)
        return replace(self, teacher=self.make_engine(graph), student=self.make_engine(graph))

    @property
    def weights(self) -> dict[str, Array]:
        """The dense network's weights to prune, by name."""
        return {name: self.network.parameters[name] for name in self.prunable}

    def magnitudes(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Return, by name, the numbers that are compared with the threshold: the weights, or one
        number per unit."""
        return {name: self.unit.magnitudes(parameters[name]) for name in self.prunable}


def make_problem(
    network: Network,
    images: Array,
    target: float,
    *,
    engine: str = "numba",
    threads: int | None = None,
    selection: Selection | None = None,
    granularity: str = "weight",
    cost: str = "weights",
) -> Problem:
    """Return a checked problem.

    selection: layers that stay dense, and bounds on the rates of others.
    granularity: the unit that is kept or pruned as a whole, "weight" or "filter" (``units.UNITS``).
    cost: the quantity that the target is a share of, "weights" or "macs" (multiply-accumulates).
    Raises InputError for images, a target, a selection, granularity, cost or engine
    that do not fit.
    """
    images = check_images(network.graph, images).astype(network.dtype, copy=False)
    if network.masks:
        raise InputError(
            f"network {network.graph.name!r} is pruned already; start from the dense network"
        )
    units = make_unit(granularity)
    bounds = (selection or Selection()).bounds(unit_counts(network.graph, units))
    make = partial(make_engine, engine=engine, threads=threads)
    teacher, student = make(network.graph), make(network.graph)
    problem = Problem(
        network, images, target, teacher, student, make, arithmetic(engine), bounds, units, cost
    )
    _check_target(problem)
    return problem


def _check_target(problem: Problem) -> None:
    sizes, count = problem.sizes, problem.count
    if problem.costs is not None:
        budget(problem.target, 1)  # refuses a rate outside [0, 1)
        most = sum(problem.unit_costs[n] * high for n, (_, high) in problem.bounds.items())
        if count > most:
            raise InputError(
                f"target {problem.target} is more than the {most / problem.totals.sum():.4f} that "
                "can be pruned without emptying a layer or exceeding its bound; use a lower target"
            )
        return
    if count > sum(sizes.values()) - len(sizes):
        raise InputError(
            f"target {problem.target} prunes {count} of {sum(sizes.values())} {problem.unit.name}s "
            f"and would empty one of the {len(sizes)} layers; use a lower target"
        )
    check_bounds(problem.bounds, int(count))


@dataclass(frozen=True)
class Result:
    """A sparse network and the history of its pruning.

    network: its pruned weights are exactly 0 and ``network.masks`` marks the kept ones; exactly
        round(target * N) are pruned.
    thresholds, rates: of the returned network, by the name of the weight.  A layer's threshold is
        its largest pruned magnitude, so that Equation 1 reproduces its mask, except for ties.
    initial_rates: the allocation that the method started from.
    rate_before_projection: the global rate that the method itself reached, before the last
        projection onto the exact budget.
    dense_layers: layers that the initial allocation left dense.
    left_out: layers that the selection keeps dense; they do not count in the target.
    history: arrays by name whose first axis is the step.
    """

    network: Network
    thresholds: dict[str, float]
    rates: dict[str, float]
    initial_rates: dict[str, float]
    rate_before_projection: float
    dense_layers: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    history: dict[str, Array] = field(default_factory=dict)


class MethodBase:
    """What the command line, comparisons and reports know about a method.

    A method inherits from it and overrides what differs.
    """

    description: ClassVar[str] = ""
    """Two lines at most, for ``fcpts-ref sparsify --help``."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Settings by their name in ``fcpts-ref compare``; if empty, only the method's own name."""
    is_random: ClassVar[bool] = True
    """Whether the result depends on the seed; if not, a comparison runs one seed only."""
    runs_backward: ClassVar[bool] = False
    """Whether it runs backward through the whole network, so that its kernels compile ahead."""

    @property
    def label(self) -> str:
        """The name in tables and figures, with the settings that distinguish two runs."""
        return type(self).__name__

    @property
    def calibration_images(self) -> int:
        """The most calibration images that are used, unless a run sets a number."""
        return 10_240


class Method(Protocol):
    """A method: its settings and these functions; the rest comes from ``MethodBase``."""

    description: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    is_random: ClassVar[bool]
    runs_backward: ClassVar[bool]

    @property
    def label(self) -> str:
        """The name in tables and figures."""

    @property
    def calibration_images(self) -> int:
        """The most calibration images that are used, unless a run sets a number."""

    def begin(self, problem: Problem) -> Any:
        """Return the state before the first stage."""

    def stages(self, problem: Problem) -> int:
        """Return the number of stages; 0 for a method that is finished after ``begin``."""

    def advance(
        self, problem: Problem, state: Any, generator: np.random.Generator, on_step: OnStep
    ) -> Any:
        """Return the state after one more stage."""

    def finish(self, problem: Problem, state: Any) -> Result:
        """Return the result for a state, with its sparse network."""

    def pack(self, state: Any) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state as named arrays, and notes that JSON can hold."""

    def unpack(self, arrays: Mapping[str, Array], notes: Mapping[str, Any]) -> Any:
        """Return the state that ``pack`` was given."""


def run_method(
    method: Method, problem: Problem, generator: np.random.Generator, on_step: OnStep = ignore_step
) -> Result:
    """Run all stages of a method and return its result."""
    state = method.begin(problem)
    for _ in range(method.stages(problem)):
        state = method.advance(problem, state, generator, on_step)
    return method.finish(problem, state)


def allocate_within(name: str, problem: Problem) -> Allocation:
    """Return the allocation of that name at the problem's target, within the layers' bounds.

    The largest weight of every layer is kept; the next weights of other layers are pruned instead.
    Raises InputError as ``allocate`` does.
    """
    units = problem.weights
    if name in SCORES:  # the others use only the shapes of the weights
        units = problem.magnitudes(problem.network.parameters)
    if not problem.narrow:
        return allocate(name, units, problem.target, keep_largest=True)
    dense: set[str] = set()
    sizes = problem.sizes

    def share(layers: tuple[str, ...], count: int) -> dict[str, float]:
        some = {layer: units[layer] for layer in layers}
        size = sum(sizes[layer] for layer in layers)
        found = allocate(name, some, max(count, 0) / size, keep_largest=True)
        dense.update(found.dense)
        return {layer: rate * sizes[layer] for layer, rate in found.rates.items()}

    count = budget(problem.target, sum(sizes.values()))
    lowest, highest = (sum(bound[i] for bound in problem.bounds.values()) for i in (0, 1))
    counts = shares_within(share, problem.bounds, min(max(count, lowest), highest))
    rates = {layer: count / problem.sizes[layer] for layer, count in counts.items()}
    return Allocation(rates, tuple(n for n in counts if n in dense and counts[n] == 0))


def final_masks(
    problem: Problem, parameters: Mapping[str, Array], thresholds: Mapping[str, float]
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, float]]:
    """Return masks of all prunable layers that meet the budget, and each layer's new threshold.

    thresholds: of the layers to prune; those that stay dense keep every weight, at threshold 0.
    A layer's new threshold is its largest pruned magnitude.
    The budget is met exactly; if costs differ, by the fewest units that reach it.
    """
    units = problem.magnitudes(parameters)
    bounds = problem.bounds if problem.narrow else None
    kept = exact_masks(units, thresholds, problem.count, bounds, problem.costs)
    masks, reached = {}, {}
    for name in problem.network.graph.prunable:
        shape = parameters[name].shape
        masks[name] = np.ones(shape, np.bool_)
        reached[name] = 0.0
        if name in kept:
            masks[name] = problem.unit.expand(kept[name], shape)
            reached[name] = float(np.abs(units[name][~kept[name]]).max(initial=0))
    return masks, reached


def unit_counts(graph: Graph, unit: Unit) -> dict[str, int]:
    """Return the number of units of every prunable weight, by name."""
    return {name: unit.count(graph.parameter_shapes[name]) for name in graph.prunable}


def left_out(problem: Problem) -> tuple[str, ...]:
    """Return the names of the prunable weights that stay dense."""
    return tuple(name for name in problem.network.graph.prunable if name not in problem.bounds)


def masked_network(network: Network, masks: Mapping[str, NDArray[np.bool_]]) -> Network:
    """Return the network with its pruned weights set to exactly 0 and the masks attached."""
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
    """Return the largest pruned magnitude of every layer; 0 for a layer without pruned weights."""
    return {
        name: float(np.abs(weights[name][~mask]).max(initial=0)) for name, mask in masks.items()
    }


def mask_rates(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
    """Return the share of pruned weights of every layer."""
    return {name: 1 - np.count_nonzero(mask) / mask.size for name, mask in masks.items()}
