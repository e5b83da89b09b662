"""The fast engine: ``Engine`` (see ``fcpts_ref.engines.base``) on Numba kernels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightCache, WeightGradient
from fcpts_ref.engines.numba.jit.threads import using_threads
from fcpts_ref.engines.numba.memory.buffers import MemoryPool
from fcpts_ref.engines.numba.plan.plan import Plan, border_of
from fcpts_ref.engines.numba.plan.step import Run
from fcpts_ref.engines.numba.tokens.products import single_blas
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.execution import value_of
from fcpts_ref.graphs.graph import Graph, check_batch

Array = NDArray[Any]
Shape = tuple[int, Any]  # batch size, dtype

KEPT_PLANS = 4  # batch sizes and dtypes, with and without backward, that memory is held for


@dataclass
class NumbaPass:
    """One forward pass; what backward needs lies in the engine's buffers until its next forward."""

    outputs: Mapping[str, Array]
    buffers: Mapping[str, Array]
    run: Run
    plan: Plan


class NumbaEngine:
    """Runs one graph in float32 or float64, the dtype of the parameters.

    threads: default all.  Results are the same, to the last bit, for any number of them.
    A plan with its buffers is made for every batch shape; the last few are kept.  An engine is for
    one thread of Python at a time: make one for each.
    through: inputs whose gradient ``backward_through`` returns.  pool: memory to share with engines
    that run before or after this one's passes, never in between.
    """

    def __init__(
        self,
        graph: Graph,
        threads: int | None = None,
        *,
        through: Iterable[str] = (),
        pool: MemoryPool | None = None,
    ) -> None:
        with using_threads(threads) as self.threads:
            pass
        self.graph = graph
        self._through, self._pool = frozenset(through), pool
        self._parts: MemoryPool | None = None
        self._plans: OrderedDict[tuple[Shape, bool], Plan] = OrderedDict()
        self._last: NumbaPass | None = None  # the pass whose activations are in the buffers
        self._lock = Lock()

    def forward(
        self,
        parameters: Mapping[str, Array],
        buffers: Mapping[str, Array],
        inputs: Mapping[str, Array],
        *,
        training: bool,
        keep: bool = False,
        sparse: bool = False,
        cache: WeightCache | None = None,
    ) -> NumbaPass:
        """A pass over inputs (N, ...) by name.

        The given arrays are not copied: leave them as they are until backward has run.
        Raises InputError for arrays that do not fit the graph, dtypes other than one of float32 and
        float64, or an engine that another thread is using.
        """
        dtype = _dtype_of(parameters or buffers or inputs)
        parameters = _checked(parameters, self.graph.parameter_shapes, dtype, "parameter")
        stored = _checked(buffers, self.graph.buffer_shapes, dtype, "buffer")
        given = _checked_batch(inputs, self.graph.inputs, dtype)
        images = len(next(iter(given.values())))
        check_batch(self.graph, images, dtype.itemsize, keep=keep)
        run = Run(parameters, stored, given, training, sparse, cache=cache)
        with self._alone():
            self._last = None
            plan = self._plan(_shape(run), keep)
            outputs = plan.forward(run)
            passed = NumbaPass(outputs, {**buffers, **run.new_buffers}, run, plan)
            self._last = passed if keep else None
        return passed

    def backward(
        self,
        passed: NumbaPass,
        doutputs: Mapping[str, Array],
        *,
        weight_gradient: WeightGradient = "all",
    ) -> dict[str, Array]:
        """The gradients by parameter name, in arrays of their own.

        Raises InputError as ``backward_through``.
        """
        return self.backward_through(passed, doutputs, weight_gradient)[0]

    def part(self, graph: Graph, through: Iterable[str]) -> NumbaEngine:
        """See ``DivisibleEngine``."""
        if self._parts is None:
            self._parts = MemoryPool(border_of(self.graph))
        return NumbaEngine(graph, self.threads, through=through, pool=self._parts)

    def backward_through(
        self, passed: NumbaPass, doutputs: Mapping[str, Array], weight_gradient: WeightGradient
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """See ``DivisibleEngine``.

        Raises InputError for a pass that was not made with ``keep=True``, that already had its
        backward, or that is not the engine's last one, and for an engine that another thread is
        using.
        """
        with self._alone():
            if not passed.plan.keep:
                raise InputError(
                    "backward got a pass whose activations were not kept; call forward with "
                    "keep=True"
                )
            if passed is not self._last:
                raise InputError(
                    "backward got a pass that is no longer in the engine's buffers; call it once, "
                    "before the next forward of the same engine"
                )
            for name, doutput in doutputs.items():
                value_of(self.graph, name)
                if doutput.shape != passed.outputs[name].shape:
                    raise InputError(
                        f"the gradient of {name!r} has shape {doutput.shape}; expected that of the "
                        f"output, {passed.outputs[name].shape}"
                    )
            self._last = None  # gradients overwrite the activations
            run = passed.run
            run.gradients, run.kept = {}, weight_gradient == "kept"
            dinputs = passed.plan.backward(run, doutputs)
        names = self.graph.parameter_shapes
        return {name: run.gradients[name] for name in names if name in run.gradients}, dinputs

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The engine's threads, and its buffers for this thread of Python alone."""
        if not self._lock.acquire(blocking=False):
            raise InputError(
                "another thread is using this engine; make an engine for each thread of Python"
            )
        try:
            with using_threads(self.threads), single_blas():
                yield
        finally:
            self._lock.release()

    def _plan(self, shape: Shape, keep: bool) -> Plan:
        if (shape, keep) not in self._plans:
            while len(self._plans) >= KEPT_PLANS:
                self._plans.popitem(last=False)
            memory = None if self._pool is None else self._pool.memory(*shape)
            self._plans[shape, keep] = Plan(
                self.graph, *shape, keep=keep, through=self._through, memory=memory
            )
        self._plans.move_to_end((shape, keep))
        return self._plans[shape, keep]


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
