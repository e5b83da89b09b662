"""Networks from other programs' checkpoints, whose architecture is found in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from fcpts_ref.architectures.layouts import Layout
from fcpts_ref.architectures.registry import architecture, find_architecture
from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.foreign_architectures import REMEDY, describe_architecture
from fcpts_ref.interchange.importing import (
    count_classes,
    network_from_arrays,
    normalisation,
    read_arrays_and_masks,
)
from fcpts_ref.interchange.names import MatchReport, is_counter, match_state, without_wrapper
from fcpts_ref.interchange.recognise import Recognised, closest, recognise, same_layer

Arrays = Mapping[str, NDArray[Any]]
ImageShape = tuple[int, int, int]


@dataclass(frozen=True)
class Imported:
    """A network, and how its checkpoint was understood.

    architecture: with the option of its shortcuts and the source of its names, as text.
    normalise: the input normalisation, by name or in numbers.  preprocess: the preset by which its
    source prepares pictures, None if there is none.
    """

    network: Network
    report: MatchReport
    architecture: str
    normalise: str
    preprocess: str | None


def import_checkpoint(
    path: Path | str,
    *,
    arch: str | None = None,
    shortcut: str | None = None,
    classes: int | None = None,
    input_shape: ImageShape | None = None,
    normalise: str | None = None,
    channel_order: Literal["RGB", "BGR"] | None = None,
    extras: Path | str | None = None,
) -> Imported:
    """Read the network of a checkpoint in PyTorch's formats or safetensors.

    The architecture is recognised from the names and shapes of the arrays, and the network keeps
    the names.  arch, shortcut: decide where names cannot, and must agree with them where they can.
    classes: must agree with the checkpoint.  input_shape: of the images, by default as the
    architecture was made for.  normalise, channel_order: of the images that it was trained with, by
    default as its source does.  extras: a second file with masks and normalisation, as
    ``export_network`` writes it.  Masks and dtypes are treated as by ``import_network``.
    Raises InputError, one line, for a file that is not such a checkpoint, that holds another
    architecture, or whose architecture is not known.
    """
    state, masks = read_arrays_and_masks(path, extras)
    source = str(path)
    found = recognise({n: a.shape for n, a in state.items()}, input_shape=input_shape)
    chosen = _choose(found, arch, shortcut, source)
    if chosen is not None:
        graph, layout, text = chosen.graph, chosen.layout, chosen.description
    elif arch is not None:
        graph = _named_graph(arch, state, classes, input_shape, shortcut)
        layout, text = Layout(""), arch
    else:
        raise InputError(f"{source}: {_describe(state)}")
    if classes not in (None, graph.classes):
        raise InputError(
            f"{source} has {counted(graph.classes, 'class', 'classes')}, not {classes}: choose the "
            "number of classes that it was trained with"
        )
    normalise = normalise or layout.normalise_for(graph.classes)
    mean, std = normalisation(normalise)
    if channel_order is not None:
        layout = replace(layout, channel_order=channel_order)
    graph = layout.apply(graph)
    if chosen is not None:
        state, masks = _renamed(chosen, graph, state), _renamed(chosen, graph, masks)
    try:
        network, report = network_from_arrays(
            state, masks, graph, mean=mean, std=std, source=source
        )
    except InputError as error:
        raise InputError(f"{error}{'' if chosen else f'; {_describe(state)}'}") from error
    if chosen is not None:
        renamed = {name: full for name, full in chosen.sources.items() if name != full}
        report = replace(report, renamed={n: f for n, f in renamed.items() if n in report.arrays})
    return Imported(network, report, text, normalise, layout.preprocess)


def _choose(
    found: list[Recognised], arch: str | None, shortcut: str | None, source: str
) -> Recognised | None:
    """Return the architecture that the checkpoint holds and the caller wants.

    None if none was found.  Raises InputError if they disagree, and if there are several.
    """
    row = None if arch is None else find_architecture(arch)
    wanted = [one for one in found if row in (None, one.row)]
    if shortcut is not None:
        wanted = [one for one in wanted if one.shortcut in (None, shortcut)]
    if found and not wanted:
        asked = " ".join(filter(None, (arch, shortcut and f"with shortcuts of option {shortcut}")))
        one = found[0]
        option = f" and --shortcut {one.shortcut}" if one.shortcut else ""
        raise InputError(
            f"{source} holds {one.description}, not {asked}: leave these options out or give "
            f"--arch {one.name}{option}"
        )
    if len(wanted) > 1:
        raise InputError(
            f"{source} fits {' and '.join(one.description for one in wanted)}, which differ in "
            f"what they compute but not in their arrays: choose one with --arch"
        )
    return wanted[0] if wanted else None


def _named_graph(
    arch: str,
    state: Arrays,
    classes: int | None,
    input_shape: ImageShape | None,
    shortcut: str | None,
) -> Graph:
    """Return the graph of a name with the checkpoint's classes."""
    if classes is None:
        graph = architecture(arch, input_shape=input_shape, shortcut=shortcut)
        classes = count_classes(state, graph)
    return architecture(arch, classes=classes, input_shape=input_shape, shortcut=shortcut)


def _renamed(chosen: Recognised, graph: Graph, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays by the names of the graph, and in its shapes (``same_layer``)."""
    shapes = {**graph.parameter_shapes, **graph.buffer_shapes}
    result = {name: array for name, array in arrays.items() if is_counter(name)}
    for name, full in chosen.sources.items():
        if full in arrays:
            array, shape = arrays[full], shapes.get(name)
            fits = shape is not None and same_layer(array.shape, shape)
            result[name] = array.reshape(shape) if fits else array
    return result


def _describe(state: Arrays) -> str:
    """Return what is known about a checkpoint that fits no architecture, and what to do."""
    names = list(without_wrapper(state))
    if not names:
        return "it holds no arrays; get the checkpoint itself"
    kind = describe_architecture(names)
    if kind:
        return f"it looks like {kind}, which is not built in: {REMEDY}"
    near = closest({name: array.shape for name, array in state.items()})
    if near is None:
        first = ", ".join(map(shown, names[:3]))
        return f"no known architecture has such names (arrays {first}, ...): {REMEDY}"
    name, layout, graph = near
    expected = {n: stored.shape for n, stored in graph.stored.items() if stored.role != "constant"}
    report = match_state(state, expected)
    return (
        f"the closest architecture is {name} under the names of {layout.source} "
        f"({report.summary()}); if it is another one: {REMEDY}"
    )
