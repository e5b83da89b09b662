"""The steps of activations, products and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.memory.layout import pixel_mask
from fcpts_ref.engines.numba.plan.fusion import Group
from fcpts_ref.engines.numba.plan.step import Run, Shapes, Step
from fcpts_ref.engines.numba.pointwise import smooth
from fcpts_ref.engines.numba.pointwise.activation import (
    bounds_of,
    clamp_planes,
    clamp_planes_backward,
)
from fcpts_ref.engines.numba.pointwise.product import (
    multiply_values,
    scale_gradients,
    scale_planes,
)
from fcpts_ref.engines.numba.simd.types import lanes, static_size


class Activation(Step):
    """ReLU, ReLU6 or clip behind anything but batch norm."""

    reads = ("output",)
    in_place = True

    def __init__(self, group: Group, images: int, dtype: np.dtype[Any], keep: bool) -> None:
        super().__init__(group, images, dtype, keep)
        bounds = bounds_of(group.operation, group.attributes)
        self.low, self.high = (dtype.type(bound) for bound in bounds)

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        """Whether the zeros between the pixels stay zeros."""
        low, high = bounds_of(group.operation, group.attributes)
        return not (low > 0 or high < 0)

    def forward(self, run: Run) -> None:
        clamp_planes(self.inputs[0].array, self.output.array, self.low, self.high)

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            clamp_planes_backward(
                self.dy.array, self.output.array, self.dinputs[0].array, self.low, self.high
            )


class Smooth(Step):
    """An activation of ``pointwise.smooth``."""

    reads = ("input",)
    in_place = True

    def __init__(self, group: Group, images: int, dtype: np.dtype[Any], keep: bool) -> None:
        super().__init__(group, images, dtype, keep)
        choice = smooth.choose(group.operation, group.attributes)
        self.keeps_zero = choice.keeps_zero
        self.settings = dtype.type(choice.p), dtype.type(choice.q)
        self.value, self.slope = static_size(choice.number), static_size(choice.number + 1)

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        if output.layout and not self.keeps_zero:
            self.vectors = -(-output.layout.row_span // lanes(self.dtype))
            self.mask = pixel_mask(output.layout, self.dtype)

    def forward(self, run: Run) -> None:
        x, y = self.inputs[0].array, self.output.array
        if self.output.layout and not self.keeps_zero:
            smooth.activate_planes(x, y, self.vectors, self.mask, self.value, *self.settings)
        else:
            smooth.activate(x, y, self.value, *self.settings)

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            x, dx = self.inputs[0].array, self.dinputs[0].array
            smooth.activate_backward(self.dy.array, x, dx, self.slope, *self.settings)


class Product(Step):
    """The product of two values of one shape, or of images and one factor per channel."""

    reads = ("inputs",)

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        a, b = (shapes[name] for name in group.inputs)
        return a == b or (len(a) == len(b) == 3 and (a[0], 1, 1) in (a, b) and a[0] == b[0])

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        a, b = (slot.values.shape for slot in inputs)
        self.scaled = None if a == b else int(a[2:] == (1, 1))  # which input has the pixels

    def forward(self, run: Run) -> None:
        a, b = (slot.array for slot in self.inputs)
        if self.scaled is None:
            multiply_values(a, b, self.output.array)
        else:
            x, factors = (a, b) if self.scaled == 0 else (b, a)
            scale_planes(x, factors, self.output.array)

    def backward(self, run: Run) -> None:
        dy, pairs = self.dy.array, zip(self.dinputs, reversed(self.inputs), strict=True)
        for i, (dinput, other) in enumerate(pairs):
            if not dinput:
                continue
            if self.scaled is None:
                multiply_values(dy, other.array, dinput.array)
            elif i == self.scaled:
                scale_planes(dy, other.array, dinput.array)
            else:
                scale_gradients(dy, other.array, dinput.array)


class Identity(Step):
    """Dropout, which drops nothing."""

    in_place = True
    passes = (0,)

    def forward(self, run: Run) -> None:
        if self.output is not self.inputs[0]:
            self.output.array[...] = self.inputs[0].array

    def backward(self, run: Run) -> None:
        pass
