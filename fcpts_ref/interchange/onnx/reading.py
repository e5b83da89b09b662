"""Reading of ONNX files: parsed by the format's library, nothing executed, contents checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.interchange.foreign import HEAD, describe_file
from fcpts_ref.interchange.onnx.library import onnx_library
from fcpts_ref.interchange.onnx.schema import check_by_schema
from fcpts_ref.interchange.onnx.texts import check_texts
from fcpts_ref.storage.files import check_regular_file, describe_failure

Array = NDArray[Any]

OLDEST_OPSET: Final = 9
NEWEST_OPSET: Final = 28
"""The newest opset whose definitions of our operators were read; a newer one may change them."""
MAX_FILE: Final = 1 << 31  # bytes; the limit of protobuf, and so of the format without extra files
MAX_NODES: Final = 100_000
DOMAINS: Final = ("", "ai.onnx")

GRAPH: Final = "<a graph>"  # stands for a setting that is one
CONTROL_FLOW: Final = ("If", "Loop", "Scan", "SequenceMap")
_QUANTISED: Final = ("Quantize", "Dequantize", "QLinear", "Integer", "DynamicQuantize")
_QUANTISED_REMEDY: Final = "export the float network that it was made from"


@dataclass(frozen=True)
class OnnxNode:
    """One node of an ONNX graph; ``index`` is its place in the file."""

    index: int
    name: str
    kind: str  # the operator: Conv, Relu, ...
    inputs: tuple[str, ...]  # "" for an optional input that is left out
    outputs: tuple[str, ...]
    settings: dict[str, Any]  # ints, floats, texts, lists of them, arrays
    notes: dict[str, str]  # metadata that exporters write

    def __str__(self) -> str:
        """The node for messages: its operator, name and settings."""
        settings = ", ".join(f"{key}={_short(value)}" for key, value in self.settings.items())
        return f"{shown(self.kind)[1:-1]} {shown(self.name)}" + (settings and f" ({settings})")


def read_model(path: Path | str) -> Any:
    """Return the ModelProto of a file, its external data not read.

    Raises InputError for a file that is absent, not ONNX, of an opset that is not supported, or
    that has functions, training graphs or too many nodes.
    """
    content = _read(Path(path))
    onnx = onnx_library()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(content)
    except (DecodeError, RecursionError, ValueError) as error:
        known = describe_file(content[:HEAD])
        if not known or "ONNX" in known:
            known = "it is damaged or cut short: get the file again"
        raise InputError(f"{path} is no valid ONNX file: {known}") from error
    try:
        _check_model(model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return model


def _read(path: Path) -> bytes:
    check_regular_file(path)
    try:
        size = os.stat(path).st_size
        if not 0 < size < MAX_FILE:
            raise InputError(
                f"{path} has {counted(size, 'byte')}; expected an ONNX file of 1 to "
                f"{MAX_FILE - 1:,} bytes (larger weights belong in external data files)"
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error


def _check_model(model: Any) -> None:
    check_texts(model)
    if not model.HasField("graph") or not model.graph.node:
        raise InputError("it has no graph with nodes; expected an ONNX model")
    opset_of(model)
    if model.functions:
        raise InputError(
            f"it defines functions of its own ({shown(model.functions[0].name)}), which are not "
            "supported: export it with functions inlined (onnx.inliner.inline_local_functions)"
        )
    if len(model.graph.node) > MAX_NODES:
        raise InputError(
            f"it has {counted(len(model.graph.node), 'node')}; expected at most {MAX_NODES:,}"
        )


def opset_of(model: Any) -> int:
    """Return the version of ONNX's operators.  Raises InputError for one not supported."""
    versions = {entry.version for entry in model.opset_import if entry.domain in DOMAINS}
    if len(versions) != 1:
        raise InputError(f"it names {len(versions)} versions of ONNX's operators; expected one")
    version = int(versions.pop())
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise InputError(
            f"opset {version}; expected {OLDEST_OPSET} to {NEWEST_OPSET}: export it again with "
            "one of these"
        )
    return version


