"""The steps that have parameters: convolution, linear, batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.convolution.linear import LinearPlan
from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan
from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.memory.layout import allocate, keep_mask
from fcpts_ref.engines.numba.plan.fusion import Group
from fcpts_ref.engines.numba.plan.step import Run, Step
from fcpts_ref.engines.numba.pointwise import batch_norm
from fcpts_ref.engines.numba.pointwise.activation import LIMITS, NO_LIMITS
from fcpts_ref.engines.numba.pointwise.moments import statistics
from fcpts_ref.engines.numba.simd.vectors import lanes
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations.convolution import settings

Array = NDArray[Any]


class Convolution(Step):
    """A convolution; its own buffers stand between where its output has another pitch."""

    reads = ("input",)
    accumulates = True

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        attributes = self.group.attributes
        source, target = inputs[0].geometry, output.geometry
        C, K, G = (attributes[name] for name in ("in_channels", "out_channels", "groups"))
        shape = (K, C // G, *attributes["kernel"])
        self.plan = ConvolutionPlan(
            source, shape, self.images, self.dtype, border=target.border, scratch=self.scratch,
            **settings(attributes),
        )  # fmt: skip
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = attributes["bias"]
        self.between = None
        self.moments: Array | None = None  # of the output's planes, for a batch norm
        if self.plan.output_geometry != target:
            geometry = self.plan.output_geometry
            self.between = Slot(allocate(self.images, K, geometry, self.dtype), geometry)

    def folded(
        self, run: Run, scale: Array, shift: Array, side: Slot | None, limits: tuple[float, float]
    ) -> None:
        """The output scaled and shifted by channel, plus a side branch, cut off at the limits."""
        weight = run.parameters[self.weight] * scale[:, np.newaxis, np.newaxis, np.newaxis]
        if self.biased:
            shift = shift + run.parameters[self.bias] * scale
        self.plan.forward(
            self.inputs[0].array, weight, shift, self.output.array,
            density=run.density(self.weight), side=side.array if side else None, limits=limits,
        )  # fmt: skip

    def forward(self, run: Run) -> None:
        y = self.between or self.output
        bias = run.parameters[self.bias] if self.biased else None
        x, weight = self.inputs[0].array, run.parameters[self.weight]
        moments = self.moments if run.training else None
        self.plan.forward(
            x, weight, bias, y.array, density=run.density(self.weight), moments=moments
        )
        if self.between:
            self.output.values[...] = self.between.values

    def backward(self, run: Run) -> None:
        dy, weight = self.dy, run.parameters[self.weight]
        if self.between:
            self.between.values[...] = dy.values
            dy = self.between
        x, dweight = self.inputs[0].array, np.empty_like(weight)
        if run.kept:
            self.plan.kept_weight_gradient(
                dy.array, x, weight, dweight, density=run.density(self.weight), again=True
            )
        else:
            self.plan.weight_gradient(dy.array, x, dweight)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = self.dy.values.sum(axis=(0, 2, 3))
        if self.dinputs[0]:
            dx = self.dinputs[0].array
            self.plan.input_gradient(
                dy.array, weight, dx, density=run.density(self.weight), add=self.adds[0]
            )


class Linear(Step):
    """A linear layer on rows of features."""

    reads = ("input",)

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        shape = (output.array.shape[1], inputs[0].array.shape[1])
        self.plan = LinearPlan(shape, self.images, self.dtype)
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = self.group.attributes["bias"]

    def forward(self, run: Run) -> None:
        bias = run.parameters[self.bias] if self.biased else None
        x, weight = self.inputs[0].array, run.parameters[self.weight]
        self.plan.forward(x, weight, bias, self.output.array, density=run.density(self.weight))

    def backward(self, run: Run) -> None:
        x, dy, weight = self.inputs[0].array, self.dy.array, run.parameters[self.weight]
        dweight = np.empty_like(weight)
        if run.kept:
            self.plan.kept_weight_gradient(dy, x, weight, dweight, density=run.density(self.weight))
        else:
            self.plan.weight_gradient(dy, x, dweight)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = dy.sum(axis=0)
        if self.dinputs[0]:
            self.plan.input_gradient(
                dy, weight, self.dinputs[0].array, density=run.density(self.weight)
            )


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
        self.momentum = group.attributes["momentum"]
        self.epsilon = group.attributes["epsilon"]
        names = ("weight", "bias", "running_mean", "running_var")
        self.names = tuple(f"{self.name}.{short}" for short in names)
        self.convolution: Convolution | None = None
        self.counted = False

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        geometry = output.geometry
        N, C = output.array.shape[:2]
        self.mask = keep_mask(geometry, self.dtype)
        self.vectors = -(-geometry.run // lanes(self.dtype))
        self.pixels = geometry.height * geometry.width
        self.mean, self.scale, self.inverse = (np.zeros(C, self.dtype) for _ in range(3))
        self.offset, self.slope = (np.zeros(C, self.dtype) for _ in range(2))
        self.moments, self.sums = np.zeros((N, C, 4)), np.zeros((N, C, 2))  # forward, backward

    def count_in(self, convolution: Convolution) -> None:
        """Let the convolution that writes the input take its statistics in training."""
        convolution.moments, self.counted = self.moments, True

    def take_over(self, convolution: Convolution) -> None:
        """Run this convolution too, whose output nobody else reads: as one in evaluation."""
        self.convolution = convolution

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
            if self.convolution is not None:
                self.convolution.forward(run)
            if not self.counted:
                statistics(x, self.mask, self.pixels, self.moments)
            new_mean, new_var = np.empty_like(mean), np.empty_like(var)
            batch_norm.combine_statistics(
                self.moments, gamma, mean, var, self.momentum, self.epsilon,
                self.mean, self.scale, self.inverse, new_mean, new_var,
            )  # fmt: skip
            run.new_buffers[self.names[2]], run.new_buffers[self.names[3]] = new_mean, new_var
        else:
            batch_norm.fixed_statistics(
                gamma, mean, var, self.epsilon, self.mean, self.scale, self.inverse
            )
            if self.convolution is not None:
                shift = beta - self.mean * self.scale
                side = self.inputs[1] if self.joined else None
                self.convolution.folded(run, self.scale, shift, side, (self.low, self.high))
                return
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
