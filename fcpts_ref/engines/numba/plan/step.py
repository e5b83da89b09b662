"""The interface of a step, and the data of one pass.

A step is bound to its buffers once, then run for each pass: ``forward(run)`` and ``backward(run)``.
Parameters, images and all else that changes from pass to pass come with ``run``.  Backward reads
the gradient of the output from ``dy`` and writes the inputs' gradients to ``dinputs`` (None: not
needed).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.numba.convolution.kept_weights import density
from fcpts_ref.engines.numba.convolution.plan import Operands
from fcpts_ref.engines.numba.convolution.winograd.plan import PackedWeights
from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.memory.layout import Scratch
from fcpts_ref.engines.numba.plan.fusion import Group

Array = NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass
class Run:
    """The data of one pass: its inputs, what forward leaves for backward, and its results.

    operands: the operands of every layer by its name, made in forward.
    """

    parameters: Mapping[str, Array]
    buffers: Mapping[str, Array]
    inputs: Mapping[str, Array]
    training: bool
    sparse: bool
    kept: bool = False
    cache: WeightCache | None = None
    operands: dict[str, Operands] = field(default_factory=dict)
    new_buffers: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    densities: dict[str, float] = field(default_factory=dict)

    def density(self, name: str) -> float:
        """Share of a parameter that is not zero, counted once; 1 where zeros may not be skipped."""
        if not self.sparse:
            return 1.0
        known = self.densities if self.cache is None else self.cache.setdefault("densities", {})
        if name not in known:
            known[name] = density(self.parameters[name])
        return float(known[name])

    def cached(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of ``make``, kept for later passes if there is a cache."""
        if self.cache is None:
            return make()
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]

    def packed(self, name: str) -> PackedWeights | None:
        """Where the transformed weights of this name are kept from pass to pass, if anywhere."""
        if self.cache is None:
            return None
        packed: PackedWeights = self.cache.setdefault(name, PackedWeights())
        return packed


class Step(ABC):
    """One group of nodes, with the properties by which the plan assigns its buffers.

    reads: whether backward reads "input" (the first), "inputs" (all) and "output".
    in_place: forward may write over its first input, and backward dx over dy.
    accumulates: backward adds to ``dinputs[i]`` where ``adds[i]``.
    passes: the inputs whose gradient is dy, as backward leaves it.
    """

    reads: tuple[str, ...] = ()
    in_place = False
    accumulates = False
    passes: tuple[int, ...] = ()

    def __init__(self, group: Group, images: int, dtype: np.dtype[Any], keep: bool) -> None:
        self.group, self.images, self.dtype, self.keep = group, images, dtype, keep
        self.name = group.nodes[0].name if group.nodes else group.output
        self.inputs: list[Slot] = []
        self.dinputs: list[Slot | None] = []
        self.adds: list[bool] = []
        self.output: Slot
        self.dy: Slot
        self.scratch = Scratch()  # the plan replaces it by one for all

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        """Whether it can run the group on values of these shapes, by name."""
        return True

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        """Take the buffers of the values."""
        self.inputs, self.output = inputs, output

    def bind_backward(self, dy: Slot, dinputs: list[Slot | None], adds: list[bool]) -> None:
        """Take the buffers of the gradients."""
        self.dy, self.dinputs, self.adds = dy, dinputs, adds

    def follow(self, producer: Step) -> bool:
        """Cooperate with the step that writes the first input (``Group.producer``).

        Returns whether this step runs the producer's forward too.
        """
        return False

    @abstractmethod
    def forward(self, run: Run) -> None:
        """Write the output."""

    @abstractmethod
    def backward(self, run: Run) -> None:
        """Write the gradients of the inputs, and those of the parameters to ``run``."""
