"""An engine that runs a batch in parts, the micro-batches, and needs less memory.

Without batch norm in training mode every image passes through a network by itself: forward runs
part after part, backward runs forward again for a part and then its backward, and gradients add up.
Batch norm in training mode needs the whole batch: the graph is split there into segments
(``graphs.segments``), each segment runs part by part, and only values that cross from a segment to
the next one exist for the whole batch: inputs of batch norms, and shortcuts around them.

Forward keeps those values at a few of the boundaries; backward computes the others again, segment
by segment (T. Chen, B. Xu, C. Zhang and C. Guestrin, Training Deep Nets with Sublinear Memory Cost,
arXiv:1604.06174).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import whole_number
from fcpts_ref.engines.base import DivisibleEngine, WeightCache, WeightGradient
from fcpts_ref.engines.whole_batch import (
    Statistics,
    batch_statistics,
    fixed_buffers,
    running_buffers,
    subtract_projections,
)
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.execution import value_of
from fcpts_ref.graphs.segments import Segment, split_at_batch_norms
from fcpts_ref.memory import check_memory

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Values = dict[str, Array]


@dataclass
class MicroBatchPass:
    """A forward pass.  kept: values before some segments, by the segment's index."""

    outputs: Values
    buffers: Values
    parameters: Arrays
    training: bool
    sparse: bool
    statistics: dict[str, Statistics] = field(default_factory=dict)
    kept: dict[int, Values] = field(default_factory=dict)


