"""What every pruning method is given: a network, images, a target, and engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import real_number
from fcpts_ref.engines.base import DivisibleEngine, Engine, WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict_outputs
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network, check_images
from fcpts_ref.pruning.arithmetic import NUMPY, Arithmetic, arithmetic
from fcpts_ref.pruning.selection import Selection
from fcpts_ref.pruning.units import SINGLE_WEIGHTS, Unit, make_unit, unit_costs, unit_counts
from fcpts_ref.spec.bounds import Bounds, check_bounds, free_bounds
from fcpts_ref.spec.budget import budget

Array = NDArray[Any]

TARGET_TOLERANCE = 5e-4
"""How far a target may be from the rate that a unit fixes: 0.333 for 1/3."""


@dataclass(frozen=True)
class Problem:
    """The input of every method: the dense network, calibration images, target and engines.

    images: (n, C, H, W) in [0, 1], of the network's dtype, an array or a sequence that reads them
    when it is indexed (``data.prepared``).  labels: theirs, (n,), for methods that train with them;
    None if they are unknown.
    ``teacher`` runs the dense network, ``student`` the sparse one; ``make_engine`` makes an engine
    of the same kind for another graph; ``teacher_cache`` is for passes of the dense network.
    target: share of the cost of the layers in ``bounds``, the fewest and most units that each may
    lose; by default all prunable layers, and all but one unit of each.
    """

    network: Network
    images: Any
    target: float
    teacher: Engine
    student: Engine
    make_engine: Callable[[Graph], DivisibleEngine] = NumpyEngine
    arithmetic: Arithmetic = NUMPY
    bounds: Bounds = field(default_factory=dict)
    unit: Unit = SINGLE_WEIGHTS
    cost: str = "weights"
    teacher_cache: WeightCache = field(default_factory=WeightCache, compare=False, repr=False)
    labels: NDArray[np.integer[Any]] | None = None

    def __post_init__(self) -> None:
        if not self.bounds:
            sizes = unit_counts(self.network.graph, self.unit)
            object.__setattr__(self, "bounds", free_bounds(sizes))

    @cached_property
    def prunable(self) -> tuple[str, ...]:
        """The names of the weights to prune: all but those of layers that stay dense."""
        return tuple(name for name in self.network.graph.prunable if name in self.bounds)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of units of every weight in ``prunable``."""
        counts = unit_counts(self.network.graph, self.unit)
        return {name: counts[name] for name in self.prunable}

    @cached_property
    def narrow(self) -> bool:
        """Whether any layer is capped or fixed."""
        return dict(self.bounds) != free_bounds(self.sizes)

    @cached_property
    def unit_costs(self) -> dict[str, float]:
        """The cost of one unit of every weight in ``prunable``."""
        costs = unit_costs(self.network.graph, self.unit, self.cost)
        return {name: costs[name] for name in self.prunable}

    @cached_property
    def costs(self) -> dict[str, float] | None:
        """``unit_costs``, or None if units are counted: if all cost the same, or the unit fixes the
        rate of every layer."""
        alike = len(set(self.unit_costs.values())) == 1 or self.unit.rate is not None
        return None if alike else self.unit_costs

    @cached_property
    def totals(self) -> Array:
        """The cost of each layer, (L,): N of Equation 3."""
        sizes, costs = self.sizes, self.unit_costs
        totals = np.array([sizes[name] * costs[name] for name in self.prunable])
        totals.setflags(write=False)
        return totals

    @cached_property
    def count(self) -> int | float:
        """The exact budget: the number of units to prune or, if ``costs`` differ, the cost."""
        if self.costs is None:
            return budget(self.target, sum(self.sizes.values()))
        return self.target * float(self.totals.sum())

    def aiming(self, target: float) -> Problem:
        """Return the problem at a lower target; lower bounds shrink in proportion.

        A unit that fixes the rate has no lower target.
        """
        if target == self.target or self.unit.rate is not None:
            return self
        share = target / self.target
        bounds = {name: (int(low * share), high) for name, (low, high) in self.bounds.items()}
        return replace(self, target=target, bounds=bounds)

    @cached_property
    def dense_outputs(self) -> dict[str, Array]:
        """The dense network's outputs (n, ...) for all images, batch norm in evaluation mode."""
        return predict_outputs(self.network, self.images, engine=self.teacher)

    def dense_on(self, images: Array, *, training: bool) -> Mapping[str, Array]:
        """Return the dense network's outputs (B, ...) by name on a batch of images.

        training: its batch norm uses the statistics of the batch (convention 15).
        """
        network = self.network
        inputs = {network.graph.input: images}
        return self.teacher.forward(
            network.parameters,
            network.buffers,
            inputs,
            training=training,
            cache=self.teacher_cache,
        ).outputs

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
    images: Any,
    target: float,
    *,
    engine: str = "numba",
    threads: int | None = None,
    selection: Selection | None = None,
    granularity: str = "weight",
    cost: str = "weights",
    labels: NDArray[np.integer[Any]] | None = None,
) -> Problem:
    """Return a checked problem.

    selection: layers that stay dense, and bounds on the rates of others.
    granularity: the unit that is kept or pruned as a whole, such as "weight", "filter", "2:4" or
    "4x4" (``units.make_unit``).
    cost: the quantity that the target is a share of, "weights" or "macs" (multiply-accumulates).
    labels: (n,) classes of the images, for methods that train with them.
    Raises InputError for images, labels, a target, a selection, granularity, cost or engine
    that do not fit.
    """
    images = check_images(network.graph, images).astype(network.dtype, copy=False)
    if network.masks:
        raise InputError(
            f"network {network.graph.name!r} is pruned already; start from the dense network"
        )
    units = make_unit(granularity)
    bounds = (selection or Selection()).bounds(unit_counts(network.graph, units))
    if units.rate is not None:
        bounds = _fixed_bounds(network.graph, units, bounds)
        target = _fixed_target(target, units)
    make = partial(make_engine, engine=engine, threads=threads)
    teacher, student = make(network.graph), make(network.graph)
    problem = Problem(
        network,
        images,
        target,
        teacher,
        student,
        make,
        arithmetic(engine, threads),
        bounds,
        units,
        cost,
        labels=None if labels is None else _checked_labels(labels, len(images), network.graph),
    )
    _check_target(problem)
    return problem


