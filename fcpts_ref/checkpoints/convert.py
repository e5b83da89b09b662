"""From a foreign checkpoint to a Network, and from a Network to arrays others can load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fcpts_ref.checkpoints.names import MatchReport, match_state
from fcpts_ref.checkpoints.safetensors_file import read_safetensors, write_safetensors
from fcpts_ref.checkpoints.torch_file import read_torch_file
from fcpts_ref.checkpoints.torch_write import write_torch_file
from fcpts_ref.errors import InputError
from fcpts_ref.files import describe_failure
from fcpts_ref.networks.graph import Graph
from fcpts_ref.networks.network import Network

MASK_SUFFIX = "_mask"  # conv1.weight_mask, as torch.nn.utils.prune names them
TORCH_SUFFIXES = (".pth", ".pt", ".th")
SAFETENSORS_SUFFIX = ".safetensors"


def read_checkpoint(path: Path | str) -> dict[str, np.ndarray]:
    """Return a checkpoint's arrays by name, safetensors or PyTorch, told by its contents.

    Raises InputError as read_safetensors and read_torch_file do.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    return read_safetensors(path) if start[8:] == b"{" else read_torch_file(path)


def import_network(
    path: Path | str, graph: Graph, *, mean: Sequence[float], std: Sequence[float]
) -> tuple[Network, MatchReport]:
    """Return the network of ``graph`` with a checkpoint's arrays, and how they were matched.

    ``mean`` and ``std``, one number per channel, are the constants of input normalisation,
    which no checkpoint holds.  Arrays are brought to float32, or to float64 if one of them
    is; masks (NAME_mask), if any, are applied and kept.

    Raises InputError if the file is bad or does not fit the graph to the last array.
    """
    constants = _constants(graph, mean, std)
    expected = {
        name: shape
        for name, shape in (graph.parameter_shapes | graph.buffer_shapes).items()
        if name not in constants
    }
    masked = {f"{name}{MASK_SUFFIX}": name for name in graph.prunable}
    state = read_checkpoint(path)
    masks = {masked[name]: array for name, array in state.items() if name in masked}
    rest = {name: array for name, array in state.items() if name not in masked}
    report = match_state(rest, expected)
    arrays = report.require_complete(str(path))
    dtype = np.float64 if any(a.dtype == np.float64 for a in arrays.values()) else np.float32
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    masks = {name: _as_mask(str(path), name, mask, expected[name]) for name, mask in masks.items()}
    for name, mask in masks.items():
        arrays[name] = np.where(mask, arrays[name], dtype(0))
    arrays |= {name: np.asarray(value, dtype) for name, value in constants.items()}
    network = Network(
        graph,
        parameters={name: arrays[name] for name in graph.parameter_shapes},
        buffers={name: arrays[name] for name in graph.buffer_shapes},
        masks=masks,
    )
    return network, report


def _constants(
    graph: Graph, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Sequence[float]]:
    """Return the buffers of the graph's normalising nodes; InputError unless they fit."""
    C = graph.input_shape[0]
    if len(mean) != C or len(std) != C or not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        raise InputError(
            f"mean {tuple(mean)} and std {tuple(std)}, expected {C} finite numbers each, "
            "std above 0"
        )
    names = [node.name for node in graph.nodes if node.operation == "normalise"]
    return {f"{n}.mean": mean for n in names} | {f"{n}.std": std for n in names}


def _as_mask(
    source: str, name: str, array: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if array.shape != shape or not np.isin(array, (0, 1)).all():
        raise InputError(f"{source}: the mask of {name} should be {shape} of zeros and ones")
    return array.astype(np.bool_)


def export_arrays(network: Network) -> dict[str, np.ndarray]:
    """Return what a checkpoint of ``network`` holds: parameters with masks applied, running
    statistics, and each mask as NAME_mask (uint8).

    The constants of input normalisation are left out: no other framework keeps them so.
    """
    constants = {
        f"{node.name}.{suffix}"
        for node in network.graph.nodes
        if node.operation == "normalise"
        for suffix in ("mean", "std")
    }
    arrays = {
        name: np.where(network.masks[name], array, array.dtype.type(0))
        if name in network.masks
        else np.asarray(array)
        for name, array in network.parameters.items()
    }
    arrays |= {name: a for name, a in network.buffers.items() if name not in constants}
    return arrays | {f"{n}{MASK_SUFFIX}": m.astype(np.uint8) for n, m in network.masks.items()}


def export_network(
    path: Path | str, network: Network, metadata: Mapping[str, str] | None = None
) -> None:
    """Write export_arrays as safetensors (with ``metadata``) or a PyTorch file, by the suffix.

    Raises InputError for another suffix, and if the file cannot be written.
    """
    suffix = Path(path).suffix
    if suffix == SAFETENSORS_SUFFIX:
        write_safetensors(path, export_arrays(network), metadata)
    elif suffix in TORCH_SUFFIXES:
        write_torch_file(path, export_arrays(network))
    else:
        raise InputError(
            f"{path} ends in {suffix!r}, expected {SAFETENSORS_SUFFIX} or one of "
            f"{', '.join(TORCH_SUFFIXES)}"
        )
