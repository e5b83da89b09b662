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
        keep: bool = False,
        sparse: bool = False,
        cache: WeightCache | None = None,
    ) -> Passed:
        """A pass over ``images`` (N, C, H, W): its logits (N, classes) and the buffers after it.

        training: batch norm uses the batch's statistics and updates the running ones.
        keep: backward will follow, so keep the activations that it reads.
        sparse: weights that are 0 may be skipped; then they contribute nothing, even against an
        infinite activation.
        cache: saves work where many passes have the same parameters and buffers.
        """

    def backward(
        self, passed: Any, dlogits: Array, *, weight_gradient: WeightGradient = "all"
    ) -> dict[str, Array]:
        """The gradient of every parameter by name, for dlogits (N, classes).

        Call it once, for a pass made with ``keep=True``, before the engine's next forward.

        weight_gradient: "kept" leaves 0 where a prunable weight is 0.
        """
