"""Evaluation of nodes whose inputs are all known: shapes, indices, weights that are rearranged.

Each operator is one NumPy expression; a result is not made before its size is known to be small
against what it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.reading import OnnxNode

Array = NDArray[Any]
Settings = dict[str, Any]

ALLOWANCE: Final = 1 << 26  # bytes that all results together may take,
EXPANSION: Final = 8  # and so many times the bytes of the model's arrays
_ELEMENTS: Final = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8",
    12: "u4", 13: "u8",
}  # fmt: skip


@dataclass
class Budget:
    """The bytes that evaluated constants may still take."""

    limit: int
    used: int = field(default=0, init=False)

    def take(self, size: int) -> None:
        """Raise InputError if ``size`` more bytes exceed the limit."""
        self.used += size
        if self.used > self.limit:
            raise InputError(
                f"its constants take over {self.limit:,} bytes when evaluated: refused"
            )


def evaluate(node: OnnxNode, inputs: Sequence[Array | None], budget: Budget) -> list[Array] | None:
    """Return a node's outputs from known inputs, None for an operator that is not evaluated.

    Raises InputError for inputs that do not fit and results that are too large.
    """
    function = EVALUATORS.get(node.kind)
    if function is None:
        return None
    try:
        budget.take(_bound(node, inputs))
        with np.errstate(all="ignore"):
            result = function(node.settings, *inputs)
    except InputError:
        raise
    except _MISFITS as error:
        raise InputError(f"{node} cannot be evaluated ({str(error)[:80]})") from error
    arrays = result if isinstance(result, list) else [result]
    return [np.asarray(array) for array in arrays]


_MISFITS = (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError)


def _bound(node: OnnxNode, inputs: Sequence[Array | None]) -> int:
    """Return an upper bound of the result's bytes."""
    known = [array for array in inputs if array is not None]
    growth = GROWTH.get(node.kind)
    if growth is not None:
        return 8 * growth(node.settings, *inputs)
    if node.kind in _ELEMENTWISE:
        return 8 * math.prod(np.broadcast_shapes(*(array.shape for array in known)))
    return 8 * sum(array.size for array in known) + 8


def _range_length(settings: Settings, start: Any, limit: Any, delta: Any) -> int:
    length = (float(limit.item()) - float(start.item())) / float(delta.item())
    return max(0, math.ceil(length))


def _range(settings: Settings, start: Array, limit: Array, delta: Array) -> Array:
    steps = np.arange(_range_length(settings, start, limit, delta)).astype(start.dtype)
    return np.asarray(start.item() + steps * delta.item()).astype(start.dtype)


def _tile_size(settings: Settings, x: Any, repeats: Any) -> int:
    return int(x.size * math.prod(int(n) for n in repeats))


def _shape_size(settings: Settings, shape: Any) -> int:
    return math.prod(max(0, int(n)) for n in shape)


def _expand_size(settings: Settings, x: Any, shape: Any) -> int:
    return math.prod(np.broadcast_shapes(x.shape, tuple(int(n) for n in shape)))


