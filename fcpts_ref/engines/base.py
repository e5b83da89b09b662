"""The interface of engines, which run a graph forward and backward."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph

Array = NDArray[Any]
EngineName = Literal["numba", "numpy"]
WeightGradient = Literal["all", "kept"]


class WeightCache(dict[Hashable, Any]):
    """A cache of arrays that an engine derives from parameters and buffers.

    Make a new one for each set of parameters and buffers; use it only for passes in which both are
    unchanged.
    """


class Passed(Protocol):
    """The result of a forward pass."""

    @property
    def outputs(self) -> Mapping[str, Array]: ...

    @property
    def buffers(self) -> Mapping[str, Array]: ...


class Engine(Protocol):
    """Runs one graph forward and backward."""

    graph: Graph

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
    ) -> Passed:
        """Run ``inputs`` (N, ...) by name; return outputs (N, ...) by name, and new buffers.

        training: batch norm uses the batch's statistics and updates the running ones.
        keep: store the activations that a following backward pass reads.
        sparse: weights that are 0 may be skipped; they then contribute nothing, even for an
        infinite activation.
        cache: saves work if many passes have the same parameters and buffers.
        """

    def backward(
        self,
        passed: Any,
        doutputs: Mapping[str, Array],
        *,
        weight_gradient: WeightGradient = "all",
    ) -> dict[str, Array]:
        """Return the gradient of every parameter by name, for doutputs (N, ...) by output.

        A missing output has no gradient.

        Call it once, for a pass made with ``keep=True``, before the engine's next forward.

        weight_gradient: "kept" gives 0 where a prunable weight is 0.
        """


class DivisibleEngine(Engine, Protocol):
    """An engine that also runs parts of its graph, and differentiates by their inputs."""

    def part(self, graph: Graph, through: Iterable[str]) -> DivisibleEngine:
        """Return an engine of the same kind for a part of this one's graph.

        through: the part's inputs whose gradient is wanted.  All parts share their memory: run
        forward and backward of one before another one's.
        """

    def backward_through(
        self, passed: Any, doutputs: Mapping[str, Array], weight_gradient: WeightGradient
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the gradients of ``backward``, and those of the inputs in ``through``, by name."""
