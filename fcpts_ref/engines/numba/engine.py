"""The fast engine: ``Engine`` (see ``fcpts_ref.engines.base``) on Numba kernels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightGradient
from fcpts_ref.engines.numba.jit.threads import using_threads
from fcpts_ref.engines.numba.plan.plan import Plan
from fcpts_ref.engines.numba.plan.step import Run
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.execution import value_of
from fcpts_ref.graphs.graph import Graph

Array = NDArray[Any]
Shape = tuple[int, Any]  # batch size, dtype

KEPT_PLANS = 4  # batch sizes and dtypes, with and without backward, that memory is held for


@dataclass
class NumbaPass:
    """One forward pass; what backward needs lies in the engine's buffers until its next forward."""

    outputs: Mapping[str, Array]
    buffers: Mapping[str, Array]
    run: Run
    number: int


class NumbaEngine:
    """Runs one graph in float32 or float64, the dtype of the parameters.

    threads: default all.  Results are the same, to the last bit, for any number of them.
    A plan with its buffers is made for every batch shape; the last few are kept.  Whether a plan
    keeps what backward needs is learned: training passes do at first, evaluation does not; the
    next pass of a shape does what its last one turned out to need.  Guessing wrong costs one
    more forward, no result depends on it.
    """

    def __init__(self, graph: Graph, threads: int | None = None) -> None:
        with using_threads(threads) as self.threads:
            pass
        self.graph = graph
        self._plans: OrderedDict[tuple[Shape, bool], Plan] = OrderedDict()
        self._needed: dict[tuple[Shape, bool], bool] = {}  # by shape and training
        self._last: NumbaPass | None = None
        self._ready: Plan | None = None  # the plan that holds the last pass's activations
        self._number = 0

    def forward(
        self,
        parameters: Mapping[str, Array],
        buffers: Mapping[str, Array],
        inputs: Mapping[str, Array],
        *,
        training: bool,
        sparse: bool = False,
    ) -> NumbaPass:
        """A pass over inputs (N, ...) by name.

        The given arrays are not copied: leave them as they are until backward has run.
        Raises InputError for arrays that do not fit the graph, or dtypes other than one of
        float32 and float64.
        """
        self._note_need()
        dtype = _dtype_of(parameters or buffers or inputs)
        parameters = _checked(parameters, self.graph.parameter_shapes, dtype, "parameter")
        stored = _checked(buffers, self.graph.buffer_shapes, dtype, "buffer")
        given = _checked_batch(inputs, self.graph.inputs, dtype)
        run = Run(parameters, stored, given, training, sparse)
        outputs = self._forward(run, self._needed.get((_shape(run), training), training))
        self._number += 1
        self._last = NumbaPass(outputs, {**buffers, **run.new_buffers}, run, self._number)
        return self._last

    def backward(
        self,
        passed: NumbaPass,
        doutputs: Mapping[str, Array],
        *,
        weight_gradient: WeightGradient = "all",
    ) -> dict[str, Array]:
        """The gradients by parameter name, in arrays of their own.

        Raises InputError for a pass that is not the engine's last one.
        """
        if self._last is None or passed.number != self._last.number or passed is not self._last:
            raise InputError(
                "backward got a pass that is no longer in the engine's buffers; call it before "
                "the next forward of the same engine"
            )
        for name, doutput in doutputs.items():
            value_of(self.graph, name)
            if doutput.shape != passed.outputs[name].shape:
                raise InputError(
                    f"the gradient of {name!r} has shape {doutput.shape}; expected that of the "
                    f"output, {passed.outputs[name].shape}"
                )
        run = passed.run
        self._needed[_shape(run), run.training] = True
        if self._ready is None:  # not kept, or used up by an earlier backward
            self._forward(run, keep=True)
        assert self._ready is not None
        plan, self._ready = self._ready, None
        run.gradients, run.kept = {}, weight_gradient == "kept"
        with using_threads(self.threads):
            plan.backward(run, doutputs)
        names = self.graph.parameter_shapes
        return {name: run.gradients[name] for name in names if name in run.gradients}

    def _forward(self, run: Run, keep: bool) -> dict[str, Array]:
        plan = self._plan(_shape(run), keep)
        run.new_buffers = {}
        with using_threads(self.threads):
            outputs = plan.forward(run)
        self._ready = plan if keep else None
        return outputs

    def _plan(self, shape: Shape, keep: bool) -> Plan:
        if (shape, keep) not in self._plans:
            while len(self._plans) >= KEPT_PLANS:
                self._plans.popitem(last=False)
            self._plans[shape, keep] = Plan(self.graph, *shape, keep=keep)
        self._plans.move_to_end((shape, keep))
        return self._plans[shape, keep]

    def _note_need(self) -> None:
        """If backward did not follow the last pass, the next one like it will not keep anything."""
        if self._last is None or self._ready is None:
            return
        shape, training = _shape(self._last.run), self._last.run.training
        self._needed[shape, training] = False
        self._ready = None
        if not self._needed.get((shape, not training), False):
            self._plans.pop((shape, True), None)


def _dtype_of(arrays: Mapping[str, Array]) -> np.dtype[Any]:
    """The dtype to compute in: that of the parameters, or of what there is without any."""
    dtypes = {array.dtype for array in arrays.values()}
    dtype = next(iter(dtypes))
    if len(dtypes) > 1 or dtype not in (np.float32, np.float64):
        raise InputError(
            f"parameters are {', '.join(sorted(map(str, dtypes)))}; the fast engine expects "
            "one of float32 and float64: cast them, or use the NumPy engine"
        )
    return dtype


def _shape(run: Run) -> Shape:
    first = next(iter(run.inputs.values()))
    return len(first), first.dtype


def _checked(
    arrays: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], dtype: Any, kind: str
) -> dict[str, Array]:
    """The arrays that the graph reads, as kernels want them."""
    result = {}
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            got = arrays[name].shape if name in arrays else "nothing"
            raise InputError(f"{kind} {name!r} is {got}; expected an array of shape {shape}")
        result[name] = _plain(arrays[name], dtype)
    return result


def _checked_batch(
    inputs: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], dtype: Any
) -> dict[str, Array]:
    """The inputs that the graph reads, all of one batch size, as kernels want them."""
    result: dict[str, Array] = {}
    for name, shape in shapes.items():
        got = inputs[name].shape if name in inputs else None
        sizes = {len(array) for array in result.values()} | ({got[0]} if got else set())
        if got is None or got[1:] != shape or got[0] == 0 or len(sizes) > 1:
            raise InputError(
                f"{name} have shape {got}; expected at least one of shape {shape}, as many as of "
                "every other input"
            )
        result[name] = _plain(inputs[name], dtype)
    return result


def _plain(array: Array, dtype: Any) -> Array:
    """C-contiguous, aligned, writeable, of this dtype: itself if it can be."""
    flags = array.flags
    if array.dtype == dtype and flags.carray:  # C-contiguous, aligned and writeable
        return array
    return np.require(array, dtype, ("C", "A", "W"))