def _gather_size(settings: Settings, x: Any, indices: Any) -> int:
    return int(max(1, indices.size) * x.size // max(1, x.shape[settings.get("axis", 0)]))


def _matmul_size(settings: Settings, a: Any, b: Any) -> int:
    if a.ndim != 2 or b.ndim != 2:
        raise InputError("a matrix product of constants that are no matrices is not supported")
    return int(a.shape[0] * b.shape[1])


GROWTH: Final[dict[str, Callable[..., int]]] = {
    "Range": _range_length,
    "Tile": _tile_size,
    "ConstantOfShape": _shape_size,
    "Expand": _expand_size,
    "Gather": _gather_size,
    "MatMul": _matmul_size,
}


def _integers(array: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in np.ravel(array))


def _axes(settings: Settings, given: Any, default: Any = ()) -> tuple[int, ...]:
    """Return axes from the input of newer opsets or the setting of older ones."""
    return _integers(given) if given is not None else tuple(settings.get("axes", default))


def _cast(settings: Settings, x: Array) -> Array:
    return x.astype(np.dtype(_ELEMENTS[settings["to"]]))


def _reshape(settings: Settings, x: Array, shape: Any) -> Array:
    sizes = _integers(shape)
    if not settings.get("allowzero", 0):
        sizes = tuple(x.shape[i] if n == 0 else n for i, n in enumerate(sizes))
    return x.reshape(sizes)


def _squeeze(settings: Settings, x: Array, axes: Any = None) -> Array:
    chosen = _axes(settings, axes)
    return x.squeeze(chosen) if chosen or axes is not None else x.squeeze()


def unsqueezed(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape with sizes of 1 at ``axes`` of the result."""
    rank = len(shape) + len(axes)
    new = {axis % rank for axis in axes}
    left = iter(shape)
    return tuple(1 if axis in new else next(left) for axis in range(rank))


def _slice(settings: Settings, x: Array, *given: Any) -> Array:
    starts, ends, axes, steps = slice_bounds(settings, given, x.ndim)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(*clamped(start, end, step, x.shape[axis]), step)
    return x[tuple(index)]


def slice_bounds(settings: Settings, given: Sequence[Any], rank: int) -> list[tuple[int, ...]]:
    """Return starts, ends, axes and steps of Slice, from inputs or, before opset 10, settings."""
    if not given:
        given = [settings.get(key) for key in ("starts", "ends", "axes")]
    starts, ends = _integers(given[0]), _integers(given[1])
    rest = [*given[2:], None, None]
    axes = _integers(rest[0]) if rest[0] is not None else tuple(range(len(starts)))
    steps = _integers(rest[1]) if rest[1] is not None else (1,) * len(starts)
    return [starts, ends, tuple(axis % rank for axis in axes), steps]


def clamped(start: int, end: int, step: int, size: int) -> tuple[int, int | None]:
    """Return start and end of a slice as ONNX clamps them; None: through the first element."""
    first, last, _ = slice(start, end, step).indices(size)
    return first, None if last < 0 else last


def _split(settings: Settings, x: Array, sizes: Any = None) -> list[Array]:
    axis = settings.get("axis", 0)
    parts = split_sizes(settings, sizes, x.shape[axis], settings.get("outputs", 1))
    return np.split(x, np.cumsum(parts)[:-1], axis)


def split_sizes(settings: Settings, sizes: Any, whole: int, outputs: int) -> tuple[int, ...]:
    """Return the sizes of Split's parts; ``outputs`` is their number where none is given."""
    given = _integers(sizes if sizes is not None else settings.get("split", ()))
    if given:
        if sum(given) != whole or min(given) < 0:
            raise InputError(f"splits {whole} into {given[:8]}; expected sizes with that sum")
        return given
    count = int(settings.get("num_outputs", outputs))
    part = -(-whole // count)
    if part * (count - 1) >= whole > 0 and count > 1:
        raise InputError(f"splits {whole} into {count} parts; expected at most {whole}")
    return (part,) * (count - 1) + (whole - part * (count - 1),)


def _gather(settings: Settings, x: Array, indices: Array) -> Array:
    axis = settings.get("axis", 0)
    return np.take(x, np.where(indices < 0, indices + x.shape[axis], indices), axis)


def _divide(settings: Settings, a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        quotient = np.abs(a) // np.abs(b)  # towards zero, as in C
        return np.asarray(quotient * np.sign(a) * np.sign(b)).astype(a.dtype)
    return np.asarray(a / b)


def _modulo(settings: Settings, a: Array, b: Array) -> Array:
    return np.asarray(np.fmod(a, b) if settings.get("fmod", 0) else np.mod(a, b))


def _constant_of_shape(settings: Settings, shape: Array) -> Array:
    value = settings.get("value", np.zeros(1, np.float32))
    return np.full(_integers(shape), value.ravel()[0], value.dtype)


def _reduction(function: Callable[..., Any]) -> Callable[..., Array]:
    def run(settings: Settings, x: Array, axes: Any = None) -> Array:
        chosen = _axes(settings, axes) or None
        return np.asarray(function(x, axis=chosen, keepdims=bool(settings.get("keepdims", 1))))

    return run


def _ufunc(function: Callable[..., Any]) -> Callable[..., Array]:
    return lambda settings, *inputs: np.asarray(function(*inputs))


def _in_dtype(function: Callable[..., Any]) -> Callable[..., Array]:
    return lambda settings, *x: np.asarray(function(*x)).astype(x[0].dtype)


def _clip(settings: Settings, x: Array, low: Any = None, high: Any = None) -> Array:
    low = settings.get("min") if low is None else low
    high = settings.get("max") if high is None else high
    return x if low is None and high is None else np.clip(x, low, high).astype(x.dtype)


_ELEMENTWISE: Final[dict[str, Callable[..., Any]]] = {
    "Add": _ufunc(np.add),
    "Sub": _ufunc(np.subtract),
    "Mul": _ufunc(np.multiply),
    "Div": _divide,
    "Mod": _modulo,
    "Pow": _in_dtype(np.power),
    "Min": _ufunc(lambda *x: np.minimum.reduce(np.broadcast_arrays(*x))),
    "Max": _ufunc(lambda *x: np.maximum.reduce(np.broadcast_arrays(*x))),
    "Equal": _ufunc(np.equal),
    "Less": _ufunc(np.less),
    "LessOrEqual": _ufunc(np.less_equal),
    "Greater": _ufunc(np.greater),
    "GreaterOrEqual": _ufunc(np.greater_equal),
    "And": _ufunc(np.logical_and),
    "Or": _ufunc(np.logical_or),
    "Where": _ufunc(np.where),
}

EVALUATORS: Final[dict[str, Callable[..., Any]]] = {
    **_ELEMENTWISE,
    "Identity": lambda settings, x: x,
    "Dropout": lambda settings, x, *rest: x,
    "Cast": _cast,
    "Not": _ufunc(np.logical_not),
    "Neg": _ufunc(np.negative),
    "Abs": _ufunc(np.abs),
    "Floor": _ufunc(np.floor),
    "Ceil": _ufunc(np.ceil),
    "Round": _ufunc(np.round),
    "Sqrt": _in_dtype(np.sqrt),
    "Exp": _in_dtype(np.exp),
    "Log": _in_dtype(np.log),
    "Reciprocal": _in_dtype(np.reciprocal),
    "Clip": _clip,
    "Shape": lambda settings, x: np.array(
        x.shape[settings.get("start", 0) : settings.get("end")], np.int64
    ),
    "Size": lambda settings, x: np.array(x.size, np.int64),
    "Reshape": _reshape,
    "Flatten": lambda settings, x: x.reshape(math.prod(x.shape[: settings.get("axis", 1)]), -1),
    "Squeeze": _squeeze,
    "Unsqueeze": lambda settings, x, axes=None: x.reshape(
        unsqueezed(x.shape, _axes(settings, axes))
    ),
    "Transpose": lambda settings, x: x.transpose(settings.get("perm")),
    "Concat": lambda settings, *x: np.concatenate(x, settings["axis"]),
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Expand": lambda settings, x, shape: np.broadcast_to(
        x, np.broadcast_shapes(x.shape, _integers(shape))
    ),
    "Tile": lambda settings, x, repeats: np.tile(x, _integers(repeats)),
    "MatMul": _ufunc(np.matmul),
    "ReduceProd": _reduction(np.prod),
    "ReduceSum": _reduction(np.sum),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "ReduceMean": _reduction(np.mean),
}
