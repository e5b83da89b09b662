"""A network as an ONNX file: with the graph that it came with, or its own nodes as operators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import apply_mask
from fcpts_ref.interchange.onnx.export.builder import IR_VERSION, Builder
from fcpts_ref.interchange.onnx.export.rows import ROWS
from fcpts_ref.interchange.onnx.library import onnx_library
from fcpts_ref.interchange.onnx.metadata import describe
from fcpts_ref.interchange.onnx.original import rebuild
from fcpts_ref.interchange.onnx.reading import MAX_FILE
from fcpts_ref.interchange.onnx.sparse import make_sparse
from fcpts_ref.storage.files import write_atomically

Array = NDArray[Any]

BATCH: Final = "N"


def export_onnx(
    path: Path | str,
    network: Network,
    *,
    normalisation: bool | None = None,
    sparse: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Any:
    """Write ``network`` as an ONNX file, whole or not at all, and return the ModelProto.

    Masks are applied.  A network that came from an ONNX file is written with that file's graph, in
    which only weights are changed.  Any other is written node by node (opset 18, or a newer
    one where pooling needs it), its arrays under their own names, for batches of any size.
    normalisation: whether the file normalises images in [0, 1] itself.  None: yes for a graph of
        our own, no for one that came from a file.
    sparse: store weights of which more than two thirds are zero as sparse initialisers.
    metadata: texts besides rate, version and normalisation.
    Raises InputError for a file of 2 GB or more, and if it cannot be written.
    """
    if Path(path).suffix.lower() != ".onnx":
        raise InputError(f"{path}: expected the ending .onnx")
    network = masked(network)
    normalisation = includes_normalisation(network.graph, normalisation)
    if network.graph.source is not None:
        model = rebuild(network, normalisation=normalisation)
    else:
        model = build(network, normalisation=normalisation)
    weights = set(network.graph.prunable)
    if sparse:
        make_sparse(model, weights)
    describe(model, network, normalisation, metadata or {})
    content = _serialise(model, path)
    write_atomically(path, lambda temporary: _write_bytes(temporary, content))
    return model


def includes_normalisation(graph: Graph, asked: bool | None) -> bool:
    """Return whether the file will normalise images, from what was asked for and can be done.

    Raises InputError for a choice that the graph that the network came with does not leave.
    """
    inserted = None if graph.source is None else graph.source.inserted
    inside = any(
        node.operation == "normalise" and node.inputs[0] in graph.inputs and node.name != inserted
        for node in graph.nodes
    )
    if inserted is None or inserted:
        return inserted is None if asked is None else asked
    if asked is not None and asked != inside:
        has = "normalises its images itself" if inside else "has no input normalisation"
        raise InputError(f"the graph that the network came with {has}; export it as it is")
    return inside


def masked(network: Network) -> Network:
    """Return the network with zeros where its masks prune."""
    pruned = {name: apply_mask(network.parameters[name], m) for name, m in network.masks.items()}
    return network.with_parameters({**network.parameters, **pruned})


def build(network: Network, *, normalisation: bool) -> Any:
    """Return the ModelProto of the network's own graph."""
    helper = onnx_library().helper
    graph = network.graph
    builder = Builder(graph, {**network.parameters, **network.buffers})
    for node in graph.nodes:
        if node.operation == "normalise" and not normalisation and node.inputs[0] in graph.inputs:
            builder.add("Identity", node.inputs, node.name)
        else:
            _row(node)(builder, node)
    for name, value in graph.outputs.items():
        if name != value:
            builder.add("Identity", [value], name)
    kind = helper.np_dtype_to_tensor_dtype(builder.dtype)
    proto = helper.make_graph(
        builder.nodes,
        graph.name,
        [helper.make_tensor_value_info(n, kind, [BATCH, *s]) for n, s in graph.inputs.items()],
        [
            helper.make_tensor_value_info(n, kind, [BATCH, *s])
            for n, s in graph.output_shapes.items()
        ],
        [
            onnx_library().numpy_helper.from_array(np.asarray(array, order="C"), name)
            for name, array in builder.initialisers.items()
        ],
    )
    opset = helper.make_opsetid("", builder.opset)
    return helper.make_model(proto, opset_imports=[opset], ir_version=IR_VERSION[builder.opset])


def _row(node: Node) -> Any:
    if node.operation not in ROWS:
        raise InputError(
            f"node {node.name!r} ({node.operation}) cannot be written as ONNX; expected one of "
            f"{', '.join(ROWS)}"
        )
    return ROWS[node.operation]


def _serialise(model: Any, path: Path | str) -> bytes:
    size = model.ByteSize()
    if size >= MAX_FILE:
        raise InputError(
            f"{path} would have {counted(size, 'byte')}; an ONNX file holds less than "
            f"{MAX_FILE:,}: export as .safetensors"
        )
    content: bytes = model.SerializeToString()
    return content


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
