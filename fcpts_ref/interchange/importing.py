"""A network from another program's checkpoint, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.graphs.projections import join_projections
from fcpts_ref.interchange.foreign import describe_folder, describe_path
from fcpts_ref.interchange.names import MatchReport, match_state
from fcpts_ref.interchange.reparametrised import MASK_SUFFIX, split_masks
from fcpts_ref.interchange.safetensors_file import read_safetensors, write_safetensors
from fcpts_ref.interchange.sparse_export import expand, shrink
from fcpts_ref.interchange.torch_file import read_torch_file
from fcpts_ref.interchange.torch_write import write_torch_file
from fcpts_ref.interchange.transformer_names import as_torch_arrays
from fcpts_ref.storage.files import check_regular_file, check_writable, describe_failure
from fcpts_ref.storage.npz_file import read_npz_arrays

Array = NDArray[Any]

BRIGHTEST = 2.0
"""Above every mean and deviation of images in [0, 1], and below those of images in [0, 255]."""
MAX_CLASSES = 100_000

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,), (1.0,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "kuangliu": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "half": ((0.5,), (0.5,)),
    "lite": ((127 / 255,), (128 / 255,)),
}
"""Mean and standard deviation per channel that checkpoints are commonly trained with.

kuangliu: those of the repository pytorch-cifar, whose deviations are means over single images;
chenyaofo's pytorch-cifar-models use them too.  half: TensorFlow's mobile networks, and those that
timm took over from it.  lite: EfficientNet-Lite, (x - 127) / 128 of 8-bit values.
"""


def normalisation(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation for a name or for numbers, "M1,M2,M3/S1,S2,S3".

    One number on either side stands for all channels.  Raises InputError for anything else.
    """
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in text.split("/"))
    except ValueError as error:
        raise InputError(
            f"normalisation {text[:80]!r}; expected one of {', '.join(NORMALISATIONS)}, or numbers "
            "such as 0.49,0.48,0.45/0.20,0.20,0.20 (mean/deviation of each channel)"
        ) from error
    return mean, std


def read_checkpoint(path: Path | str) -> dict[str, Array]:
    """Read the arrays of a PyTorch or safetensors file, distinguished by the first bytes.

    A file whose name ends in .npz holds arrays as ``np.savez`` writes them.
    """
    path = Path(path)
    try:
        names = [inner.name for inner in path.iterdir()] if path.is_dir() else []
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    if kind := describe_folder(names):
        raise InputError(f"{path}: {kind}")
    check_regular_file(path)
    if kind := describe_path(path.name):
        raise InputError(f"{path}: {kind}")
    if path.suffix.lower() == NPZ:
        return read_npz_arrays(path)
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    if head[8:] == b"{":  # eight bytes of length, then JSON
        return read_safetensors(path)
    return read_torch_file(path)


def import_network(
    path: Path | str,
    graph: Graph,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    extras: Path | str | None = None,
) -> tuple[Network, MatchReport]:
    """Read the network of a checkpoint in PyTorch's formats or safetensors.

    mean, std: the input normalisation that it was trained with, for images in [0, 1], one number or
    one per channel; constants in the file itself or in ``extras`` take precedence.
    extras: a second file with masks and normalisation, as ``export_network`` writes it.
    Masks (NAME_mask, beside NAME or NAME_orig) are applied, those of prunable weights kept.
    float16 and bfloat16 become float32; one float64 array makes the network float64.
    Raises InputError for a file that is not such a checkpoint or does not fit the graph.
    """
    state, masks = read_arrays_and_masks(path, extras)
    return network_from_arrays(state, masks, graph, mean=mean, std=std, source=str(path))


def network_from_arrays(
    state: Mapping[str, Array],
    masks: Mapping[str, Array],
    graph: Graph,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    source: str,
) -> tuple[Network, MatchReport]:
    """Make the network of a checkpoint's arrays and masks, as ``import_network`` does.

    source: the checkpoint's name in error messages.
    Raises InputError for arrays that do not fit the graph.
    """
    expected = {**graph.parameter_shapes, **graph.buffer_shapes}
    absent = set(_constant_names(graph)).intersection(match_state(state, expected).missing)
    report = match_state(state, {n: shape for n, shape in expected.items() if n not in absent})
    complete = report.require_complete(source)
    found = {**(_constants(graph, mean, std) if absent else {}), **complete}
    double = any(array.dtype == np.float64 for array in report.arrays.values())
    arrays = {name: a.astype(np.float64 if double else np.float32) for name, a in found.items()}
    kept = {}
    for name in report.arrays:
        theirs = report.renamed.get(name, name)
        if theirs in masks:
            what = f"{source}: {theirs}{MASK_SUFFIX}"
            kept[name] = _as_mask(masks[theirs], arrays[name].shape, what)
            arrays[name] = apply_mask(arrays[name], kept[name])
    for name in graph.prunable:
        arrays[name] = np.add(
            arrays[name], 0.0
        )  # a product with a mask leaves -0, which takes room
    parameters = {name: arrays[name] for name in graph.parameter_shapes}
    buffers = {name: arrays[name] for name in graph.buffer_shapes}
    prunable = {name: kept[name] for name in graph.prunable if name in kept}
    return Network(graph, parameters, buffers, prunable), report


