"""A network from another program's checkpoint, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.names import MatchReport, match_state
from fcpts_ref.interchange.safetensors_file import read_safetensors, write_safetensors
from fcpts_ref.interchange.torch_file import read_torch_file
from fcpts_ref.interchange.torch_write import write_torch_file
from fcpts_ref.storage.files import describe_failure

Array = NDArray[Any]

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,), (1.0,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
"""Mean and standard deviation per channel that CIFAR checkpoints are commonly trained with."""

MASK_SUFFIX = "_mask"  # conv1.weight_mask, as torch.nn.utils.prune names them


def read_checkpoint(path: Path | str) -> dict[str, Array]:
    """The arrays of a PyTorch file or a safetensors file, told apart by their first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    if head[8:] == b"{":  # eight bytes of length, then JSON
        return read_safetensors(path)
    return read_torch_file(path)


def import_network(
    path: Path | str, graph: Graph, *, mean: Sequence[float], std: Sequence[float]
) -> tuple[Network, MatchReport]:
    """The network of a checkpoint (PyTorch's formats or safetensors, told by content).

    mean, std: the input normalisation it was trained with, one number or one per channel, images
    being in [0, 1]; where the checkpoint itself holds these constants, as those that
    ``export_network`` writes do, its own are taken.  Masks (NAME_mask) are applied and kept.
    float16 and bfloat16 become float32; one float64 array makes the network float64.
    Raises InputError for a file that is not such a checkpoint or does not fit the graph.
    """
    masked = {name + MASK_SUFFIX: name for name in graph.prunable}
    state = read_checkpoint(path)
    held = all(name in state for name in _constant_names(graph))
    constants = {} if held else _constants(graph, mean, std)
    report = match_state(
        {name: array for name, array in state.items() if name not in masked},
        {
            name: shape
            for name, shape in {**graph.parameter_shapes, **graph.buffer_shapes}.items()
            if name in state or name not in constants
        },
    )
    found = {**constants, **report.require_complete(str(path))}
    double = any(array.dtype == np.float64 for array in report.arrays.values())
    arrays = {name: a.astype(np.float64 if double else np.float32) for name, a in found.items()}
    masks = {
        masked[name]: _as_mask(array, arrays[masked[name]].shape, f"{path}: {name}")
        for name, array in state.items()
        if name in masked
    }
    for name, mask in masks.items():
        arrays[name] = apply_mask(arrays[name], mask)
    parameters = {name: arrays[name] for name in graph.parameter_shapes}
    buffers = {name: arrays[name] for name in graph.buffer_shapes}
    return Network(graph, parameters, buffers, masks), report


def _constants(graph: Graph, mean: Sequence[float], std: Sequence[float]) -> dict[str, Array]:
    """The buffers of the graph's normalising nodes (float64).  InputError unless they fit."""
    C = graph.input_shape[0]
    numbers = np.array([*mean, *std], np.float64)
    if not {len(mean), len(std)} <= {1, C} or not np.isfinite(numbers).all() or min(std) <= 0:
        raise InputError(
            f"normalisation by mean {tuple(mean)} and std {tuple(std)}; expected {C} finite "
            "numbers each (or one for all channels), std above 0"
        )
    values = {"mean": np.array(mean, np.float64), "std": np.array(std, np.float64)}
    return {
        name: np.broadcast_to(values[name.rpartition(".")[2]], (C,))
        for name in _constant_names(graph)
    }


def _constant_names(graph: Graph) -> list[str]:
    nodes = [node.name for node in graph.nodes if node.operation == "normalise"]
    return [f"{node}.{key}" for node in nodes for key in ("mean", "std")]


def _as_mask(array: Array, shape: tuple[int, ...], what: str) -> NDArray[np.bool_]:
    if array.shape != shape or not np.isin(array, (0, 1)).all():
        raise InputError(f"{what} should be of shape {shape} and hold zeros and ones only")
    return array.astype(np.bool_)


def apply_mask(array: Array, mask: NDArray[np.bool_]) -> Array:
    """A copy of ``array`` with +0 where ``mask`` is False."""
    return np.where(mask, array, array.dtype.type(0))


def export_network(path: Path | str, network: Network) -> None:
    """Writes a checkpoint for others: safetensors for that ending, else PyTorch's zip format.

    Weights have their masks applied; masks are also there on their own, as NAME_mask (uint8).
    Input normalisation is left to the reader: its mean and std are there as normalise.mean, .std.
    Raises InputError if the file cannot be written.
    """
    masks = network.masks
    arrays: dict[str, Array] = {
        **network.parameters,
        **{name: apply_mask(network.parameters[name], mask) for name, mask in masks.items()},
        **network.buffers,
        **{name + MASK_SUFFIX: mask.astype(np.uint8) for name, mask in masks.items()},
    }
    if Path(path).suffix == ".safetensors":
        write_safetensors(path, arrays)
    else:
        write_torch_file(path, arrays)
