"""The graph of an ONNX file without its weights, and the way of every weight back into it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, shown
from fcpts_ref.graphs.graph import Graph, Source
from fcpts_ref.interchange.onnx.draft import Held
from fcpts_ref.interchange.onnx.library import onnx_library

Array = NDArray[Any]
FORMAT: Final = "onnx"
_FIELDS: Final = (
    "raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data",
    "external_data", "data_location",
)  # fmt: skip


def pack_source(model: Any, held: Mapping[str, Held], graph: Graph, inserted: str) -> Source:
    """Return the model without the weights that a network keeps.

    held: where each of our arrays comes from.  inserted: the node that the file does not have.
    Constants that are not learned stay in the model.
    """
    kept = type(model)()
    kept.CopyFrom(model)
    _make_dense(kept)
    homes = tensor_homes(kept)
    records = {}
    for name, one in held.items():
        if graph.stored[name].role == "constant":
            continue
        found = homes.get(one.constant.source)
        records[name] = _record(one, found is not None)
        if found is not None:
            for field in _FIELDS:
                found.ClearField(field)
    _keep_external(kept)
    return Source(FORMAT, kept.SerializeToString(), records, inserted)


def tensor_homes(model: Any) -> dict[str, Any]:
    """Return the TensorProto of every initialiser and Constant node, by name."""
    homes = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            name = node.output[0]
            homes.update((name, a.t) for a in node.attribute if a.name == "value")
    return homes


def _record(held: Held, has_home: bool) -> dict[str, Any]:
    constant = held.constant
    record = {
        "node": held.node,
        "slot": held.slot,
        "outer": held.outer,
        "steps": [[kind, _plain(argument)] for kind, argument in constant.steps],
        "initialiser": constant.source if has_home else "",
        "dtype": str(constant.array.dtype),
    }
    return record if has_home else record | {"sha256": checksum(constant.array)}


def _plain(argument: Any) -> Any:
    return argument if isinstance(argument, float) else [int(number) for number in argument]


def checksum(array: Array) -> str:
    """The SHA-256 of an array's elements as float32, to see whether it was changed."""
    return hashlib.sha256(np.ascontiguousarray(array, np.float32).tobytes()).hexdigest()


def _make_dense(model: Any) -> None:
    """Declare sparse initialisers as dense ones, whose elements come later."""
    for sparse in model.graph.sparse_initializer:
        tensor = model.graph.initializer.add()
        tensor.name, tensor.data_type = sparse.values.name, sparse.values.data_type
        tensor.dims.extend(sparse.dims)
    model.graph.ClearField("sparse_initializer")


def _keep_external(model: Any) -> None:
    """Refuse data in other files that no array of ours comes from; it would be lost."""
    for name, tensor in tensor_homes(model).items():
        if tensor.data_location == onnx_library().TensorProto.EXTERNAL:
            raise InputError(
                f"{shown(name)} lies in an external data file and is no weight; save the model "
                "with small constants inside"
            )


def undo(array: Array, steps: list[Any]) -> Array:
    """Return the array before these steps.  Raises InputError for steps that do not fit."""
    try:
        for kind, argument in reversed(steps):
            if kind == "transpose":
                array = array.transpose(np.argsort(argument))
            elif kind == "reshape":
                array = array.reshape(argument)
            elif kind == "scale":
                array = array / array.dtype.type(argument)
            else:
                raise InputError(f"a step {shown(kind)} that is not known")
    except (ValueError, TypeError) as error:
        raise InputError(f"steps that do not fit ({str(error)[:80]})") from error
    return array
