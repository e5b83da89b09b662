"""The step of every operation; those with parameters are in ``weighted_steps``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.memory.layout import pixel_mask
from fcpts_ref.engines.numba.plan.attention_steps import Attention
from fcpts_ref.engines.numba.plan.fusion import Group
from fcpts_ref.engines.numba.plan.moving_steps import Concat, Pad, Slice
from fcpts_ref.engines.numba.plan.pointwise_steps import Activation, Identity, Product, Smooth
from fcpts_ref.engines.numba.plan.step import Run, Shapes, Step
from fcpts_ref.engines.numba.plan.token_steps import (
    ClassToken,
    LayerNorm,
    PatchConvolution,
    Position,
    TokenLinear,
    Transpose,
)
from fcpts_ref.engines.numba.plan.weighted_steps import BatchNorm, Convolution, Linear
from fcpts_ref.engines.numba.pointwise import means, pooling
from fcpts_ref.engines.numba.pointwise.normalise import normalise
from fcpts_ref.engines.numba.pointwise.shortcut import add_planes, shortcut, shortcut_backward
from fcpts_ref.engines.numba.simd.types import lanes
from fcpts_ref.graphs.execution import stored_of
from fcpts_ref.graphs.operations.pooling import windows_of
from fcpts_ref.layers.mean import mean_axes


class Input(Step):
    """The copy of an input into a buffer."""

    def forward(self, run: Run) -> None:
        self.output.values[...] = run.inputs[self.group.output]

    def backward(self, run: Run) -> None:
        """Nothing: the gradient of an input is not needed."""


class Normalise(Step):
    """Normalisation of an input, on its way into a buffer."""

    def forward(self, run: Run) -> None:
        images = run.inputs[self.group.inputs[0]]
        mean, std = run.buffers[f"{self.name}.mean"], run.buffers[f"{self.name}.std"]
        normalise(images, mean, 1 / std, self.output.array, self.output.geometry.pitch)

    def backward(self, run: Run) -> None:
        """Nothing: the gradient of an input is not needed."""


class Add(Step):
    """The sum of two branches; dy goes to both."""

    in_place = True
    passes = (0, 1)

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        return len({shapes[name] for name in group.inputs}) == 1  # nothing is repeated

    def forward(self, run: Run) -> None:
        a, b = self.inputs
        add_planes(a.array, b.array, self.output.array)

    def backward(self, run: Run) -> None:
        pass


class Shortcut(Step):
    """Subsample, zero_pad, or both."""

    accumulates = True

    def __init__(self, group: Group, images: int, dtype: np.dtype[Any], keep: bool) -> None:
        super().__init__(group, images, dtype, keep)
        self.stride = group.attributes["stride"] if group.operation == "subsample" else 1
        self.before = group.padded.attributes["before"] if group.padded else 0

    def forward(self, run: Run) -> None:
        x, y = self.inputs[0], self.output
        pitch = x.geometry.pitch
        shortcut(x.array, pitch, self.stride, self.before, y.array, y.size, y.geometry.pitch)

    def backward(self, run: Run) -> None:
        dx, pitch = self.dinputs[0], self.dy.geometry.pitch
        if dx:
            shortcut_backward(
                self.dy.array, pitch, self.stride, self.before,
                dx.array, dx.size, dx.geometry.pitch, self.adds[0],
            )  # fmt: skip


class Pool(Step):
    """Max or average pooling."""

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        attributes, x = self.group.attributes, inputs[0]
        windows = windows_of(attributes)
        self.walk = pooling.make_walk(windows, x.geometry, output.geometry, self.dtype)
        self.largest = self.group.operation == "max_pool"
        if self.largest:
            shape = *output.array.shape[:2], math.prod(output.size)
            self.winner = np.zeros(shape, self.walk.first.dtype)
            self.LANES = pooling.vector_lanes(self.walk, self.dtype)
        else:
            counted = attributes["count_include_pad"]
            self.counts = windows.reached(x.size, padding=counted)

    def forward(self, run: Run) -> None:
        x, y = self.inputs[0].array, self.output.array
        if self.largest:
            pooling.max_pool(x, self.walk, y, self.winner, self.LANES)
        else:
            pooling.average_pool(x, self.walk, *self.counts, y)

    def backward(self, run: Run) -> None:
        if self.dinputs[0] and self.largest:
            dx = self.dinputs[0].array
            pooling.max_pool_backward(self.dy.array, self.walk, self.winner, dx)
        elif self.dinputs[0]:
            dx = self.dinputs[0].array
            pooling.average_pool_backward(self.dy.array, self.walk, *self.counts, dx)


class GlobalPool(Step):
    """The mean of every plane."""

    accumulates = True

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        shape = shapes[group.inputs[0]]
        axes = mean_axes(shape, group.attributes.get("axes", (1, 2)))
        return len(shape) == 3 and axes == (2, 3)

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        geometry = inputs[0].geometry
        self.mask = pixel_mask(geometry, self.dtype)
        self.vectors = -(-geometry.row_span // lanes(self.dtype))
        self.pixels = geometry.height * geometry.width

    def forward(self, run: Run) -> None:
        y = _per_channel(self.output)
        means.plane_means(self.inputs[0].array, self.vectors, self.pixels, y)

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            dy, dx = _per_channel(self.dy), self.dinputs[0]
            means.plane_means_backward(
                dy, self.pixels, dx.geometry.row_span, self.mask, dx.array, self.adds[0]
            )


def _per_channel(slot: Slot) -> Any:
    """The values (N, C), also of images of one pixel."""
    return slot.array[:, :, 0] if slot.layout else slot.array


class Reshape(Step):
    """The same values in another shape: flatten and reshape."""

    def forward(self, run: Run) -> None:
        y = self.output.values
        y[...] = self.inputs[0].values.reshape(y.shape)

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            dx = self.dinputs[0].values
            dx[...] = self.dy.values.reshape(dx.shape)


class Layer(Step):
    """Any operation that has no kernel: its layer in NumPy, between copies."""

    def forward(self, run: Run) -> None:
        node = self.group.nodes[0]
        stored = stored_of(node, run.parameters, run.buffers)
        # Copies, because the cache may hold them when the buffers have other values already.
        inputs = [np.array(slot.values, order="C") for slot in self.inputs]
        value, changed, cache = node.row.forward(inputs, stored, node.attributes, run.training)
        run.new_buffers |= {f"{self.name}.{short}": array for short, array in changed.items()}
        self.output.values[...] = value
        self.cache = cache if self.keep else None

    def backward(self, run: Run) -> None:
        dy = np.ascontiguousarray(self.dy.values)
        dinputs, dstored = self.group.nodes[0].row.backward(dy, self.cache)
        run.gradients |= {f"{self.name}.{short}": array for short, array in dstored.items()}
        for slot, dinput in zip(self.dinputs, dinputs, strict=True):
            if slot:
                slot.values[...] = dinput


TOKEN_STEPS: dict[str, type[Step]] = {
    "attention": Attention,
    "linear": TokenLinear,
    "convolution": PatchConvolution,
    "layer_norm": LayerNorm,
    "transpose": Transpose,
    "class_token": ClassToken,
    "add_parameter": Position,
}
"""The steps of transformers, which suit some shapes only and are asked first."""

STEPS: dict[str, type[Step]] = {
    "convolution": Convolution,
    "linear": Linear,
    "batch_norm": BatchNorm,
    "relu": Activation,
    "relu6": Activation,
    "add": Add,
    "subsample": Shortcut,
    "zero_pad": Shortcut,
    "max_pool": Pool,
    "average_pool": Pool,
    "global_average_pool": GlobalPool,
    "mean": GlobalPool,
    "clip": Activation,
    **dict.fromkeys(
        ("sigmoid", "silu", "hard_sigmoid", "hard_swish", "leaky_relu", "gelu"), Smooth
    ),
    "multiply": Product,
    "dropout": Identity,
    "concat": Concat,
    "slice": Slice,
    "pad": Pad,
    "flatten": Reshape,
    "reshape": Reshape,
}
"""The step of each operation; what is not here, or does not suit, runs as a ``Layer``."""


def step_class(group: Group, shapes: Shapes) -> type[Step]:
    """The step that runs a group of nodes; shapes: of the values, without the batch."""
    for table in (TOKEN_STEPS, STEPS):
        step = table.get(group.operation)
        if step is not None and step.suits(group, shapes):
            return step
    return Layer