def count_classes(state: Mapping[str, Array], graph: Graph) -> int:
    """Return the number of classes of a checkpoint: the outputs of its last weight.

    state: the checkpoint's arrays.  graph: of its architecture, for any number of classes.  The
    graph's own number is returned if the checkpoint has no such weight.
    """
    last = graph.prunable[-1]
    report = match_state(state, graph.parameter_shapes)
    found = report.wrong_shape[last][0] if last in report.wrong_shape else ()
    fits = len(found) == 2 and found[1:] == graph.parameter_shapes[last][1:]
    return found[0] if fits and 0 < found[0] <= MAX_CLASSES else graph.classes


def read_arrays_and_masks(
    path: Path | str, extras: Path | str | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Read a checkpoint's arrays without their masks, and the masks by the names of the arrays.

    extras: a second file with masks and normalisation, as ``export_network`` writes it.
    Raises InputError as ``import_network`` does.
    """
    state = read_checkpoint(path)
    if extras is not None:
        state |= read_checkpoint(extras)
    try:
        arrays, own = expand(state)
        arrays, masks = split_masks(arrays)
        return arrays, masks | own
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _constants(graph: Graph, mean: Sequence[float], std: Sequence[float]) -> dict[str, Array]:
    """Return the buffers (float64) of the normalisation.  Raises InputError for bad ones."""
    C = graph.input_shape[0]
    numbers = np.array([*mean, *std], np.float64)
    if not {len(mean), len(std)} <= {1, C} or not np.isfinite(numbers).all() or min(std) <= 0:
        raise InputError(
            f"normalisation by mean {tuple(mean)} and std {tuple(std)}; expected "
            f"{counted(C, 'finite number')} each (or one for all channels), std above 0: give the "
            "normalisation that the network was trained with"
        )
    if np.abs(numbers).max() > BRIGHTEST:
        raise InputError(
            f"normalisation by mean {tuple(mean)} and std {tuple(std)} is for images of 0 to 255; "
            "here they are of 0 to 1: divide these numbers by 255"
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
    """Return a copy of ``array`` with +0 where ``mask`` is False."""
    return np.where(mask, array, array.dtype.type(0))


NPZ = ".npz"
SAFETENSORS = ".safetensors"
ENDINGS = (".pt", ".pth", ".th", ".ckpt", ".bin", ".tar", SAFETENSORS)
"""Endings of checkpoints' names; all but the last one are PyTorch's (.tar as in model.pth.tar)."""


def strip_endings(name: str) -> str:
    """Return a checkpoint's name without the endings of its format: model of model.pth.tar."""
    path = Path(name)
    while path.suffix.lower() in (*ENDINGS, NPZ):
        path = path.with_suffix("")
    return str(path)


def check_ending(path: Path | str) -> str:
    """Return the ending of a checkpoint that is to be written, in lower case.

    Raises InputError for an ending of another format (.onnx, .npz, ...), and for none.  A name that
    ends in .tar is an archive's, unless it is one such as model.pth.tar.
    """
    ending = Path(path).suffix.lower()
    before = Path(Path(path).stem).suffix.lower()
    if ending not in ENDINGS or (ending == ".tar" and before not in ENDINGS):
        raise InputError(
            f"{path}: expected the ending {SAFETENSORS}, or .pt, .pth or .th for PyTorch's format"
            + (
                ", which export_network writes; export_onnx writes .onnx"
                if ending == ".onnx"
                else ", or .onnx"
            )
        )
    return ending


def export_network(
    path: Path | str, network: Network, *, extras: Path | str | None = None, sparse: bool = False
) -> None:
    """Write a checkpoint for other programs, in the format of the ending: safetensors or PyTorch.

    It holds the arrays of the architecture and nothing else, so that ``load_state_dict`` with
    ``strict=True`` takes it: masks are applied to the weights, and the reader must apply the input
    normalisation itself.
    extras: a second file, for what the first one leaves out: masks as NAME_mask (uint8), mean and
        std of the normalisation as normalise.mean and normalise.std.
    sparse: the file holds masked weights without their zeros, as NAME.values, NAME.mask and
        NAME.shape, and the normalisation; no ``load_state_dict`` takes it (``sparse_export``).
    Raises InputError for another ending, two equal paths, and if a file cannot be written.
    """
    writers = [_writer(one) for one in (path, extras) if one is not None]
    network = join_projections(network)
    constants = set(_constant_names(network.graph))
    masks = network.masks
    arrays: dict[str, Array] = {
        **network.parameters,
        **{name: apply_mask(network.parameters[name], mask) for name, mask in masks.items()},
        **{name: array for name, array in network.buffers.items() if name not in constants},
    }
    if sparse:
        for name, mask in masks.items():
            arrays |= shrink(name, arrays.pop(name), mask)
        arrays |= {name: network.buffers[name] for name in sorted(constants)}
    if extras is not None:
        if Path(extras).resolve() == Path(path).resolve():
            raise InputError(
                f"{extras} is the file of the weights; expected another for the extras"
            )
        others = {name: network.buffers[name] for name in sorted(constants)}
        others |= {name + MASK_SUFFIX: mask.astype(np.uint8) for name, mask in masks.items()}
        if not others:
            raise InputError(
                f"{extras}: the network has neither masks nor normalisation; export without extras"
            )
        check_writable(path)
        writers[1](extras, as_torch_arrays(network.graph, others))
    writers[0](path, as_torch_arrays(network.graph, arrays))


def _writer(path: Path | str) -> Callable[[Path | str, Mapping[str, Array]], None]:
    return write_safetensors if check_ending(path) == SAFETENSORS else write_torch_file
