"""The steps that have parameters: convolution, linear, batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.convolution.linear import LinearPlan
from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan, Operands, Weights
from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.memory.layout import allocate, pixel_mask
from fcpts_ref.engines.numba.plan.fusion import Group
from fcpts_ref.engines.numba.plan.step import Run, Shapes, Step
from fcpts_ref.engines.numba.pointwise import batch_norm
from fcpts_ref.engines.numba.pointwise.activation import NO_BOUNDS, bounds_of
from fcpts_ref.engines.numba.pointwise.partial_sums import plane_sums
from fcpts_ref.engines.numba.simd.types import lanes
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
            gradients=self.keep, **settings(attributes),
        )  # fmt: skip
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = attributes["bias"]
        self.between = None
        self.sums: Array | None = None  # partial sums of the output, for a batch norm
        if self.plan.output_geometry != target:
            geometry = self.plan.output_geometry
            self.between = Slot(allocate(self.images, K, geometry, self.dtype), geometry)

    def forward(self, run: Run) -> None:
        self.forward_between(run)
        if self.between:
            self.output.values[...] = self.between.values

    def forward_between(self, run: Run) -> None:
        """``forward`` as far as the own buffers, where there are any."""
        y = self.between or self.output
        bias = run.parameters[self.bias] if self.biased else None
        self.plan.forward(
            self._read(run), bias, y.array, sums=self.sums if run.training else None,
            packed=run.packed(self.weight),
        )  # fmt: skip

    def forward_scaled(
        self, run: Run, scale: Array, shift: Array, residual: Slot | None,
        bounds: tuple[float, float],
    ) -> None:  # fmt: skip
        """The output scaled and shifted by channel, plus a residual, clamped to the bounds."""
        weights, shift = run.cached(
            (self.weight, "scaled", self.plan.key), lambda: self._scaled(run, scale, shift)
        )
        self.plan.forward(
            Operands(self.plan.source(self.inputs[0].array), weights), shift, self.output.array,
            residual=residual.array if residual else None, bounds=bounds,
            packed=run.packed(f"{self.weight}, scaled"),
        )  # fmt: skip

    def _scaled(self, run: Run, scale: Array, shift: Array) -> tuple[Weights, Array]:
        """The weights and the bias with the scale and shift of a batch norm."""
        if self.biased:
            shift = shift + run.parameters[self.bias] * scale
        weight = run.parameters[self.weight] * scale[:, np.newaxis, np.newaxis, np.newaxis]
        density, lasting = run.density(self.weight), run.cache is not None
        return self.plan.weights(weight, density=density, lasting=lasting), shift

    def backward(self, run: Run) -> None:
        dy, weight = self.dy, run.parameters[self.weight]
        if self.between:
            self.between.values[...] = dy.values
            dy = self.between
        operands = run.operands.get(self.name) or self._read(run)
        dweight = np.empty_like(weight)
        if run.kept:
            self.plan.kept_weight_gradient(dy.array, operands, dweight)
        else:
            self.plan.weight_gradient(dy.array, operands, dweight)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = self.dy.values.sum(axis=(0, 2, 3))
        if self.dinputs[0]:
            dx = self.dinputs[0].array
            self.plan.input_gradient(
                dy.array, weight, dx, density=run.density(self.weight), add=self.adds[0]
            )

    def _read(self, run: Run) -> Operands:
        """The operands of this pass, for backward too."""
        weights = run.cached((self.weight, "plain", self.plan.key), lambda: self._listed(run))
        operands = Operands(self.plan.source(self.inputs[0].array), weights)
        run.operands[self.name] = operands
        return operands

    def _listed(self, run: Run) -> Weights:
        weight, density = run.parameters[self.weight], run.density(self.weight)
        return self.plan.weights(weight, density=density, lasting=run.cache is not None)


class Linear(Step):
    """A linear layer on one row of features for each image."""

    reads = ("input",)

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        return len(shapes[group.inputs[0]]) == 1

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        shape = (output.array.shape[1], inputs[0].array.shape[1])
        self.plan = LinearPlan(shape, self.images, self.dtype, scratch=self.scratch)
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = self.group.attributes["bias"]

    def forward(self, run: Run) -> None:
        bias = run.parameters[self.bias] if self.biased else None
        self.plan.forward(self._read(run), bias, self.output.array)

    def backward(self, run: Run) -> None:
        dy, weight = self.dy.array, run.parameters[self.weight]
        operands = run.operands.get(self.name) or self._read(run)
        dweight = np.empty_like(weight)
        if run.kept:
            self.plan.kept_weight_gradient(dy, operands, dweight)
        else:
            self.plan.weight_gradient(dy, operands, dweight)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = dy.sum(axis=0)
        if self.dinputs[0]:
            self.plan.input_gradient(
                dy, weight, self.dinputs[0].array, density=run.density(self.weight)
            )

    def _read(self, run: Run) -> Operands:
        """The operands of this pass, for backward too."""
        operands = self.plan.read(self.inputs[0].array, self.listed(run))
        run.operands[self.name] = operands
        return operands

    def listed(self, run: Run) -> Weights:
        """The weights in the form that the kernel takes, of this pass or from the run's cache."""
        key = self.weight, "plain", self.plan.key
        weights: Weights = run.cached(key, lambda: self._listed(run))
        return weights

    def _listed(self, run: Run) -> Weights:
        weight, density = run.parameters[self.weight], run.density(self.weight)
        return self.plan.weights(weight, density=density, lasting=run.cache is not None)


