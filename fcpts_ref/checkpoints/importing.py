"""A network from another program's checkpoint, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checkpoints.names import MatchReport, match_state
from fcpts_ref.checkpoints.safetensors_file import read_safetensors, write_safetensors
from fcpts_ref.checkpoints.torch_file import read_torch_file
from fcpts_ref.checkpoints.torch_write import write_torch_file
from fcpts_ref.errors import InputError
from fcpts_ref.files import describe_failure
from fcpts_ref.networks import Graph, Network

Array = NDArray[Any]

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,), (1.0,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
"""Mean and standard deviation per channel that CIFAR checkpoints are commonly trained with."""


def import_network(
    path: Path | str, graph: Graph, *, mean: Sequence[float], std: Sequence[float]
) -> tuple[Network, MatchReport]:
    """The network of a checkpoint (PyTorch's formats or safetensors, told by content).

    mean, std: the input normalisation per channel it was trained with, images being in [0, 1].
    float16 and bfloat16 become float32.
    Raises InputError for a file that is not such a checkpoint or does not fit the graph.
    """
    path = Path(path)
    state = read_checkpoint(path)
    constants = {name for name in graph.buffer_shapes if name.endswith((".mean", ".std"))}
    expected = {**graph.parameter_shapes, **graph.buffer_shapes}
    report = match_state(state, {n: s for n, s in expected.items() if n not in constants})
    arrays = report.require_complete(str(path))
    double = any(array.dtype == np.float64 for array in arrays.values())
    dtype = np.dtype(np.float64 if double else np.float32)
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    C = graph.input_shape[0]
    for name in constants:
        values = mean if name.endswith(".mean") else std
        arrays[name] = np.broadcast_to(np.array(values, dtype=dtype), (C,)).copy()
    parameters = {name: arrays[name] for name in graph.parameter_shapes}
    return Network(graph, parameters, {n: arrays[n] for n in graph.buffer_shapes}), report


def read_checkpoint(path: Path) -> dict[str, Array]:
    """The arrays of a PyTorch file or a safetensors file, told apart by their first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    if len(head) == 9 and head[8:] == b"{":  # eight bytes of length, then JSON
        return read_safetensors(path)
    return read_torch_file(path)


def export_network(path: Path | str, network: Network) -> None:
    """Writes a checkpoint for others: safetensors for that ending, else PyTorch's zip format.

    Weights have their masks applied; masks are also there on their own, as NAME_mask (uint8).
    Input normalisation is left to the reader: its mean and std are there as normalise.mean, .std.
    Raises InputError if the file cannot be written.
    """
    masks = {f"{name}_mask": mask.astype(np.uint8) for name, mask in network.masks.items()}
    arrays: Mapping[str, Array] = {**network.parameters, **network.buffers, **masks}
    if Path(path).suffix == ".safetensors":
        write_safetensors(path, arrays)
    else:
        write_torch_file(path, arrays)
