"""A network from an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, shown
from fcpts_ref.graphs.graph import IMAGES, LOGITS, Graph, Node
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import normalisation
from fcpts_ref.interchange.onnx.constants import ALLOWANCE, EXPANSION, Budget
from fcpts_ref.interchange.onnx.draft import PARTS, Constant, Drafts, Held
from fcpts_ref.interchange.onnx.inputs import output_names, read_inputs
from fcpts_ref.interchange.onnx.layout import Value, shown_dims
from fcpts_ref.interchange.onnx.metadata import default_normalisation
from fcpts_ref.interchange.onnx.naming import cleaned
from fcpts_ref.interchange.onnx.operators import OPERATORS
from fcpts_ref.interchange.onnx.patterns import join_parts
from fcpts_ref.interchange.onnx.reading import OnnxNode, opset_of, read_model, sorted_nodes
from fcpts_ref.interchange.onnx.source import pack_source
from fcpts_ref.interchange.onnx.tensors import TensorReader
from fcpts_ref.interchange.onnx.translator import Translator

Array = NDArray[Any]
NORMALISE = "normalise"


@dataclass(frozen=True)
class ImportedOnnx:
    """A network, and what its file was: its normalisation as text, its opset and its producer."""

    network: Network
    normalise: str
    opset: int
    producer: str


@dataclass(frozen=True)
class Translation:
    """What a file becomes: our nodes, the values of its outputs, its arrays."""

    drafts: Drafts
    outputs: dict[str, str]  # our value by our output's name
    model: Any


def import_onnx(
    path: Path | str,
    *,
    normalise: str | None = None,
    input_shape: Sequence[int] | None = None,
) -> ImportedOnnx:
    """Read the network of an ONNX file, for images in [0, 1].

    normalise: what a node before the file's own graph normalises by: a name or numbers, as for
    checkpoints.  "none": nothing; the file's graph reads the images as they are.  Default: what
    the file says if this program wrote it; else "imagenet" for three channels, "none" for others.
    input_shape: without the batch, where the file leaves sizes open.
    float16 and bfloat16 become float32; one float64 weight makes the network float64.  The file's
    own graph is kept without weights in ``Graph.source``, and ``export_onnx`` writes it again.
    Raises InputError, in one line, for a file that cannot be read or has operators, settings or
    weights that are not supported.
    """
    model = read_model(path)
    try:
        translation = translate(model, Path(path), input_shape)
        text = normalise or default_normalisation(model, translation.drafts.inputs)
        network = finish(translation, cleaned(Path(path).stem) or "network", text)
        return ImportedOnnx(network, text, opset_of(model), model.producer_name)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def translate(
    model: Any, path: Path, input_shape: Sequence[int] | None = None, *, batched: bool = True
) -> Translation:
    """Translate a model.

    path: of its file, beside which external data is looked for.  input_shape: as for
    ``import_onnx``.  batched: whether the first axis of its inputs is the batch.
    Raises InputError.
    """
    graph = model.graph
    reader = TensorReader(path.parent, model.ByteSize())
    constants: dict[str, Any] = {}
    for name, array in _initialisers(graph, reader):
        if name in constants:
            raise InputError(f"the initialiser {shown(name)} is there twice; expected once")
        constants[name] = Constant(array, name)
    inputs, values, batch = read_inputs(graph, constants, input_shape, batched=batched)
    limit = ALLOWANCE + EXPANSION * sum(c.array.nbytes for c in constants.values())
    translator = Translator(
        Drafts(inputs), batch, opset_of(model), Budget(limit), {**constants, **values}
    )
    nodes = sorted_nodes(graph, {*constants, *values}, reader.read, opset_of(model))
    translator.run(nodes, OPERATORS)
    names = output_names(graph, translator.values)
    outputs = _outputs(graph, translator, names)
    join_parts(translator.drafts, set(outputs.values()))
    for node in translator.drafts.nodes.values():
        if node.operation in PARTS:
            raise InputError(
                f"{node.origin} is supported only as a part of other layers (GELU, layer norm), "
                "and what is around it is none of them"
            )
    return Translation(translator.drafts, outputs, model)


def _initialisers(graph: Any, reader: TensorReader) -> Any:
    for tensor in graph.initializer:
        yield tensor.name, reader.read(tensor)
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, reader.read_sparse(sparse)


def _outputs(graph: Any, t: Translator, names: Sequence[str]) -> dict[str, str]:
    """Lay every output out as the file has it."""
    result = {}
    for name in names:
        value = t.values[name]
        assert isinstance(value, Value)
        origin = OnnxNode(-1, name, "Identity", (), (name,), {}, {})
        ours = LOGITS if len(names) == 1 else cleaned(name)
        if value.batch > 1 and value.batch_axis != 0:
            raise InputError(
                f"output {shown(name)} has the shape {shown_dims(value.dims)}; expected the batch "
                "first"
            )
        result[ours] = t.plain(origin, value).name
    if not t.drafts.nodes:
        raise InputError("it computes nothing; expected a network")
    return result


def finish(
    translation: Translation,
    name: str,
    normalise: str,
) -> Network:
    """Return the network of a translation, with a node for its normalisation unless "none"."""
    drafts = translation.drafts
    mean, std = normalisation(normalise)
    first = [] if normalise == "none" else _normalisation(drafts)
    names = _names(drafts, [node.name for node in first])
    entry = {IMAGES: NORMALISE} if first else {}
    nodes = [
        Node(
            names[key],
            draft.operation,
            tuple(names.get(read, entry.get(read, read)) for read in draft.inputs),
            draft.attributes,
        )
        for key, draft in drafts.nodes.items()
    ]
    outputs = {ours: names.get(value, value) for ours, value in translation.outputs.items()}
    graph = Graph(name, drafts.inputs, (*first, *nodes), outputs)
    held = _held_by_name(drafts, names, graph)
    source = pack_source(translation.model, held, graph, NORMALISE if first else "")
    graph = Graph(name, drafts.inputs, (*first, *nodes), outputs, source)
    arrays = {full: h.constant.array for full, h in held.items()}
    if first:
        given = {"mean": mean, "std": std}
        for full, stored in first[0].stored.items():
            values = np.array(given[full.rpartition(".")[2]], np.float64)
            if values.shape not in ((1,), stored.shape):
                raise InputError(
                    f"normalisation by {values.size} numbers; expected one or {stored.shape[0]}, "
                    "one for each channel"
                )
            arrays[full] = np.broadcast_to(values, stored.shape)
    return _network(graph, arrays, {h.constant.array.dtype for h in held.values()})


def _network(graph: Graph, arrays: Mapping[str, Array], dtypes: set[np.dtype[Any]]) -> Network:
    dtype = np.float64 if np.dtype(np.float64) in dtypes else np.float32
    cast = {name: np.array(array, dtype, order="C") for name, array in arrays.items()}
    for name in graph.prunable:
        cast[name] = np.add(cast[name], 0.0)  # a product with a mask leaves -0, which takes room
    return Network(
        graph,
        {name: cast[name] for name in graph.parameter_shapes},
        {name: cast[name] for name in graph.buffer_shapes},
    )


def _normalisation(drafts: Drafts) -> list[Node]:
    shapes = list(drafts.inputs.values())
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise InputError(
            f"its inputs are {dict(drafts.inputs)}; normalisation expects one of images (C, H, W)"
        )
    return [Node(NORMALISE, NORMALISE, (IMAGES,), {"channels": shapes[0][0]})]


def _names(drafts: Drafts, taken: Sequence[str]) -> dict[str, str]:
    """Return the final name of every node: its label, with a number where it is taken."""
    used = {*drafts.inputs, *taken}
    result: dict[str, str] = {}
    with_weights = sorted(drafts.nodes.items(), key=lambda item: not item[1].arrays)
    for key, draft in with_weights:  # they have the first choice
        number, name = 1, draft.label
        while name in used:
            number += 1
            name = f"{draft.label}_{number}"
        used.add(name)
        result[key] = name
    return result


def _held_by_name(drafts: Drafts, names: Mapping[str, str], graph: Graph) -> dict[str, Held]:
    """Return the arrays by their full names.  Raises InputError for shapes that do not fit."""
    nodes = {node.name: node for node in graph.nodes}
    result = {}
    for key, draft in drafts.nodes.items():
        stored = nodes[names[key]].row.stored(nodes[names[key]].attributes)
        for short, held in draft.arrays.items():
            short = short or next(iter(stored))
            if stored[short].shape != held.constant.array.shape:
                raise InputError(
                    f"{draft.origin} has a {short} of shape {held.constant.array.shape}; expected "
                    f"{stored[short].shape}"
                )
            result[f"{names[key]}.{short}"] = held
    return result
