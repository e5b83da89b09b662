"""Networks, histories and interrupted runs as HDF5 files.

The file of a dense network (format "fcpts-ref network", version 2)::

    attributes   format, version, name
    graph        uint8 (n,): the nodes as JSON, as ``graph_to_json`` writes them
    provenance   uint8 (n,): JSON, where the network comes from
    parameters/  one array per name, float32 or float64
    buffers/     the same
    masks/       uint8 arrays, 1 where a weight is kept; empty for a dense network
    source/      optional: the file that the network was read from, without weights: attributes
                 format ("onnx") and, if there is one, inserted; content (uint8), arrays (JSON)

Of a pruned network (version 3) graph and provenance are compressed, and the arrays and masks are
those of ``sparse_arrays``, without the weights that are 0.

Every array is checked against the graph when it is read; nothing in a file is ever executed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.graphs.graph import Graph, Node, Source
from fcpts_ref.graphs.network import Network, global_rate
from fcpts_ref.storage.hdf5 import (
    find_array,
    open_hdf5,
    read_array,
    read_group,
    read_integer,
    read_text,
    write_array,
    write_hdf5,
    write_text,
)
from fcpts_ref.storage.hdf5_trees import read_json, read_numbers, read_tree, write_json, write_tree
from fcpts_ref.storage.sparse_arrays import (
    read_packed_json,
    read_sparse_arrays,
    write_packed_json,
    write_sparse_arrays,
)

Array = NDArray[Any]

NETWORK_FORMAT, NETWORK_VERSION = "fcpts-ref network", 3
DENSE_VERSION = 2
Storage = Literal["exact", "float16", "dense"]
ARRAYS_FORMAT, ARRAYS_VERSION = "fcpts-ref arrays", 1
MAX_NAME = 1000  # letters of a node's name
MAX_INTEGER = 1 << 31  # in a graph


WORTHWHILE = 0.1
"""Share of zeros from which a file is smaller without them: positions take a bit a weight."""


def write_network(
    path: Path | str,
    network: Network,
    provenance: Mapping[str, Any] | None = None,
    *,
    storage: Storage = "exact",
) -> None:
    """Write a network to one file, whole or not at all; a pruned one without its zeros.

    Pruned is one with masks, or with a share of zeros from ``WORTHWHILE`` on.

    provenance: how the network was made, as data that JSON can hold.
    storage: "float16" stores the weights in float16, which are read as the network's own dtype;
    "dense" stores zeros and masks, as versions before 3 of the format did.
    Raises InputError if the file cannot be written, and for weights beyond float16.
    """
    halves = storage == "float16"
    pruned = bool(network.masks) or global_rate(network) >= WORTHWHILE
    sparse = halves or (storage == "exact" and pruned)

    def fill(file: h5py.File) -> None:
        write_text(file, "name", network.graph.name)
        if sparse:
            write_packed_json(file, "graph", graph_to_json(network.graph))
            write_packed_json(file, "provenance", dict(provenance or {}))
            write_sparse_arrays(file, network, halves=halves)
        else:
            _write_dense(file, network, provenance)
        if network.graph.source is not None:
            _write_source(file.create_group("source"), network.graph.source)

    write_hdf5(path, NETWORK_FORMAT, NETWORK_VERSION if sparse else DENSE_VERSION, fill)


def _write_dense(file: h5py.File, network: Network, provenance: Mapping[str, Any] | None) -> None:
    write_json(file, "graph", graph_to_json(network.graph))
    write_json(file, "provenance", dict(provenance or {}))
    for kind, arrays in (("parameters", network.parameters), ("buffers", network.buffers)):
        write_tree(file.create_group(kind), arrays)
    masks = {name: mask.astype(np.uint8) for name, mask in network.masks.items()}
    write_tree(file.create_group("masks"), masks)


def read_network(path: Path | str) -> tuple[Network, dict[str, Any]]:
    """Read a network and its provenance.

    Raises InputError, one line, for a file that is absent, cut short, foreign or of a newer
    version, or whose arrays do not fit its graph or are not finite.
    """
    with open_hdf5(path, NETWORK_FORMAT, NETWORK_VERSION, oldest=2) as file:
        sparse = read_integer(file, "version") > DENSE_VERSION
        read = read_packed_json if sparse else read_json
        graph, provenance = graph_from_json(read(file, "graph")), read(file, "provenance")
        parameters, buffers, masks = (_read_sparse if sparse else _read_dense)(file, graph)
        if not isinstance(provenance, dict):
            raise InputError("provenance should be a JSON object")
        if "source" in file:
            graph = replace(graph, source=_read_source(read_group(file, "source")))
        return Network(graph, parameters, buffers, masks), provenance


Arrays = dict[str, Array]


def _read_sparse(file: h5py.File, graph: Graph) -> tuple[Arrays, Arrays, Arrays]:
    arrays, masks = read_sparse_arrays(file, graph)
    parameters = {name: arrays[name] for name in graph.parameter_shapes}
    return parameters, {name: arrays[name] for name in graph.buffer_shapes}, masks


def _read_dense(file: h5py.File, graph: Graph) -> tuple[Arrays, Arrays, Arrays]:
    parameters = _read_floats(read_group(file, "parameters"), graph.parameter_shapes)
    buffers = _read_floats(read_group(file, "buffers"), graph.buffer_shapes)
    group = read_group(file, "masks")
    masks = {
        name: read_array(group, name, "|u1", len(graph.parameter_shapes[name])).astype(np.bool_)
        for name in graph.prunable
        if name in group
    }
    return parameters, buffers, masks


def _write_source(group: h5py.Group, source: Source) -> None:
    write_text(group, "format", source.format)
    write_array(group, "content", np.frombuffer(source.content, np.uint8))
    write_json(group, "arrays", source.arrays)
    if source.inserted:
        write_text(group, "inserted", source.inserted)


def _read_source(group: h5py.Group) -> Source:
    content = read_array(group, "content", "|u1", 1).tobytes()
    arrays = read_json(group, "arrays")
    if not isinstance(arrays, dict) or not all(isinstance(a, dict) for a in arrays.values()):
        raise InputError("source/arrays should be a JSON object of objects")
    inserted = read_text(group, "inserted") if "inserted" in group.attrs else ""
    return Source(read_text(group, "format"), content, arrays, inserted)


def write_arrays(
    path: Path | str, arrays: Mapping[str, Array], notes: Mapping[str, Any] | None = None
) -> None:
    """Write arrays (floats, integers, booleans) by name, and notes as JSON; whole or not at all.

    A name with "/" makes groups.  Raises InputError if the file cannot be written.
    """

    def fill(file: h5py.File) -> None:
        write_json(file, "notes", dict(notes or {}))
        write_tree(file.create_group("arrays"), arrays)

    write_hdf5(path, ARRAYS_FORMAT, ARRAYS_VERSION, fill)


def read_arrays(path: Path | str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read arrays and notes that ``write_arrays`` wrote.  Raises InputError for other files."""
    with open_hdf5(path, ARRAYS_FORMAT, ARRAYS_VERSION) as file:
        notes = read_json(file, "notes")
        if not isinstance(notes, dict):
            raise InputError("notes should be a JSON object")
        return read_tree(read_group(file, "arrays")), notes


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Return the graph as JSON data."""
    return {
        "name": graph.name,
        "inputs": {name: list(shape) for name, shape in graph.inputs.items()},
        "outputs": dict(graph.outputs),
        "nodes": [
            {
                "name": node.name,
                "operation": node.operation,
                "inputs": list(node.inputs),
                "attributes": {
                    key: _attribute_to_json(key, value) for key, value in node.attributes.items()
                },
            }
            for node in graph.nodes
        ],
    }


def graph_from_json(data: Any) -> Graph:
    """Return the graph that ``graph_to_json`` stored.  Raises InputError for anything else."""
    try:
        nodes = tuple(
            Node(
                _name(node["name"]),
                _name(node["operation"]),
                tuple(map(_name, node["inputs"])),
                {_name(key): _attribute(value) for key, value in node["attributes"].items()},
            )
            for node in data["nodes"]
        )
        inputs = {_name(n): tuple(map(_integer, s)) for n, s in data["inputs"].items()}
        outputs = {_name(n): _name(value) for n, value in data["outputs"].items()}
        return Graph(_name(data["name"]), inputs, nodes, outputs)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"graph: expected nodes with name, operation, inputs ({str(error)[:80]})"
        ) from error


def _attribute_to_json(name: str, value: Any) -> Any:
    """Return an attribute as JSON data; padding that is the same on opposite sides as two numbers.

    Programs that read traces, and older versions, know no other.
    """
    if name == "padding" and value[:2] == value[2:]:
        value = value[:2]
    return list(value) if isinstance(value, tuple) else value


def _name(value: Any) -> str:
    name = str(value)
    if len(name) > MAX_NAME:
        raise InputError(f"graph: a name has over {MAX_NAME} letters; rename it")
    return name


def _attribute(value: Any) -> Any:
    """Check a node's attribute: a finite number, a boolean, a text, or a list of numbers."""
    if isinstance(value, list):
        return tuple(_number(number) for number in value)
    if isinstance(value, str):
        return _name(value)
    return value if isinstance(value, bool) else _number(value)


def _number(value: Any) -> int | float:
    return value if isinstance(value, float) and math.isfinite(value) else _integer(value)


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) > MAX_INTEGER:
        raise InputError(
            f"graph: {str(value)[:80]} should be a number, a text or numbers, integers of at most "
            f"{MAX_INTEGER}"
        )
    return value


def _read_floats(group: h5py.Group, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Read the arrays that a graph requires, float32 or float64."""
    missing = sorted(set(shapes) - set(group))
    extra = sorted(set(group) - set(shapes))
    if missing or extra:
        problems = [f"lacks {shown(name)}" for name in missing[:1]]
        problems += [f"holds {shown(name)}, which no layer has" for name in extra[:1]]
        raise InputError(
            f"{group.name} {' and '.join(problems)}; expected "
            f"{counted(len(shapes), 'array')} as in the graph"
        )
    result = {}
    for name, shape in shapes.items():
        found = find_array(group, name)
        if found.dtype not in (np.dtype("<f4"), np.dtype("<f8")) or found.ndim != len(shape):
            raise InputError(
                f"{name} is {found.dtype} of shape {found.shape}; expected float32 or float64 of "
                f"shape {shape}"
            )
        result[name] = read_numbers(group, name)
    return result
