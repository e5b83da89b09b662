"""The inputs of an ONNX graph: their shapes, the batch, and images that lie channels last."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.graphs.graph import IMAGES
from fcpts_ref.interchange.onnx.layout import BATCH, SYMBOLIC, Value, fresh, shown_dims, viewed
from fcpts_ref.interchange.onnx.naming import cleaned

_FLOATS: Final = (1, 10, 11, 16)  # TensorProto.FLOAT, FLOAT16, DOUBLE, BFLOAT16
MAX_SIZE: Final = 1 << 24  # of one axis
_CHANNELS: Final = (1, 3, 4)  # of images; tells (N, H, W, C) from (N, C, H, W)
_ANY_LAYOUT: Final = ("Add", "Sub", "Mul", "Div", "Concat", "Relu", "Clip", "Identity", "Cast")
Dims = tuple[int | str, ...]


def read_inputs(
    graph: Any, constants: Collection[str], sizes: Sequence[int] | None, *, batched: bool = True
) -> tuple[dict[str, tuple[int, ...]], dict[str, Value], int]:
    """Return our inputs with shapes without the batch, their values by the file's names, the batch.

    sizes: without the batch, for the axes that the only input leaves open.  batched: whether the
    first axis is the batch; if not, the file computes what it does for every element of a batch.
    Raises InputError for inputs that are not floats with known sizes after the batch.
    """
    found = {i.name: _dims(i) for i in graph.input if i.name not in constants}
    if not batched:
        found = {name: (1, *dims) for name, dims in found.items()}
    if not found:
        raise InputError("it has no inputs; expected one for images")
    known = {name: _known(name, dims, sizes, len(found)) for name, dims in found.items()}
    batches = {dims[0] for dims in known.values()}
    if len(batches) != 1:
        shown_shapes = ", ".join(
            f"{shown(name)} {shown_dims(dims)}" for name, dims in known.items()
        )
        raise InputError(
            f"its inputs are {shown_shapes}; expected batches of one size for all (a constant "
            "among them has lost its value: export it as an initialiser)"
        )
    batch = batches.pop()
    inputs: dict[str, tuple[int, ...]] = {}
    values = {}
    for name, dims in known.items():
        ours = IMAGES if len(known) == 1 else cleaned(name)
        if ours in inputs:
            raise InputError(f"two inputs are called {shown(ours)}")
        value, inputs[ours] = _value(ours, dims, batch, channels_last(graph, name, dims))
        values[name] = value if batched else fresh(ours, dims[1:], None, batch)
    return inputs, values, batch


def channels_last(graph: Any, name: str, dims: Sequence[int]) -> bool:
    """Whether an input is images (N, H, W, C), as TensorFlow has them.

    It is if its last axis is that of images' channels, its second is not, and every path from it
    leads over operators that treat all axes alike to a transposition to (N, C, H, W).
    """
    if len(dims) != 4 or dims[3] not in _CHANNELS or dims[1] in _CHANNELS:
        return False
    readers_of: dict[str, list[Any]] = {}
    for node in graph.node:
        for value in node.input:
            readers_of.setdefault(value, []).append(node)
    seen, waiting = {name}, [name]
    while waiting:
        readers = readers_of.get(waiting.pop(), [])
        alike = [node for node in readers if node.op_type in _ANY_LAYOUT]
        if not readers or not all(_to_channels_first(n) for n in readers if n not in alike):
            return False
        found = {output for node in alike for output in node.output} - seen
        seen |= found
        waiting += found
    return True


def _to_channels_first(node: Any) -> bool:
    order = [list(a.ints) for a in node.attribute if a.name == "perm"]
    return node.op_type == "Transpose" and order == [[0, 3, 1, 2]]


def _value(name: str, dims: Sequence[int], batch: int, last: bool) -> tuple[Value, tuple[int, ...]]:
    if not last:
        return fresh(name, dims, 0, batch), tuple(dims[1:])
    _, H, W, C = dims
    first = () if batch == 1 else (BATCH,)
    return viewed(name, (C, H, W), (first, (1,), (2,), (0,)), batch), (C, H, W)


def _dims(proto: Any) -> Dims:
    """Return sizes, and names of open axes."""
    kind = proto.type.tensor_type
    if not proto.type.HasField("tensor_type") or kind.elem_type not in _FLOATS:
        raise InputError(f"input {shown(proto.name)} is no array of floats")
    if not kind.HasField("shape") or not kind.shape.dim:
        raise InputError(f"input {shown(proto.name)} has no shape; expected (N, C, H, W)")
    return tuple(
        int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in kind.shape.dim
    )


def _known(name: str, dims: Dims, sizes: Sequence[int] | None, inputs: int) -> tuple[int, ...]:
    batch = dims[0] if isinstance(dims[0], int) and dims[0] > 0 else SYMBOLIC
    if sizes is not None:
        if inputs != 1 or len(sizes) != len(dims) - 1:
            raise InputError(
                f"input {shown(name)} has {counted(len(dims) - 1, 'axis', 'axes')} after the "
                f"batch, {len(sizes)} sizes are given; expected as many"
            )
        for size, given in zip(dims[1:], sizes, strict=True):
            if isinstance(size, int) and size not in (0, given):
                raise InputError(
                    f"input {shown(name)} has the shape {dims}; the given sizes {tuple(sizes)} "
                    "do not fit"
                )
        dims = (batch, *sizes)
    rest: list[int] = []
    for size in dims[1:]:
        if not isinstance(size, int) or not 1 <= size <= MAX_SIZE:
            raise InputError(
                f"input {shown(name)} has the shape {_text(dims)}, which leaves sizes open; give "
                "them, channels, height and width (--input C H W)"
            )
        rest.append(size)
    return (batch, *rest)


def _text(dims: Dims) -> str:
    return "(" + ", ".join(str(size)[:20] for size in dims) + ")"


def output_names(graph: Any, values: Mapping[str, Any]) -> list[str]:
    """Return the names of the outputs in the file.  Raises InputError for one not computed."""
    names = [output.name for output in graph.output]
    if not names:
        raise InputError("it has no outputs; expected logits")
    constant = [name for name in names if not isinstance(values[name], Value)]
    if constant:
        raise InputError(f"output {shown(constant[0])} is constant; expected logits")
    return names
