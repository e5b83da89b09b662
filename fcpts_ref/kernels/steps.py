"""The steps of a plan: each bound to its buffers once, then run again and again.

A step has ``forward(run)`` and ``backward(run)``; what a call brings (parameters, images) comes
with ``run``, everything else was bound when the plan was made.  Backward finds the gradient of
the output in ``dy`` and writes the inputs' gradients to ``dinputs`` (None: nobody wants it).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.convolution import _pair
from fcpts_ref.networks.operations import OPERATIONS

from . import batch_norm, pooling
from .activation import LIMITS, NO_LIMITS, limit, limit_backward
from .convolution_plan import ConvolutionPlan
from .fusion import Group
from .layout import ALIGNMENT, Geometry, allocate, interior, keep_mask, round_up
from .linear import LinearPlan
from .normalise import normalise
from .shortcut import add_planes, shortcut, shortcut_backward
from .vectors import lanes

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass
class Run:
    """What one call of the engine brings, and what it takes away."""

    parameters: Mapping[str, Array]
    buffers: Mapping[str, Array]
    images: Array
    training: bool
    sparse: bool
    kept: bool = False
    new_buffers: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Slot:
    """Memory of a value or its gradient: a buffer of planes, or (N, F) without a layout."""

    array: Array
    layout: Geometry | None

    @property
    def geometry(self) -> Geometry:
        """The layout of a buffer of planes."""
        assert self.layout is not None, "rows of features have no planes"
        return self.layout

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.geometry.height, self.geometry.width

    @property
    def values(self) -> Array:
        """The pixels (N, C, H, W), or the features (N, F): a view."""
        return interior(self.array, self.layout) if self.layout else self.array


def rows(shape: Shape, dtype: Any) -> Array:
    """Zeros of this shape, contiguous; whole vectors may be written at the end."""
    size = math.prod(shape)
    return np.zeros(round_up(size, ALIGNMENT), dtype)[:size].reshape(shape)


class Step:
    """What the plan asks of a step before it binds it.

    reads: whether backward reads "input" (the first) and "output".
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
        self.name = group.nodes[0].name
        self.inputs: list[Slot] = []
        self.dinputs: list[Slot | None] = []
        self.adds: list[bool] = []
        self.output: Slot
        self.dy: Slot

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        """Take the buffers of the values."""
        self.inputs, self.output = inputs, output

    def bind_backward(self, dy: Slot, dinputs: list[Slot | None], adds: list[bool]) -> None:
        """Take the buffers of the gradients."""
        self.dy, self.dinputs, self.adds = dy, dinputs, adds

    def forward(self, run: Run) -> None:
        raise NotImplementedError

    def backward(self, run: Run) -> None:
        raise NotImplementedError


class Images(Step):
    """Input normalisation, or (without a node of that kind) only the way into a buffer."""

    def forward(self, run: Run) -> None:
        if self.group.operation != "normalise":
            self.output.values[...] = run.images
            return
        mean, std = run.buffers[f"{self.name}.mean"], run.buffers[f"{self.name}.std"]
        normalise(run.images, mean, 1 / std, self.output.array, self.output.geometry.pitch)