def _checked_labels(labels: Any, n: int, graph: Graph) -> NDArray[np.integer[Any]]:
    found = np.asarray(labels)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise InputError(
            f"labels have shape {found.shape} and dtype {found.dtype}; expected integers, one for "
            f"each of {counted(n, 'image')}"
        )
    if found.min() < 0 or found.max() >= graph.classes:
        raise InputError(
            f"labels run from {found.min()} to {found.max()}; expected the "
            f"{counted(graph.classes, 'class', 'classes')} of the network, 0 to {graph.classes - 1}"
        )
    return found


def _fixed_target(target: float, unit: Unit) -> float:
    """Return the rate of a unit that fixes it.  Raises InputError for another target."""
    assert unit.rate is not None
    if not abs(real_number(target, "target", "a sparsity rate") - unit.rate) < TARGET_TOLERANCE:
        raise InputError(
            f"target is {target}; granularity {unit.name} prunes {unit.rate:.4g} of every layer: "
            f"use that target, or another granularity"
        )
    return unit.rate


def _fixed_bounds(graph: Graph, unit: Unit, bounds: Bounds) -> dict[str, tuple[int, int]]:
    """Return the bounds of the layers that a unit fits, at its rate.

    Raises InputError if it fits none, or a layer's own rate or cap contradicts it.
    """
    assert unit.rate is not None
    result, shapes = {}, graph.parameter_shapes
    for name, (low, high) in bounds.items():
        if not unit.fits(shapes[name]):
            continue
        count = round(unit.rate * unit.count(shapes[name]))
        if not low <= count <= high:
            raise InputError(
                f"granularity {unit.name} prunes {unit.rate:.4g} of {name!r}, and its rate or cap "
                "is another; omit it, or keep the layer dense"
            )
        result[name] = (count, count)
    if not result:
        raise InputError(
            f"granularity {unit.name} fits no layer: their inputs do not divide into such groups; "
            "use another one"
        )
    return result


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
            f"and would empty one of the {counted(len(sizes), 'layer')}; use a lower target"
        )
    check_bounds(problem.bounds, int(count))
