"""The parts of a network, some of which POT reconstructs, and the values between them.

A part is a graph of its own with one output (``Graph.between``).  A *unit* is a part with a weight
to prune: a convolution or linear layer, and perhaps what follows it.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.prepared import batches_of
from fcpts_ref.engines.base import Engine, WeightCache
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.graph import Graph, Node

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Pattern = Literal["layer", "independent"]

CHUNK, LEAST_CHUNK = 256, 8
"""Images computed at once between two stored values: the most and the fewest."""
CHUNK_NUMBERS = 1 << 23
"""Numbers of a value computed at once."""
IN_MEMORY = 1 << 30
"""Bytes of a stored value; a larger one lies in a temporary file."""


def is_unit(part: Graph) -> bool:
    """Return whether the part has a weight to prune."""
    return bool(part.prunable)


def positions(unit: Graph) -> int:
    """Return the number of positions at which the loss compares a vector of channels."""
    shape = unit.output_shapes[unit.output]  # (K,), (T, K) or (K, P, Q)
    return shape[0] if len(shape) == 2 else int(np.prod(shape[1:], dtype=int))


def parts_of(graph: Graph, pattern: str) -> tuple[Graph, ...]:
    """Return the parts of a graph in order; each prunable layer begins a unit of its name.

    "independent": a unit is one convolution or linear layer.  "layer": also what follows it, up to
    the next convolution, linear layer, join, fork, flattening or output.
    Raises InputError for another pattern.
    """
    if pattern not in get_args(Pattern):
        raise InputError(f"unit is {pattern!r}; expected one of {', '.join(get_args(Pattern))}")
    outputs = set(graph.outputs.values())
    parts: list[Graph] = []
    taken: set[str] = set()
    for node in graph.nodes:
        if node.name in taken:
            continue
        nodes = [node]
        if _prunable(node) and pattern == "layer":
            while nodes[-1].name not in outputs and _continues(graph.readers[nodes[-1].name]):
                nodes += graph.readers[nodes[-1].name]
        taken |= {member.name for member in nodes}
        parts.append(graph.between(node.inputs, [nodes[-1].name], name=node.name))
    return tuple(parts)


def _prunable(node: Node) -> bool:
    return any(array.role == "weight" for array in node.stored.values())


def _continues(readers: Sequence[Node]) -> bool:
    if len(readers) != 1 or len(readers[0].inputs) > 1:
        return False
    return not _prunable(readers[0]) and readers[0].operation != "flatten"


@dataclass(frozen=True)
class Progress:
    """The values for all calibration images, after some parts, that later parts read."""

    parts_done: int
    values: Arrays


def advance_to(
    progress: Progress,
    stop: int,
    parts: Sequence[Graph],
    parameters: Arrays,
    buffers: Arrays,
    make_engine: Callable[[Graph], Engine],
) -> Progress:
    """Return the progress after ``stop`` parts, without values that no later part reads.

    Batch norm, if any is left, is in evaluation mode.
    """
    values = dict(progress.values)
    for done in range(progress.parts_done, stop):
        part = parts[done]
        engine = make_engine(part) if is_unit(part) else NumpyEngine(part)
        values[part.output] = run_part(part, values, parameters, buffers, engine)
        still_read = {name for later in parts[done + 1 :] for name in later.inputs}
        values = {name: v for name, v in values.items() if name in still_read}
    return Progress(max(stop, progress.parts_done), values)


def run_part(
    part: Graph, values: Arrays, parameters: Arrays, buffers: Arrays, engine: Engine
) -> Array:
    """Return the part's value (n, ...) for all images, in chunks; a large one lies on the disk."""
    n, cache = len(next(iter(values.values()))), WeightCache()
    result: Array | None = None
    slices = slices_of(n, max(math.prod(part.shapes[name]) for name in part.shapes))
    for places, *read in zip(
        slices, *(batches_of(values[name], slices) for name in part.inputs), strict=True
    ):
        inputs = dict(zip(part.inputs, read, strict=True))
        passed = engine.forward(
            parameters, buffers, inputs, training=False, keep=False, cache=cache
        )
        output = passed.outputs[part.output]
        if result is None:
            result = array_of((n, *output.shape[1:]), output.dtype)
        result[places] = output
    assert result is not None  # there is at least one image
    return result


def slices_of(n: int, numbers: int) -> list[slice]:
    """Return n images in order, some at a time: as many as fit, each of so many numbers."""
    chunk = max(LEAST_CHUNK, min(CHUNK, CHUNK_NUMBERS // numbers))
    return [slice(start, start + chunk) for start in range(0, n, chunk)]


def array_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array to be filled; above IN_MEMORY bytes it is mapped to a temporary file.

    The system removes the file when the array is no longer used.
    Raises InputError if the disk has too little space.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= IN_MEMORY:
        return np.empty(shape, dtype)
    if size > shutil.disk_usage(tempfile.gettempdir()).free:
        raise InputError(
            f"a value of {counted(shape[0], 'image')} takes {size / 2**30:.1f} GiB, and "
            f"{tempfile.gettempdir()} has less space; use fewer calibration images, or set TMPDIR"
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)