class Convolution(Step):
    """A convolution; its own buffers stand between where its output has another pitch."""

    reads = ("input",)
    accumulates = True

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        attributes = self.group.attributes
        source, target = inputs[0].geometry, output.geometry
        C, K, G = (attributes.get(name, 1) for name in ("in_channels", "out_channels", "groups"))
        walk = {n: attributes[n] for n in ("stride", "padding", "dilation") if n in attributes}
        shape = (K, C // G, *_pair(attributes["kernel"]))
        self.plan = ConvolutionPlan(
            source, shape, self.images, self.dtype, groups=G, border=target.border, **walk
        )
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = attributes.get("bias", False)
        self.y = self.between = None
        if self.plan.output_geometry != target:
            geometry = self.plan.output_geometry
            self.between = Slot(allocate(self.images, K, geometry, self.dtype), geometry)

    def forward(self, run: Run) -> None:
        y = self.between or self.output
        bias = run.parameters[self.bias] if self.biased else None
        x, weight = self.inputs[0].array, run.parameters[self.weight]
        self.plan.forward(x, weight, bias, y.array, sparse=run.sparse)
        if self.between:
            self.output.values[...] = self.between.values

    def backward(self, run: Run) -> None:
        dy, weight = self.dy, run.parameters[self.weight]
        if self.between:
            self.between.values[...] = dy.values
            dy = self.between
        x, dweight = self.inputs[0].array, np.empty_like(weight)
        if run.kept:
            self.plan.kept_weight_gradient(dy.array, x, weight, dweight)
        else:
            self.plan.weight_gradient(dy.array, x, dweight)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = self.dy.values.sum(axis=(0, 2, 3))
        if self.dinputs[0]:
            dx = self.dinputs[0].array
            self.plan.input_gradient(dy.array, weight, dx, sparse=run.sparse, add=self.adds[0])


class Linear(Step):
    """A linear layer on rows of features."""

    reads = ("input",)

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        shape = (output.array.shape[1], inputs[0].array.shape[1])
        self.plan = LinearPlan(shape, self.images, self.dtype)
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = self.group.attributes.get("bias", True)

    def forward(self, run: Run) -> None:
        bias = run.parameters[self.bias] if self.biased else None
        x, weight = self.inputs[0].array, run.parameters[self.weight]
        self.plan.forward(x, weight, bias, self.output.array, sparse=run.sparse)

    def backward(self, run: Run) -> None:
        x, dy, weight = self.inputs[0].array, self.dy.array, run.parameters[self.weight]
        dweight = np.empty_like(weight)
        if run.kept:
            self.plan.kept_weight_gradient(dy, x, weight, dweight)
        else:
            self.plan.weight_gradient(dy, x, dweight)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = dy.sum(axis=0)
        if self.dinputs[0]:
            self.plan.input_gradient(dy, weight, self.dinputs[0].array, sparse=run.sparse)


class BatchNorm(Step):
    """Batch norm with the addition and the activation that follow it."""

    in_place = True

    def __init__(self, group: Group, images: int, dtype: np.dtype[Any], keep: bool) -> None:
        super().__init__(group, images, dtype, keep)
        self.joined, self.gated = group.joined, group.activation is not None
        self.reads = ("input", "output") if self.joined and self.gated else ("input",)
        self.passes = (1,) if self.joined else ()
        limits = LIMITS[group.activation] if group.activation else NO_LIMITS
        self.low, self.high = (dtype.type(value) for value in limits)
        self.momentum = float(group.attributes.get("momentum", 0.1))
        self.epsilon = float(group.attributes.get("epsilon", 1e-5))
        names = ("weight", "bias", "running_mean", "running_var")
        self.names = tuple(f"{self.name}.{short}" for short in names)

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        geometry = output.geometry
        N, C = output.array.shape[:2]
        self.mask = keep_mask(geometry, self.dtype)
        self.vectors = -(-geometry.run // lanes(self.dtype))
        self.pixels = geometry.height * geometry.width
        self.mean, self.scale, self.inverse = (np.zeros(C, self.dtype) for _ in range(3))
        self.offset, self.slope = (np.zeros(C, self.dtype) for _ in range(2))
        self.sums = np.zeros((N, C, 2))  # of planes: moments forward, gradients backward

    def forward(self, run: Run) -> None:
        if run.training and self.images * self.pixels < 2:
            raise InputError(
                f"batch norm {self.name!r} got one image of one pixel in training; expected at "
                "least 2 values per channel"
            )
        gamma, beta = (run.parameters[name] for name in self.names[:2])
        mean, var = (run.buffers[name] for name in self.names[2:])
        x = self.inputs[0].array
        if run.training:
            new_mean, new_var = np.empty_like(mean), np.empty_like(var)
            batch_norm.statistics(x, self.vectors, self.mask, self.pixels, self.sums)
            batch_norm.combine_statistics(
                self.sums, self.pixels, gamma, mean, var, self.momentum, self.epsilon,
                self.mean, self.scale, self.inverse, new_mean, new_var,
            )  # fmt: skip
            run.new_buffers[self.names[2]], run.new_buffers[self.names[3]] = new_mean, new_var
        else:
            batch_norm.fixed_statistics(
                gamma, mean, var, self.epsilon, self.mean, self.scale, self.inverse
            )
        batch_norm.normalise_planes(
            x, self.inputs[-1].array, self.output.array, self.vectors, self.mask,
            self.mean, self.scale, beta, self.low, self.high, self.joined,
        )  # fmt: skip

    def backward(self, run: Run) -> None:
        gamma, beta = (run.parameters[name] for name in self.names[:2])
        x, dy, dx = self.inputs[0].array, self.dy.array, self.dinputs[0]
        joined = self.joined and self.gated
        batch_norm.gradient_sums(
            dy, x, self.output.array, self.vectors, self.mean, self.scale, beta,
            self.low, self.high, self.gated, joined, self.sums,
        )  # fmt: skip
        dgamma, dbeta = np.empty_like(gamma), np.empty_like(beta)
        batch_norm.combine_gradient_sums(
            self.sums, self.images * self.pixels, self.inverse, run.training,
            dgamma, dbeta, self.offset, self.slope,
        )  # fmt: skip
        run.gradients[self.names[0]], run.gradients[self.names[1]] = dgamma, dbeta
        if dx:
            batch_norm.input_gradient(
                dy, x, dx.array, self.vectors, self.mask, self.mean, self.scale, beta,
                self.low, self.high, self.gated and not joined, self.offset, self.slope,
                run.training,
            )  # fmt: skip


class Activation(Step):
    """ReLU or ReLU6 behind anything but batch norm."""

    reads = ("output",)
    in_place = True

    def forward(self, run: Run) -> None:
        low, high = self._limits()
        limit(self.inputs[0].array, self.output.array, low, high)

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            low, high = self._limits()
            limit_backward(self.dy.array, self.output.array, self.dinputs[0].array, low, high)

    def _limits(self) -> tuple[Any, Any]:
        low, high = LIMITS[self.group.operation]
        return self.dtype.type(low), self.dtype.type(high)


class Add(Step):
    """The sum of two branches; dy goes to both."""

    in_place = True
    passes = (0, 1)

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
        self.stride = group.attributes.get("stride", 1)
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
        attributes = self.group.attributes
        kernel = _pair(attributes["kernel"])
        stride = _pair(attributes.get("stride") or attributes["kernel"])
        self.x = inputs[0].size, inputs[0].geometry.pitch
        self.y = output.size, output.geometry.pitch
        padding = _pair(attributes.get("padding", 0))
        if min(*kernel, *stride) < 1 or any(not 0 <= 2 * padding[i] <= kernel[i] for i in (0, 1)):
            raise InputError(
                f"pooling {self.name!r} has kernel {kernel}, stride {stride}, padding {padding}; "
                "expected kernel and stride >= 1 and padding of at most half the kernel"
            )
        self.walk = kernel, stride, padding
        self.largest = self.group.operation == "max_pool"
        if self.largest:
            self.winner = np.zeros((*output.array.shape[:2], math.prod(output.size)), np.int32)

    def forward(self, run: Run) -> None:
        x, y = self.inputs[0].array, self.output.array
        if self.largest:
            pooling.max_pool(x, *self.x, *self.walk, y, *self.y, self.winner)
        else:
            pooling.average_pool(x, *self.x, *self.walk, y, *self.y)

    def backward(self, run: Run) -> None:
        if self.dinputs[0] and self.largest:
            dx = self.dinputs[0].array
            pooling.max_pool_backward(self.dy.array, *self.y, self.winner, dx)
        elif self.dinputs[0]:
            dx = self.dinputs[0].array
            pooling.average_pool_backward(self.dy.array, *self.y, *self.walk, dx, *self.x)


class GlobalPool(Step):
    """The mean of every plane."""

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        geometry = inputs[0].geometry
        self.mask = keep_mask(geometry, self.dtype)
        self.vectors = -(-geometry.run // lanes(self.dtype))
        self.pixels = geometry.height * geometry.width

    def forward(self, run: Run) -> None:
        pooling.plane_means(self.inputs[0].array, self.vectors, self.pixels, self.output.array)

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            dx = self.dinputs[0]
            run_length = dx.geometry.run
            pooling.plane_means_backward(
                self.dy.array, self.pixels, run_length, self.mask, dx.array
            )


class Flatten(Step):
    """Pixels to rows of features."""

    def forward(self, run: Run) -> None:
        self.output.array[...] = self.inputs[0].values.reshape(self.output.array.shape)

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            dx = self.dinputs[0].values
            dx[...] = self.dy.array.reshape(dx.shape)


class Layer(Step):
    """Any operation that has no kernel: its layer in NumPy, between copies."""

    def forward(self, run: Run) -> None:
        operation, attributes = OPERATIONS[self.group.operation], self.group.attributes
        stored = {n: run.parameters[f"{self.name}.{n}"] for n in operation.parameters(attributes)}
        stored |= {n: run.buffers[f"{self.name}.{n}"] for n in operation.buffers(attributes)}
        inputs = [np.ascontiguousarray(slot.values) for slot in self.inputs]
        value, changed, cache = operation.forward(inputs, stored, attributes, run.training)
        run.new_buffers |= {f"{self.name}.{short}": array for short, array in changed.items()}
        self.output.values[...] = value
        self.cache = cache if self.keep else None

    def backward(self, run: Run) -> None:
        dy = np.ascontiguousarray(self.dy.values)
        dinputs, dstored = OPERATIONS[self.group.operation].backward(dy, self.cache)
        run.gradients |= {f"{self.name}.{short}": array for short, array in dstored.items()}
        for slot, dinput in zip(self.dinputs, dinputs, strict=True):
            if slot:
                slot.values[...] = dinput


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
    "flatten": Flatten,
}
"""The step of each operation; what is not here runs as a ``Layer``."""
