"""The NumPy engine: the specification of the Numba engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightCache, WeightGradient
from fcpts_ref.engines.blas_threads import blas_limit
from fcpts_ref.graphs import execution
from fcpts_ref.graphs.graph import Graph

Array = NDArray[Any]


class NumpyEngine:
    """The specification: computes every multiplication and keeps every value."""

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int | None = None,
        observe: execution.Observe | None = None,
        through: Iterable[str] = (),
    ) -> None:
        """Make the engine of a graph.

        threads: of BLAS during a pass; by default its own number.
        observe: called as observe("activation/NODE", value) for every node in forward order, and
        as observe("dactivation/NODE", dvalue) in backward order.
        through: inputs whose gradient ``backward_through`` returns.
        """
        self.graph = graph
        self._through, self._threads = tuple(through), threads
        self.observe = observe
        self._limited = blas_limit(threads)

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
    ) -> execution.Pass:
        """See ``Engine``; every value is kept, and ``sparse`` and ``cache`` have no effect."""
        with self._limited():
            return execution.forward(
                self.graph,
                parameters,
                buffers,
                inputs,
                training=training,
                observe=self._prefixed("activation/"),
            )

    def backward(
        self,
        passed: execution.Pass,
        doutputs: Mapping[str, Array],
        *,
        weight_gradient: WeightGradient = "all",
    ) -> dict[str, Array]:
        """See ``Engine``."""
        return self.backward_through(passed, doutputs, weight_gradient)[0]

    def part(self, graph: Graph, through: Iterable[str]) -> NumpyEngine:
        """See ``DivisibleEngine``."""
        return NumpyEngine(graph, threads=self._threads, observe=self.observe, through=through)

    def backward_through(
        self,
        passed: execution.Pass,
        doutputs: Mapping[str, Array],
        weight_gradient: WeightGradient,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """See ``DivisibleEngine``."""
        with self._limited():
            found, dinputs = execution.backward(
                self.graph, passed, doutputs, observe=self._prefixed("dactivation/")
            )
        gradients = {  # 0 where only outputs without a gradient depend on the parameter
            name: found[name] if name in found else np.zeros_like(passed.parameters[name])
            for name in self.graph.parameter_shapes
        }
        if weight_gradient == "kept":
            for name in self.graph.prunable:
                kept = passed.parameters[name] != 0
                gradients[name] = np.where(kept, gradients[name], gradients[name].dtype.type(0))
        return gradients, {name: dinputs[name] for name in self._through if name in dinputs}

    def _prefixed(self, prefix: str) -> execution.Observe | None:
        if self.observe is None:
            return None
        observe = self.observe
        return lambda name, value: observe(prefix + name, value)
