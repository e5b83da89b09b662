"""The two engines that run a graph: NumPy, the specification, and Numba, for speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.networks import execution
from fcpts_ref.networks.graph import Graph

Array = NDArray[Any]
EngineName = Literal["numba", "numpy"]
WeightGradient = Literal["all", "kept"]


class Passed(Protocol):
    """What a forward pass leaves behind."""

    @property
    def logits(self) -> Array: ...

    @property
    def buffers(self) -> Mapping[str, Array]: ...


class Engine(Protocol):
    """Runs one graph forward and backward."""

    def forward(
        self,
        parameters: Mapping[str, Array],
        buffers: Mapping[str, Array],
        images: Array,
        *,
        training: bool,
        sparse: bool = False,
    ) -> Passed:
        """A pass over ``images`` (N, C, H, W): its logits (N, classes) and the buffers after it.

        training: batch norm uses the batch's statistics and updates the running ones.
        sparse: weights that are 0 may be skipped; then they contribute nothing, even against an
        infinite activation.
        """

    def backward(
        self, passed: Any, dlogits: Array, *, weight_gradient: WeightGradient = "all"
    ) -> dict[str, Array]:
        """The gradient of every parameter by name, for dlogits (N, classes).

        weight_gradient: "kept" leaves 0 where a prunable weight is 0.
        """


class NumpyEngine:
    """The specification: every multiplication is done, every value kept."""

    def __init__(self, graph: Graph, *, observe: execution.Observe | None = None) -> None:
        """observe: called as observe("activation/NODE", value) for every node in forward's order,
        and observe("dactivation/NODE", dvalue) in backward's."""
        self.graph = graph
        self.observe = observe

    def forward(
        self,
        parameters: Mapping[str, Array],
        buffers: Mapping[str, Array],
        images: Array,
        *,
        training: bool,
        sparse: bool = False,
    ) -> execution.Pass:
        """As in ``Engine``; ``sparse`` changes nothing here."""
        return execution.forward(
            self.graph,
            parameters,
            buffers,
            images,
            training=training,
            observe=self._prefixed("activation/"),
        )

    def backward(
        self,
        passed: execution.Pass,
        dlogits: Array,
        *,
        weight_gradient: WeightGradient = "all",
    ) -> dict[str, Array]:
        """As in ``Engine``."""
        gradients = execution.backward(
            self.graph, passed, dlogits, observe=self._prefixed("dactivation/")
        )
        del gradients["images"]
        if weight_gradient == "kept":
            for name in self.graph.prunable:
                kept = passed.parameters[name] != 0
                gradients[name] = np.where(kept, gradients[name], gradients[name].dtype.type(0))
        return gradients

    def _prefixed(self, prefix: str) -> execution.Observe | None:
        if self.observe is None:
            return None
        observe = self.observe
        return lambda name, value: observe(prefix + name, value)


def make_engine(graph: Graph, engine: str, *, threads: int | None = None) -> Engine:
    """The engine of that name for a graph.

    threads: for Numba; default all cores.  The result does not depend on it, to the last bit.
    Raises InputError for an unknown name.
    """
    if engine == "numpy":
        return NumpyEngine(graph)
    if engine == "numba":
        from fcpts_ref.kernels.engine import NumbaEngine  # compiles on import: only when asked for

        return NumbaEngine(graph, threads=threads)
    raise InputError(
        f"unknown engine {engine!r}; expected one of {', '.join(get_args(EngineName))}"
    )
