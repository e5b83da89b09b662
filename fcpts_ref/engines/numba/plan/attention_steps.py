"""Attention, image after image: the weights of one image are held at a time, never of a batch.

Backward computes them once more from queries and keys, which it reads anyway.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.jit.share import share
from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.plan.step import Run, Step
from fcpts_ref.engines.numba.tokens import rows
from fcpts_ref.engines.numba.tuning import ATTENTION_PARTS

Array = NDArray[Any]


class Attention(Step):
    """Multi-head attention of three values, or of three slices of one (``fusion``)."""

    reads = ("inputs",)

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        self.slices = self.group.nodes[1:]
        self.heads = self.group.attributes["heads"]
        self.q, self.k, self.v = self._parts([slot.array for slot in inputs])
        self.y = self._split(output.array)
        self.scale = 1 / math.sqrt(self.q.shape[-1])
        self.parts = min(self.images, ATTENTION_PARTS)

    def bind_backward(self, dy: Slot, dinputs: list[Slot | None], adds: list[bool]) -> None:
        super().bind_backward(dy, dinputs, adds)
        self.split_dy = self._split(dy.array)
        known = [None if slot is None else slot.array for slot in dinputs]
        self.gradients = self._parts(known)
        read = sum(node.attributes["stop"] - node.attributes["start"] for node in self.slices)
        self.partly = bool(self.slices) and read < self.inputs[0].array.shape[-1]

    def forward(self, run: Run) -> None:
        weights = self._scratch(1)

        def images(part: int) -> None:
            p = weights[part, 0]
            for n in self._images(part):
                self._weights(n, p)
                np.matmul(p, self.v[n], out=self.y[n])

        share(self.parts, images)

    def backward(self, run: Run) -> None:
        if self.partly and self.dinputs[0]:
            self.dinputs[0].array[...] = 0
        held = self._scratch(2)
        dq, dk, dv = self.gradients

        def images(part: int) -> None:
            p, dp = held[part]
            for n in self._images(part):
                dy = self.split_dy[n]
                self._weights(n, p)
                if dv is not None:
                    np.matmul(_t(p), dy, out=dv[n])
                np.matmul(dy, _t(self.v[n]), out=dp)
                rows.softmax_rows_backward(_as_rows(dp), _as_rows(p), self.scale)
                if dq is not None:
                    np.matmul(dp, self.k[n], out=dq[n])
                if dk is not None:
                    np.matmul(_t(dp), self.q[n], out=dk[n])

        share(self.parts, images)

    def _weights(self, n: int, p: Array) -> None:
        """p (H, T, S) = softmax(q k' / sqrt(d)) of image n."""
        np.matmul(self.q[n], _t(self.k[n]), out=p)
        rows.softmax_rows(_as_rows(p), self.scale)

    def _images(self, part: int) -> range:
        first, last = (i * self.images // self.parts for i in (part, part + 1))
        return range(first, last)

    def _scratch(self, count: int) -> Array:
        H, T, S = self.heads, self.q.shape[2], self.k.shape[2]
        return self.scratch.take((self.parts, count, H, T, S), self.dtype)

    def _parts(self, arrays: list[Any]) -> list[Any]:
        """Views (N, H, T, d) of q, k and v, or of their gradients; None for None."""
        if self.slices:
            (whole,) = arrays
            arrays = [
                None if whole is None else whole[..., a["start"] : a["stop"]]
                for a in (node.attributes for node in self.slices)
            ]
        return [None if array is None else self._split(array) for array in arrays]

    def _split(self, array: Array) -> Array:
        N, T, D = array.shape
        return array.reshape(N, T, self.heads, D // self.heads).transpose(0, 2, 1, 3)


def _t(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _as_rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])
