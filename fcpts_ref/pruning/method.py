"""The interface of all pruning methods, and their result.

A method is a frozen dataclass of its settings.  It works in stages (epochs, or layers).  Between
two stages everything it knows is its state, a dataclass of arrays, so that a run can be stored
and continued after any stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.problem import Problem

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
    projects: ClassVar[bool] = True
    """Whether a last projection meets the rate exactly; if not, whole units meet it from above."""

    @property
    def label(self) -> str:
        """The name in tables and figures, with the settings that distinguish two runs."""
        return type(self).__name__

    @property
    def reads_labels(self) -> bool:
        """Whether it trains with the labels of the calibration images."""
        return False

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
    projects: ClassVar[bool]

    @property
    def reads_labels(self) -> bool:
        """Whether it trains with the labels of the calibration images."""

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
