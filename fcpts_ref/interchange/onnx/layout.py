"""Values of an ONNX graph as views of our values, which always have the batch first.

Exporters move the batch about: torch's attention transposes (N, T, D) to (T, N, D) and merges batch
and heads.  Here a value of ours, (N, ...), is seen as a product of *atoms*, and every ONNX axis is
a group of atoms.  Transposing and reshaping only regroup atoms and cost nothing; a node of ours
is made only where an operation needs another order.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted

Array = NDArray[Any]

BATCH: Final = -1  # the atom of the batch
SYMBOLIC: Final = 1_000_003
"""Stands for the size of a batch that the file leaves open: a prime that no real size contains."""
Group = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """An ONNX value that depends on the input.

    name: of our value.  atoms: sizes above 1 whose product is our value's, in its order.
    axes: the ONNX axes, each a group of atoms by index, in order; () is an axis of size 1.
    batch: the batch's size in the file: SYMBOLIC, or a number.  A batch of 1 is in no group: every
    value of the file then has it implicitly.
    """

    name: str
    atoms: tuple[int, ...]
    axes: tuple[Group, ...]
    batch: int

    def size(self, group: Group) -> int:
        """The product of a group."""
        return math.prod(self.batch if atom == BATCH else self.atoms[atom] for atom in group)

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape in the file, the batch's size included."""
        return tuple(self.size(group) for group in self.axes)

    @property
    def batch_axis(self) -> int | None:
        """The axis of the batch; the first one if the batch is 1; None if it has no axis."""
        if self.batch == 1:
            return 0 if self.axes and not self.axes[0] else None
        return next((i for i, group in enumerate(self.axes) if group == (BATCH,)), None)

    def renamed(self, name: str) -> Value:
        """The same layout for another value of ours."""
        return replace(self, name=name)

    def axis(self, number: int) -> int:
        """Return an axis that may be counted from the end.  Raises InputError out of range."""
        rank = len(self.axes)
        if not -rank <= number < rank:
            raise InputError(f"axis {number} of a value with {counted(rank, 'axis', 'axes')}")
        return number % rank

    def transposed(self, permutation: Sequence[int]) -> Value:
        """The value with its ONNX axes in another order."""
        if sorted(permutation) != list(range(len(self.axes))):
            raise InputError(
                f"permutation {tuple(permutation)} of {counted(len(self.axes), 'axis', 'axes')}"
            )
        return _joined(replace(self, axes=tuple(self.axes[axis] for axis in permutation)))

    def reshaped(self, dims: Sequence[int]) -> Value:
        """The value with its atoms regrouped to these sizes (none of them -1 or 0).

        Raises InputError if an axis would mix the batch with a part of another axis.
        """
        return _joined(_Regrouping(self).to(dims))


def fresh(name: str, dims: Sequence[int], batch_axis: int | None, batch: int) -> Value:
    """A value whose own order is that of its ONNX axes without the batch."""
    atoms: list[int] = []
    axes: list[Group] = []
    for axis, size in enumerate(dims):
        if axis == batch_axis:
            axes.append((BATCH,) if batch != 1 else ())
        elif size == 1:
            axes.append(())
        else:
            axes.append((len(atoms),))
            atoms.append(size)
    return Value(name, tuple(atoms), tuple(axes), batch)


def viewed(name: str, sizes: Sequence[int], axes: Sequence[Group], batch: int) -> Value:
    """A value with axes given by indices of ``sizes``, some of which may be 1."""
    kept = [index for index, size in enumerate(sizes) if size > 1]
    number = {index: new for new, index in enumerate(kept)} | {BATCH: BATCH}
    groups = tuple(tuple(number[i] for i in group if i in number) for group in axes)
    return Value(name, tuple(sizes[i] for i in kept), groups, batch)


def _joined(value: Value) -> Value:
    """Join atoms that lie side by side in our value and in one axis of the file."""
    joined = {
        second
        for group in value.axes
        for first, second in pairwise(group)
        if first != BATCH and second == first + 1
    }
    number = {BATCH: BATCH}
    atoms: list[int] = []
    for atom, size in enumerate(value.atoms):
        if atom in joined:
            atoms[-1] *= size
        else:
            number[atom] = len(atoms)
            atoms.append(size)
    axes = tuple(tuple(number[a] for a in group if a in number) for group in value.axes)
    return Value(value.name, tuple(atoms), axes, value.batch)


class _Regrouping:
    """One reshape: atoms, in the order of the file, are dealt out to the new axes."""

    def __init__(self, value: Value) -> None:
        self.value = value
        order = [atom for group in value.axes for atom in group]
        self.left = deque((atom, value.size((atom,))) for atom in order)
        self.factors: dict[int, list[int]] = {atom: [] for atom in order}

    def to(self, dims: Sequence[int]) -> Value:
        groups = [self._take(size, dims) for size in dims]
        if self.left:
            raise self._misfit(dims)
        atoms: list[int] = []
        first = {}
        for atom in range(len(self.value.atoms)):
            first[atom] = len(atoms)
            atoms += self.factors[atom]
        axes = [
            tuple(BATCH if atom == BATCH else first[atom] + part for atom, part in group)
            for group in groups
        ]
        return Value(self.value.name, tuple(atoms), tuple(axes), self.value.batch)

    def _take(self, size: int, dims: Sequence[int]) -> list[tuple[int, int]]:
        group: list[tuple[int, int]] = []  # (atom, number of its factor)
        while size > 1:
            if not self.left:
                raise self._misfit(dims)
            atom, available = self.left.popleft()
            if size % available == 0:
                part = available
            elif available % size == 0 and atom != BATCH:
                part = size
                self.left.appendleft((atom, available // size))
            else:
                raise self._misfit(dims)
            group.append((atom, len(self.factors[atom])))
            self.factors[atom].append(part)
            size //= part
        return group

    def _misfit(self, dims: Sequence[int]) -> InputError:
        shapes = [shown_dims(shape) for shape in (self.value.dims, tuple(dims))]
        return InputError(
            f"reshapes {shapes[0]} to {shapes[1]}, which mixes axes in a way that is not supported"
        )


def shown_dims(dims: Sequence[int]) -> str:
    """Return a shape for messages, N for an open batch."""
    return "(" + ", ".join("N" if size == SYMBOLIC else str(size) for size in dims) + ")"
