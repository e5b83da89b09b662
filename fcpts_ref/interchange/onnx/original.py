"""The graph that a network came with, with the network's weights in it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.graphs.graph import Source
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.onnx.inputs import channels_last
from fcpts_ref.interchange.onnx.library import onnx_library
from fcpts_ref.interchange.onnx.source import FORMAT, checksum, tensor_homes, undo

Array = NDArray[Any]


def rebuild(network: Network, *, normalisation: bool) -> Any:
    """Return the ModelProto that the network's source holds, with the network's arrays.

    normalisation: put the network's input normalisation before the graph.
    Raises InputError for a source that is not such a model or does not fit the network.
    """
    source = network.graph.source
    assert source is not None
    model = _parse(source)
    constants = {name for name, stored in network.graph.stored.items() if stored.role == "constant"}
    missing = sorted(set(network.graph.stored) - constants - set(source.arrays))
    if missing:
        raise InputError(
            f"the network's source has no place for {missing[0]}; import the file again"
        )
    arrays = {**network.parameters, **network.buffers}
    homes = tensor_homes(model)
    written: dict[str, Array] = {}
    for name, record in source.arrays.items():
        try:
            _write(model, name, record, arrays, homes, written)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"source of {shown(name)} is damaged ({error!s:.80})") from error
    if normalisation and source.inserted:
        _normalise(model, network, source.inserted)
    return model


def _parse(source: Source) -> Any:
    onnx = onnx_library()
    from google.protobuf.message import DecodeError

    if source.format != FORMAT:
        raise InputError(f"the network's source is {shown(source.format)}; expected {FORMAT}")
    try:
        return onnx.ModelProto.FromString(source.content)
    except (DecodeError, RecursionError, ValueError) as error:
        raise InputError("the network's source is damaged: import it again") from error


def _write(
    model: Any,
    name: str,
    record: Mapping[str, Any],
    arrays: Mapping[str, Array],
    homes: Mapping[str, Any],
    written: dict[str, Array],
) -> None:
    """Put one array back where the file has it."""
    array, steps, initialiser = arrays[name], record["steps"], record["initialiser"]
    if not initialiser:
        if checksum(array) != record["sha256"]:
            _add_own(model, name, record, array)
        return
    theirs = undo(array, steps)
    if initialiser in written:  # shared: the second user gets its own copy if they differ now
        if not np.array_equal(written[initialiser], theirs):
            _add_own(model, name, record, array)
        return
    written[initialiser] = theirs
    _fill(homes[initialiser], theirs, record["dtype"])


def _fill(tensor: Any, array: Array, dtype: str) -> None:
    if tuple(tensor.dims) != array.shape:
        raise InputError(
            f"the source's {shown(tensor.name)} has shape {tuple(tensor.dims)}; expected "
            f"{array.shape}"
        )
    onnx = onnx_library()
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    name = tensor.name
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(array, kind, order="C"), name))


def _add_own(model: Any, name: str, record: Mapping[str, Any], array: Array) -> None:
    """Add an initialiser, and let the node that reads the array read it."""
    inner = record["steps"][record["outer"] :]
    if not record["initialiser"] and not record["steps"] and record.get("computed"):
        raise InputError(f"{name} was computed from several constants of the file")
    theirs = undo(array, inner)
    node = model.graph.node[record["node"]]
    onnx = onnx_library()
    own = _unused(model.graph, name)
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.asarray(theirs, record["dtype"], order="C"), own)
    )
    node.input[record["slot"]] = own


def _unused(graph: Any, name: str) -> str:
    """The name, with a number behind it if the graph has a value of this name."""
    used = {value.name for value in (*graph.initializer, *graph.input)}
    used.update(output for node in graph.node for output in node.output)
    candidates = chain([name], (f"{name}.{number}" for number in count(2)))
    return next(candidate for candidate in candidates if candidate not in used)


def _normalise(model: Any, network: Network, node: str) -> None:
    """Put Sub and Div before the graph; its input keeps its name."""
    proto = _input(model)
    onnx = onnx_library()
    kind = proto.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    dims = [dim.dim_value for dim in kind.shape.dim]
    last = channels_last(model.graph, proto.name, dims)
    words = ("mean", "std", "centred", "normalised")
    mean, std, centred, inside = (_unused(model.graph, f"{node}.{word}") for word in words)
    for other in model.graph.node:
        other.input[:] = [inside if name == proto.name else name for name in other.input]
    for short, name in (("mean", mean), ("std", std)):
        values = network.buffers[f"{node}.{short}"]
        values = values if last else values.reshape(-1, 1, 1)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(dtype), name))
    first = [
        onnx.helper.make_node("Sub", [proto.name, mean], [centred], centred),
        onnx.helper.make_node("Div", [centred, std], [inside], inside),
    ]
    nodes = [*first, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _input(model: Any) -> Any:
    initialisers = {tensor.name for tensor in model.graph.initializer}
    found = [i for i in model.graph.input if i.name not in initialisers]
    if len(found) != 1:
        raise InputError(f"the network's source has {counted(len(found), 'input')}; expected one")
    return found[0]