class BatchNorm(Step):
    """Batch norm with the addition and the activation that follow it."""

    in_place = True

    def __init__(self, group: Group, images: int, dtype: np.dtype[Any], keep: bool) -> None:
        super().__init__(group, images, dtype, keep)
        self.has_residual, self.clamped = group.has_residual, group.activation is not None
        masked_by_output = self.has_residual and self.clamped
        self.reads = ("input", "output") if masked_by_output else ("input",)
        self.passes = (1,) if self.has_residual else ()
        last = group.activation
        bounds = bounds_of(last.operation, last.attributes) if last else NO_BOUNDS
        self.low, self.high = (dtype.type(value) for value in bounds)
        self.momentum = group.attributes["momentum"]
        self.epsilon = group.attributes["epsilon"]
        names = ("weight", "bias", "running_mean", "running_var")
        self.names = tuple(f"{self.name}.{short}" for short in names)
        self.convolution: Convolution | None = None  # that runs as a part of this step
        self.counted = False  # whether the convolution takes the partial sums

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        geometry = output.geometry
        N, C = output.array.shape[:2]
        vectors = -(-geometry.row_span // lanes(self.dtype))
        self.planes = batch_norm.Planes(vectors, pixel_mask(geometry, self.dtype))
        self.pixels = geometry.height * geometry.width
        self.mean, self.scale, self.inverse = (np.zeros(C, self.dtype) for _ in range(3))
        self.offset, self.slope = (np.zeros(C, self.dtype) for _ in range(2))
        self.partial_sums, self.gradient_sums = np.zeros((N, C, 4)), np.zeros((N, C, 2))

    def follow(self, producer: Step) -> bool:
        """Let the convolution take the partial sums; run it if its output can be overwritten."""
        if not isinstance(producer, Convolution) or producer.between is not None:
            return False
        producer.sums, self.counted = self.partial_sums, True
        if self.output is not producer.output:
            return False
        self.convolution = producer
        return True

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
                plane_sums(x, self.planes.mask, self.pixels, self.partial_sums)
            new_mean, new_var = np.empty_like(mean), np.empty_like(var)
            batch_norm.combine_statistics(
                self.partial_sums, gamma, mean, var, self.momentum, self.epsilon,
                self.mean, self.scale, self.inverse, new_mean, new_var,
            )  # fmt: skip
            run.new_buffers[self.names[2]], run.new_buffers[self.names[3]] = new_mean, new_var
        else:
            batch_norm.fixed_statistics(
                gamma, mean, var, self.epsilon, self.mean, self.scale, self.inverse
            )
            if self.convolution is not None:
                shift = beta - self.mean * self.scale
                residual = self.inputs[1] if self.has_residual else None
                bounds = self.low, self.high
                self.convolution.forward_scaled(run, self.scale, shift, residual, bounds)
                return
        batch_norm.normalise_planes(
            x, self.inputs[-1].array, self.output.array, self.planes, self._affine(beta),
            self.has_residual,
        )  # fmt: skip

    def backward(self, run: Run) -> None:
        gamma, beta = (run.parameters[name] for name in self.names[:2])
        x, dy, dx = self.inputs[0].array, self.dy.array, self.dinputs[0]
        masked_by_output, affine = self.has_residual and self.clamped, self._affine(beta)
        batch_norm.gradient_sums(
            dy, x, self.output.array, self.planes.vectors, affine, self.clamped,
            masked_by_output, self.gradient_sums,
        )  # fmt: skip
        dgamma, dbeta = np.empty_like(gamma), np.empty_like(beta)
        batch_norm.combine_gradient_sums(
            self.gradient_sums, self.images * self.pixels, self.inverse, run.training,
            dgamma, dbeta, self.offset, self.slope,
        )  # fmt: skip
        run.gradients[self.names[0]], run.gradients[self.names[1]] = dgamma, dbeta
        if dx:
            batch_norm.input_gradient(
                dy, x, dx.array, self.planes, affine, self.clamped and not masked_by_output,
                self.offset, self.slope, run.training,
            )  # fmt: skip

    def _affine(self, beta: Array) -> batch_norm.Affine:
        return batch_norm.Affine(self.mean, self.scale, beta, self.low, self.high)
