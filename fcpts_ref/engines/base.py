"""The interface of engines, which run a graph forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
EngineName = Literal["numba", "numpy"]
WeightGradient = Literal["all", "kept"]


class WeightCache(dict[str, Any]):
    """Arrays that an engine derives from parameters and buffers, for passes with the same ones.

    Make a new one for each set of parameters and buffers; give it to passes only while both stay as
    they are.
    """


class Passed(Protocol):
    """The result of a forward pass."""

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
        keep: bool = False,
        sparse: bool = False,
        cache: WeightCache | None = None,
    ) -> Passed:
        """A pass over ``inputs`` (N, ...) by name: outputs (N, ...) by name, buffers after it.

        training: batch norm uses the batch's statistics and updates the running ones.
        keep: backward will follow, so keep the activations that it reads.
        sparse: weights that are 0 may be skipped; then they contribute nothing, even against an
        infinite activation.
        cache: saves work where many passes have the same parameters and buffers.
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

        Call it once, for a pass made with ``keep=True``, before the engine's next forward.

        weight_gradient: "kept" leaves 0 where a prunable weight is 0.
        """
