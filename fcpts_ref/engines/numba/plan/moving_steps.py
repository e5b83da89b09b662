"""The steps that copy values to other places: concat, slice, pad."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.engines.numba.memory.buffers import Slot
from fcpts_ref.engines.numba.plan.step import Run, Step
from fcpts_ref.layers.axes import array_axis
from fcpts_ref.layers.concat import sliced

Array = NDArray[Any]
Place = tuple[slice, ...]


class Concat(Step):
    """Values one behind the other."""

    accumulates = True

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        at = array_axis(self.group.attributes["axis"], inputs[0].values.ndim - 1)
        ends = accumulate(slot.values.shape[at] for slot in inputs)
        self.places = [
            _along(at, slice(end - slot.values.shape[at], end))
            for end, slot in zip(ends, inputs, strict=True)
        ]
        self.whole = at == 1  # planes or rows of features are copied as they lie in memory

    def forward(self, run: Run) -> None:
        for slot, place in zip(self.inputs, self.places, strict=True):
            self._of(self.output)[place] = self._of(slot)

    def backward(self, run: Run) -> None:
        for slot, place, add in zip(self.dinputs, self.places, self.adds, strict=True):
            if slot:
                _write(self._of(slot), self._of(self.dy)[place], add)

    def _of(self, slot: Slot) -> Array:
        return slot.array if self.whole else slot.values


class Slice(Step):
    """A part of a value along one axis."""

    accumulates = True

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        attributes, x = self.group.attributes, inputs[0].values
        at = array_axis(attributes["axis"], x.ndim - 1)
        settings = (attributes[name] for name in ("start", "stop", "step"))
        self.place = _along(at, sliced(x.shape[at], *settings))

    def forward(self, run: Run) -> None:
        self.output.values[...] = self.inputs[0].values[self.place]

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            dx = self.dinputs[0].values
            if not self.adds[0]:
                dx[...] = 0
            dx[self.place] += self.dy.values


class Pad(Step):
    """A constant around a value."""

    accumulates = True

    def bind(self, inputs: list[Slot], output: Slot) -> None:
        super().bind(inputs, output)
        pads, sides = self.group.attributes["pads"], inputs[0].values.shape[1:]
        before = pads[: len(sides)]
        inner = (slice(b, b + side) for b, side in zip(before, sides, strict=True))
        self.place = (slice(None), *inner)

    def forward(self, run: Run) -> None:
        y = self.output.values
        y[...] = self.group.attributes["value"]
        y[self.place] = self.inputs[0].values

    def backward(self, run: Run) -> None:
        if self.dinputs[0]:
            _write(self.dinputs[0].values, self.dy.values[self.place], self.adds[0])


def _along(at: int, taken: slice) -> Place:
    """The index that takes a part along one axis."""
    return (slice(None),) * at + (taken,)


def _write(target: Array, values: Array, add: bool) -> None:
    if add:
        target += values
    else:
        target[...] = values
