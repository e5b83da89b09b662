"""The steps of transformers: values (N, T, D) are rows of features, and products go to BLAS."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.convolution.linear import LinearPlan
from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.plan.fusion import Group
from fcpts_ref.engines.numba.plan.step import Run, Shapes, Step
from fcpts_ref.engines.numba.tokens import rows
from fcpts_ref.engines.numba.tokens.products import product
from fcpts_ref.engines.numba.tuning import SPARSE_PRODUCT_BELOW

Array = NDArray[Any]


def as_rows(slot: Slot, features: int) -> Array:
    """The values as rows (M, features): a view."""
    return slot.array.reshape(-1, features)


class TokenLinear(Step):
    """A linear layer over the last axis: a product by BLAS, or by kernels that skip zeros."""

    reads = ("input",)

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        return len(shapes[group.inputs[0]]) not in (1, 3)  # those are features, and planes

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        attributes = self.group.attributes
        self.shape = attributes["out_features"], attributes["in_features"]
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = attributes["bias"]

    def forward(self, run: Run) -> None:
        K, C = self.shape
        x, y, weight = as_rows(self.inputs[0], C), as_rows(self.output, K), run.parameters
        if self._skips_zeros(run):
            plan, density = self._plan(), run.density(self.weight)
            plan.forward(plan.operands(x, weight[self.weight], density=density), None, y)
        else:
            product(x, weight[self.weight].T, y)
        if self.biased:
            rows.add_bias(y, weight[self.bias])

    def backward(self, run: Run) -> None:
        K, C = self.shape
        x, dy, weight = as_rows(self.inputs[0], C), as_rows(self.dy, K), run.parameters[self.weight]
        dx = as_rows(self.dinputs[0], C) if self.dinputs[0] else None
        dweight = np.empty_like(weight)
        if self._skips_zeros(run) and run.kept:
            plan, density = self._plan(), run.density(self.weight)
            operands = plan.operands(x, weight, density=density)
            plan.kept_weight_gradient(dy, operands, dweight)
            if dx is not None:
                plan.input_gradient(dy, weight, dx, density=density)
        else:
            product(dy.T, x, dweight)
            if run.kept:
                rows.keep_where(weight, dweight)
            if dx is not None:
                product(dy, weight, dx)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = rows.column_sums(dy)

    def _skips_zeros(self, run: Run) -> bool:
        return run.density(self.weight) < SPARSE_PRODUCT_BELOW

    def _plan(self) -> LinearPlan:
        """The kernels of this shape, and their buffers: all layers of the shape take turns."""
        M = self.inputs[0].array.size // self.shape[1]
        plans = self.scratch.shared
        if (self.shape, M) not in plans:
            plans[self.shape, M] = LinearPlan(self.shape, M, self.dtype)
        plan: LinearPlan = plans[self.shape, M]
        return plan


class PatchConvolution(Step):
    """A convolution whose windows do not overlap: each is a row, and the layer a product."""

    reads = ("input",)

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        a = group.attributes
        whole = a["stride"] == a["kernel"] and not any(a["padding"]) and a["dilation"] == (1, 1)
        return bool(whole and a["groups"] == 1 and min(a["kernel"]) > 1)

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        self.kernel = self.group.attributes["kernel"]
        self.weight, self.bias = f"{self.name}.weight", f"{self.name}.bias"
        self.biased = self.group.attributes["bias"]
        K, C = output.array.shape[1], inputs[0].array.shape[1]
        self.M, self.K, self.C = self.images * math.prod(output.size), K, C

    def forward(self, run: Run) -> None:
        x, y = self._buffers()
        self._gather(x)
        product(x, self._matrix(run).T, y)
        if self.biased:
            rows.add_bias(y, run.parameters[self.bias])
        self.output.values[...] = y.reshape(self.images, *self.output.size, -1).transpose(
            0, 3, 1, 2
        )

    def backward(self, run: Run) -> None:
        x, dy = self._buffers()
        self._gather(x)
        dy.reshape(self.images, *self.output.size, -1).transpose(0, 3, 1, 2)[...] = self.dy.values
        weight, dweight = self._matrix(run), np.empty_like(run.parameters[self.weight])
        flat = dweight.reshape(self.K, -1)
        product(dy.T, x, flat)
        if run.kept:
            rows.keep_where(weight, flat)
        run.gradients[self.weight] = dweight
        if self.biased:
            run.gradients[self.bias] = rows.column_sums(dy)
        if self.dinputs[0]:
            product(dy, weight, x)
            self.dinputs[0].values[...] = 0  # pixels beyond the last whole window
            self._windows(self.dinputs[0])[...] = self._split(x)

    def _matrix(self, run: Run) -> Array:
        return run.parameters[self.weight].reshape(self.K, -1)

    def _buffers(self) -> tuple[Array, Array]:
        """Memory for the windows (M, C R S) and for y or dy (M, K)."""
        window = self.C * math.prod(self.kernel)
        both = self.scratch.take((self.M * (window + self.K),), self.dtype)
        x, y = both[: self.M * window], both[self.M * window :]
        return x.reshape(self.M, window), y.reshape(self.M, self.K)

    def _windows(self, slot: Slot) -> Array:
        """The pixels as a view (N, C, P, R, Q, S)."""
        (P, Q), (R, S) = self.output.size, self.kernel
        image = slot.values[:, :, : P * R, : Q * S]
        n, c, down, right = image.strides
        return np.lib.stride_tricks.as_strided(
            image, (self.images, self.C, P, R, Q, S), (n, c, R * down, down, S * right, right)
        )

    def _split(self, x: Array) -> Array:
        """The rows (M, C R S) as a view (N, C, P, R, Q, S)."""
        (P, Q), (R, S) = self.output.size, self.kernel
        return x.reshape(self.images, P, Q, self.C, R, S).transpose(0, 3, 1, 4, 2, 5)

    def _gather(self, x: Array) -> None:
        self._split(x)[...] = self._windows(self.inputs[0])


class LayerNorm(Step):
    """Layer norm over the last axes."""

    reads = ("input",)
    in_place = True

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        return len(shapes[group.inputs[0]]) != 3

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        shape = self.group.attributes["shape"]
        self.D, self.epsilon = math.prod(shape), self.group.attributes["epsilon"]
        self.affine, self.shape = self.group.attributes["affine"], shape
        M = output.array.size // self.D
        self.mean, self.inverse = np.zeros(M), np.zeros(M)
        self.plain = np.ones(self.D, self.dtype), np.zeros(self.D, self.dtype)

    def forward(self, run: Run) -> None:
        x, y = as_rows(self.inputs[0], self.D), as_rows(self.output, self.D)
        rows.layer_norm(x, *self._parameters(run), self.epsilon, y, self.mean, self.inverse)

    def backward(self, run: Run) -> None:
        x, dy = as_rows(self.inputs[0], self.D), as_rows(self.dy, self.D)
        dx = as_rows(self.dinputs[0], self.D) if self.dinputs[0] else None
        gamma, _ = self._parameters(run)
        dgamma, dbeta = rows.layer_norm_backward(dy, x, gamma, self.mean, self.inverse, dx)
        if self.affine:
            run.gradients[f"{self.name}.weight"] = dgamma.reshape(self.shape)
            run.gradients[f"{self.name}.bias"] = dbeta.reshape(self.shape)

    def _parameters(self, run: Run) -> tuple[Array, Array]:
        if not self.affine:
            return self.plain
        gamma, beta = (run.parameters[f"{self.name}.{short}"] for short in ("weight", "bias"))
        return gamma.reshape(-1), beta.reshape(-1)


class Transpose(Step):
    """The axes in another order."""

    def forward(self, run: Run) -> None:
        self.output.values[...] = self.inputs[0].values.transpose(self._axes())

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            self.dinputs[0].values.transpose(self._axes())[...] = self.dy.values

    def _axes(self) -> tuple[int, ...]:
        return (0, *(axis + 1 for axis in self.group.attributes["permutation"]))


class ClassToken(Step):
    """The token before the others."""

    def forward(self, run: Run) -> None:
        self.output.array[:, 0] = run.parameters[f"{self.name}.token"]
        self.output.array[:, 1:] = self.inputs[0].array

    def backward(self, run: Run) -> None:
        run.gradients[f"{self.name}.token"] = self.dy.array[:, 0].sum(axis=0)
        if self.dinputs[0]:
            self.dinputs[0].array[...] = self.dy.array[:, 1:]


class Position(Step):
    """An added parameter of the value's own shape; dy goes to the value."""

    in_place = True
    passes = (0,)

    @classmethod
    def suits(cls, group: Group, shapes: Shapes) -> bool:
        a = group.attributes
        return bool(a["shape"] == shapes[group.inputs[0]] and a["role"] != "constant")

    def forward(self, run: Run) -> None:
        parameter = run.parameters[f"{self.name}.parameter"]
        np.add(self.inputs[0].values, parameter, out=self.output.values)

    def backward(self, run: Run) -> None:
        run.gradients[f"{self.name}.parameter"] = self.dy.values.sum(axis=0)
