"""What an operator gives for known inputs: one NumPy expression each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.interchange.onnx.bounds import (
    clamped,
    integers,
    slice_bounds,
    split_sizes,
    unsqueezed,
)

Array = NDArray[Any]
Settings = dict[str, Any]

_ELEMENTS: Final = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8",
    12: "u4", 13: "u8",
}  # fmt: skip


def range_length(settings: Settings, start: Any, limit: Any, delta: Any) -> int:
    length = (float(limit.item()) - float(start.item())) / float(delta.item())
    return max(0, math.ceil(length))


def _range(settings: Settings, start: Array, limit: Array, delta: Array) -> Array:
    steps = np.arange(range_length(settings, start, limit, delta)).astype(start.dtype)
    return np.asarray(start.item() + steps * delta.item()).astype(start.dtype)


def _axes(settings: Settings, given: Any, default: Any = ()) -> tuple[int, ...]:
    """Return axes from the input of newer opsets or the setting of older ones."""
    return integers(given) if given is not None else tuple(settings.get("axes", default))


def _cast(settings: Settings, x: Array) -> Array:
    return x.astype(np.dtype(_ELEMENTS[settings["to"]]))


def _reshape(settings: Settings, x: Array, shape: Any) -> Array:
    sizes = integers(shape)
    if not settings.get("allowzero", 0):
        sizes = tuple(x.shape[i] if n == 0 else n for i, n in enumerate(sizes))
    return x.reshape(sizes)


def _squeeze(settings: Settings, x: Array, axes: Any = None) -> Array:
    chosen = _axes(settings, axes)
    return x.squeeze(chosen) if chosen or axes is not None else x.squeeze()


def _slice(settings: Settings, x: Array, *given: Any) -> Array:
    starts, ends, axes, steps = slice_bounds(settings, given, x.ndim)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(*clamped(start, end, step, x.shape[axis]), step)
    return x[tuple(index)]


def _split(settings: Settings, x: Array, sizes: Any = None) -> list[Array]:
    axis = settings.get("axis", 0)
    parts = split_sizes(settings, sizes, x.shape[axis], settings.get("outputs", 1))
    return np.split(x, np.cumsum(parts)[:-1], axis)


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
    return np.full(integers(shape), value.ravel()[0], value.dtype)


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


ELEMENTWISE: Final[dict[str, Callable[..., Any]]] = {
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
    **ELEMENTWISE,
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
        x, np.broadcast_shapes(x.shape, integers(shape))
    ),
    "Tile": lambda settings, x, repeats: np.tile(x, integers(repeats)),
    "MatMul": _ufunc(np.matmul),
    "ReduceProd": _reduction(np.prod),
    "ReduceSum": _reduction(np.sum),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "ReduceMean": _reduction(np.mean),
}
