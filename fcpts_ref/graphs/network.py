"""A network: its graph, its learned parameters and its buffers; and, once pruned, its masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs import execution
from fcpts_ref.graphs.graph import Graph, Shape

Array = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """A graph with its arrays.

    Checked when made: all arrays are present, have their shape, are finite and share one floating
    dtype.  Raises InputError otherwise.
    ``masks`` (bool, True where a weight is kept) is empty for a dense network.
    """

    graph: Graph
    parameters: Mapping[str, Array]
    buffers: Mapping[str, Array]
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.parameters, self.graph.parameter_shapes, "parameter")
        _check(self.buffers, self.graph.buffer_shapes, "buffer")
        for name, stored in self.graph.stored.items():
            array = (self.parameters if stored.learned else self.buffers)[name]
            if stored.positive == "weakly" and (array < 0).any():
                raise InputError(f"buffer {name!r} has minimum {array.min()}; expected at least 0")
            if stored.positive == "strictly" and (array <= 0).any():
                raise InputError(f"buffer {name!r} has minimum {array.min()}; expected above 0")
        dtypes = {a.dtype for a in (*self.parameters.values(), *self.buffers.values())}
        if len(dtypes) > 1:
            raise InputError(
                f"network {self.graph.name!r} mixes {', '.join(sorted(map(str, dtypes)))}; "
                "expected one floating dtype"
            )
        for name, mask in self.masks.items():
            if name not in self.graph.prunable or mask.shape != self.parameters[name].shape:
                raise InputError(
                    f"mask {name!r} has shape {mask.shape}; expected the name and shape of one of "
                    "the convolution or linear weights"
                )

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64; float32 for a network without arrays."""
        arrays = (*self.parameters.values(), *self.buffers.values())
        return next((array.dtype for array in arrays), np.dtype(np.float32))

    @property
    def sizes(self) -> dict[str, int]:
        """The number of weights of every prunable layer."""
        return {name: self.parameters[name].size for name in self.graph.prunable}

    def with_parameters(self, parameters: Mapping[str, Array]) -> Network:
        """The same network with other parameters."""
        return replace(self, parameters=parameters)

    def astype(self, dtype: Any) -> Network:
        """The same network with all arrays in another floating dtype."""
        cast = {name: a.astype(dtype) for name, a in self.parameters.items()}
        return replace(
            self,
            parameters=cast,
            buffers={name: a.astype(dtype) for name, a in self.buffers.items()},
        )

    def __call__(self, images: Array) -> Array:
        """Return the logits (N, classes) of images (N, C, H, W) in [0, 1].

        Batch norm uses its running statistics.  For networks with one input and one output;
        ``graphs.execution.forward`` runs any.
        Raises InputError as in ``check_images``.
        """
        images = check_images(self.graph, images).astype(self.dtype, copy=False)
        inputs = {self.graph.input: images}
        passed = execution.forward(
            self.graph, self.parameters, self.buffers, inputs, training=False
        )
        return passed.outputs[self.graph.output]


def sparsity_rates(network: Network) -> dict[str, float]:
    """The share of exact zeros in every prunable weight, by name."""
    return {
        name: 1 - np.count_nonzero(network.parameters[name]) / network.parameters[name].size
        for name in network.graph.prunable
    }


def global_rate(network: Network) -> float:
    """The share of exact zeros in all prunable weights together."""
    weights = [network.parameters[name] for name in network.graph.prunable]
    zeros = sum(w.size - np.count_nonzero(w) for w in weights)
    return float(zeros / max(1, sum(w.size for w in weights)))  # 0 without such a layer


@runtime_checkable
class ImageSequence(Protocol):
    """Images (N, C, H, W) in [0, 1] that are read, and checked, when they are indexed."""

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Any) -> Array: ...

    def astype(self, dtype: Any, copy: bool = True) -> Any: ...

    def batches(self, indices: Iterable[Any]) -> Iterator[Array]:
        """Yield the images of each index, in order."""


def check_images(graph: Graph, images: Any) -> Any:
    """Return ``images`` if they are floats (N, C, H, W) in [0, 1], at least one.

    The numbers of an ``ImageSequence`` are checked when they are read.
    Raises InputError otherwise: images in 0..255, or normalised before the network does it, would
    give meaningless logits.
    """
    lazy = isinstance(images, ImageSequence)
    array: Any = images if lazy else np.asarray(images)
    if len(array.shape) < 2 or array.shape[1:] != graph.input_shape or array.dtype.kind != "f":
        raise InputError(
            f"images have shape {array.shape} and dtype {array.dtype}; network {graph.name!r} "
            f"expects floats of shape (N, {', '.join(map(str, graph.input_shape))}) in [0, 1]"
        )
    if array.shape[0] == 0:
        raise InputError("there are no images; expected at least one")
    if not lazy:
        check_range(array)
    return array


def check_range(images: Array) -> None:
    """Raise InputError unless floats are in [0, 1]: not 0 to 255, and not normalised already."""
    if not images.size:
        return
    if not np.isfinite(images).all():
        raise InputError("images hold NaN or infinity; expected finite numbers in [0, 1]")
    least, greatest = images.min(), images.max()
    if least < 0 or greatest > 1:
        raise InputError(
            f"images run from {least:g} to {greatest:g}; expected [0, 1]: divide 8-bit values by "
            "255, and leave the normalisation to the network, which has a node for it"
        )


def _check(arrays: Mapping[str, Array], shapes: Mapping[str, Shape], kind: str) -> None:
    for name, shape in shapes.items():
        if name not in arrays:
            raise InputError(f"{kind} {name!r} is missing; expected an array of shape {shape}")
        array = arrays[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise InputError(
                f"{kind} {name!r} has shape {array.shape} and dtype {array.dtype}; "
                f"expected floats of shape {shape}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{kind} {name!r} holds NaN or infinity; expected finite numbers")
    unknown = sorted(set(arrays) - set(shapes))
    if unknown:
        raise InputError(f"{kind} {unknown[0]!r} belongs to no layer of this network; remove it")
