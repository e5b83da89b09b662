"""The interface of engines, which run a graph forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
EngineName = Literal["numba", "numpy"]
WeightGradient = Literal["all", "kept"]


class Passed(Protocol):
    """What a forward pass leaves behind."""

    @property
    def outputs(self) -> Mapping[str, Array]: ...

    @property
    def buffers(self) -> Mapping[str, Array]: ...


class Engine(Protocol):
    """Runs one graph forward and backward."""

    def forward(
        self,
        parameters: Mapping[str, Array],
        buffers: Mapping[str, Array],
        inputs: Mapping[str, Array],
        *,
        training: bool,
        sparse: bool = False,
    ) -> Passed:
        """A pass over ``inputs`` (N, ...) by name: outputs (N, ...) by name, buffers after it.

        training: batch norm uses the batch's statistics and updates the running ones.
        sparse: weights that are 0 may be skipped; then they contribute nothing, even against an
        infinite activation.
        """

    def backward(
        self,
        passed: Any,
        doutputs: Mapping[str, Array],
        *,
        weight_gradient: WeightGradient = "all",
    ) -> dict[str, Array]:
        """The gradient of every parameter by name, for doutputs (N, ...) by output.

        An output that is left out has no gradient.

        weight_gradient: "kept" leaves 0 where a prunable weight is 0.
        """