class MicroBatchEngine:
    """Runs a graph ``micro_batch`` images at a time on an engine of this graph.

    Equal to that engine's passes up to rounding.
    Raises InputError unless ``micro_batch`` is a whole number above 0.
    """

    def __init__(self, engine: DivisibleEngine, micro_batch: int) -> None:
        self.graph = engine.graph
        self.micro_batch = whole_number(micro_batch, "micro_batch", 1)
        whole = self.graph.between(self.graph.inputs, self.graph.outputs.values())
        self._whole = (Segment((), tuple(self.graph.inputs), whole),)
        self._segments = split_at_batch_norms(self.graph)
        self._make = engine.part
        self._engines: dict[int, DivisibleEngine] = {}  # by the identity of a segment's graph

    def forward(
        self,
        parameters: Arrays,
        buffers: Arrays,
        inputs: Arrays,
        *,
        training: bool,
        keep: bool = False,
        sparse: bool = False,
        cache: WeightCache | None = None,
    ) -> MicroBatchPass:
        """See ``Engine``.  ``cache`` is used in evaluation mode.

        Raises InputError where batch norm in training gets a single value per channel.
        """
        passed = MicroBatchPass({}, dict(buffers), parameters, training, sparse)
        segments = self._segments_of(passed)
        self._check_memory(segments, inputs, keep)
        every = math.isqrt(len(segments))
        values: Values = dict(inputs)
        returned: Values = {}
        for k, segment in enumerate(segments):
            if keep and k % every == 0:
                passed.kept[k] = values
            for node in segment.batch_norms:
                found = batch_statistics(node, values[node.inputs[0]])
                passed.statistics[node.name] = found
                passed.buffers |= running_buffers(node, found, buffers)
            values = self._advance(passed, segment, values, None if training else cache)
            returned |= {v: values[v] for v in self.graph.outputs.values() if v in segment.writes}
            if k + 1 < len(segments):
                values = {name: values[name] for name in segments[k + 1].reads}
        passed.outputs = {name: returned[value] for name, value in self.graph.outputs.items()}
        return passed

    def backward(
        self,
        passed: MicroBatchPass,
        doutputs: Arrays,
        *,
        weight_gradient: WeightGradient = "all",
    ) -> Values:
        """See ``Engine``."""
        if not passed.kept:
            raise InputError(
                "backward got a pass whose values were not kept, or that had its backward; call "
                "forward with keep=True, and backward once"
            )
        gradients: Values = {}
        dvalues = {value_of(self.graph, name): dy for name, dy in doutputs.items()}
        for segment, values in self._reversed(passed):
            dvalues, found = self._backward(passed, segment, values, dvalues, weight_gradient)
            gradients |= found
        return {
            name: gradients.get(name, np.zeros_like(passed.parameters[name]))
            for name in self.graph.parameter_shapes
        }

    def _segments_of(self, passed: MicroBatchPass) -> tuple[Segment, ...]:
        return self._segments if passed.training else self._whole

    def _advance(
        self, passed: MicroBatchPass, segment: Segment, values: Values, cache: WeightCache | None
    ) -> Values:
        """Return the values with those that a segment computes from them."""
        if segment.graph is None:
            return values
        count = len(next(iter(values.values())))
        engine, arguments = self._prepared(passed, segment)
        cache = WeightCache() if cache is None else cache
        new: Values = {}
        for part in self._parts(count):
            some = {name: values[name][part] for name in segment.graph.inputs}
            outputs = engine.forward(*arguments, some, **self._options(passed, cache)).outputs
            for name, output in outputs.items():
                if name not in new:
                    new[name] = np.empty((count, *output.shape[1:]), output.dtype)
                new[name][part] = output
        return {**values, **new}

    def _reversed(self, passed: MicroBatchPass) -> Iterator[tuple[Segment, Values]]:
        """Yield the segments, last to first, with the values before them."""
        segments = self._segments_of(passed)
        end = len(segments)
        for start in sorted(passed.kept, reverse=True):
            before = [passed.kept.pop(start)]
            for segment, after in zip(segments[start:end], segments[start + 1 : end], strict=False):
                values = self._advance(passed, segment, before[-1], None)
                before.append({name: values[name] for name in after.reads})
            for k in reversed(range(start, end)):
                yield segments[k], before.pop()
            end = start

    def _backward(
        self,
        passed: MicroBatchPass,
        segment: Segment,
        values: Values,
        dvalues: Values,
        weight_gradient: WeightGradient,
    ) -> tuple[Values, Values]:
        """Return the gradients of the values before a segment, and of its parameters."""
        written = {name: dvalues[name] for name in segment.writes if name in dvalues}
        dvalues = {name: dy for name, dy in dvalues.items() if name not in written}
        if segment.graph is None or not written:
            return dvalues, {}
        engine, arguments = self._prepared(passed, segment)
        options = self._options(passed, WeightCache())
        sums: Values = {}
        new: Values = {}
        for part in self._parts(len(next(iter(values.values())))):
            some = {name: values[name][part] for name in segment.graph.inputs}
            one = engine.forward(*arguments, some, keep=True, **options)
            found, dinputs = engine.backward_through(
                one, {name: dy[part] for name, dy in written.items()}, weight_gradient
            )
            for name, gradient in found.items():
                _add(sums, name, gradient)
            for name, dinput in dinputs.items():
                if name not in new:
                    new[name] = np.empty(values[name].shape, dinput.dtype)
                new[name][part] = dinput
        for name, dinput in new.items():
            dvalues[name] = dvalues[name] + dinput if name in dvalues else dinput
        self._complete(passed, segment, values, dvalues, sums)
        dtypes = {name: passed.parameters[name].dtype for name in sums}
        return dvalues, {name: total.astype(dtypes[name]) for name, total in sums.items()}

    def _complete(
        self,
        passed: MicroBatchPass,
        segment: Segment,
        values: Values,
        dvalues: Values,
        sums: Values,
    ) -> None:
        """Add to the gradients of batch norms' inputs what comes through the statistics."""
        for node in segment.batch_norms:
            x, names = node.inputs[0], (f"{node.name}.weight", f"{node.name}.bias")
            if x in dvalues and names[0] in sums:
                subtract_projections(
                    node,
                    passed.statistics[node.name],
                    values[x],
                    dvalues[x],
                    passed.parameters[names[0]],
                    *(sums[name] for name in names),
                )

    def _prepared(
        self, passed: MicroBatchPass, segment: Segment
    ) -> tuple[DivisibleEngine, tuple[Arrays, Arrays]]:
        """Return a segment's engine, and the parameters and buffers that it computes with."""
        graph = segment.graph
        assert graph is not None, "a segment without nodes does not run"
        key = id(graph)
        if key not in self._engines:
            through = [name for name in graph.inputs if name not in self.graph.inputs]
            self._engines[key] = self._make(graph, through)
        buffers = dict(passed.buffers)
        for node in segment.batch_norms:
            found = passed.statistics[node.name]
            buffers |= fixed_buffers(node, found, buffers[f"{node.name}.running_mean"].dtype)
        return self._engines[key], (passed.parameters, buffers)

    def _options(self, passed: MicroBatchPass, cache: WeightCache) -> dict[str, Any]:
        return {"training": False, "sparse": passed.sparse, "cache": cache}

    def _parts(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.micro_batch):
            yield slice(start, min(start + self.micro_batch, count))

    def _check_memory(self, segments: tuple[Segment, ...], inputs: Arrays, keep: bool) -> None:
        """Raise InputError if the values that exist for the whole batch do not fit in memory."""
        shapes, first = self.graph.shapes, next(iter(inputs.values()))
        sizes = [
            sum(math.prod(shapes[name]) for name in segment.reads if name not in inputs)
            for segment in segments
        ]
        every = math.isqrt(len(segments))
        count = max(sizes) * 2 + (sum(sizes[::every]) + sum(sorted(sizes)[-every:]) if keep else 0)
        check_memory(
            count * len(first) * first.dtype.itemsize,
            f"a pass of {counted(len(first), 'image')} through {self.graph.name[:80]!r}",
            "use fewer images in a batch, or a smaller network",
        )


def _add(sums: Values, name: str, gradient: Array) -> None:
    """Add a part's gradient in float64 (or wider)."""
    if name in sums:
        sums[name] += gradient
    else:
        sums[name] = gradient.astype(np.result_type(gradient.dtype, np.float64))