def sorted_nodes(
    graph: Any, known: Iterable[str], read: Callable[[Any], Array], opset: int
) -> list[OnnxNode]:
    """Return the nodes that the outputs depend on, each after those whose values it reads.

    known: the names of inputs and initialisers.  read: makes an array of a TensorProto.
    Raises InputError for a cycle, a value that nothing makes, a value made twice, control flow,
    operators of other domains and quantised ones, and nodes that ONNX's definitions do not admit.
    """
    for proto in graph.node:
        if proto.domain in DOMAINS:
            check_by_schema(proto, opset)
    nodes = [_node(index, proto, read) for index, proto in enumerate(graph.node)]
    maker: dict[str, OnnxNode] = {}
    known = set(known)
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in maker or name in known:
                raise InputError(f"the value {shown(name)} is made twice; expected once")
            maker[name] = node
    return _in_order([output.name for output in graph.output], maker, known)


def _in_order(
    outputs: Sequence[str], maker: dict[str, OnnxNode], known: set[str]
) -> list[OnnxNode]:
    """Depth-first, without recursion: a file may hold chains of any length."""
    done: dict[int, bool] = {}  # index: whether the node is finished or still open
    result: list[OnnxNode] = []
    for output in outputs:
        waiting = [output]
        while waiting:
            name = waiting[-1]
            node = maker.get(name)
            if node is None:
                if name not in known:
                    raise InputError(
                        f"nothing makes the value {shown(name)}: an initialiser or node is missing"
                    )
                waiting.pop()
            elif node.index not in done:
                _check_supported(node)
                done[node.index] = False
                waiting += filter(None, node.inputs)
            else:
                waiting.pop()
                _close(node, maker, done, result)
    return result


def _close(
    node: OnnxNode, maker: dict[str, OnnxNode], done: dict[int, bool], result: list[OnnxNode]
) -> None:
    """Finish a node whose inputs are finished; one with open inputs lies on a cycle."""
    if done[node.index]:
        return
    for name in filter(None, node.inputs):
        if name in maker and not done.get(maker[name].index, False):
            raise InputError(f"the graph has a cycle through {node}; expected none")
    done[node.index] = True
    result.append(node)


def _check_supported(node: OnnxNode) -> None:
    if node.kind in CONTROL_FLOW or any(
        isinstance(value, str) and value == GRAPH for value in node.settings.values()
    ):
        raise InputError(f"{node} is control flow, which is not supported: export it without")
    if any(word in node.kind for word in _QUANTISED):
        raise InputError(f"{node} belongs to a quantised network: {_QUANTISED_REMEDY}")


def _node(index: int, proto: Any, read: Callable[[Any], Array]) -> OnnxNode:
    domain = "" if proto.domain in DOMAINS else f"{proto.domain}."
    name = proto.name or next(filter(None, proto.output), f"node {index}")
    return OnnxNode(
        index,
        name,
        domain + proto.op_type,
        tuple(proto.input),
        tuple(proto.output),
        {attribute.name: _setting(attribute, read) for attribute in proto.attribute},
        {entry.key: entry.value for entry in proto.metadata_props},
    )


def _setting(attribute: Any, read: Callable[[Any], Array]) -> Any:
    """Return an attribute's value; GRAPH for graphs, which are never looked into."""
    kinds = onnx_library().AttributeProto
    if attribute.type == kinds.INTS:
        return tuple(attribute.ints)
    if attribute.type == kinds.FLOATS:
        return tuple(attribute.floats)
    if attribute.type == kinds.INT:
        return int(attribute.i)
    if attribute.type == kinds.FLOAT:
        return float(attribute.f)
    if attribute.type == kinds.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == kinds.TENSOR:
        return read(attribute.t)
    return GRAPH if attribute.type in (kinds.GRAPH, kinds.GRAPHS) else "?"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape}"
    text = str(value) if isinstance(value, int | float | tuple) else shown(value)
    return text if len(text) <= 40 else text[:37] + "..."
