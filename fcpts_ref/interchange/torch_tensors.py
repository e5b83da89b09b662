"""The descriptions of tensors in a PyTorch pickle, and their conversion to arrays.

A tensor is (storage, offset, shape, strides), and a storage is a typed sequence of elements
outside the pickle.  Everything is checked before any element is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.interchange.elements import BFLOAT16, decode_elements, item_size
from fcpts_ref.storage.restricted_pickle import Ignored, OrderedDictionary, Symbol

MAX_DIMENSIONS = 32
# Tensors may share a storage (tied weights) and repeat elements by a step of 0 (expand); a file
# that multiplies itself is refused.
MAX_EXPANSION = 4
MAX_REPEATED = 1 << 26  # elements of a tensor that repeats them
ALLOWANCE = 1 << 20  # bytes that even a small file may expand to

STORAGE_TYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


@dataclass(frozen=True)
class Storage:
    """``count`` elements of a type, stored under ``key``."""

    key: str
    kind: str  # a value of STORAGE_TYPES
    count: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.count * item_size(self.kind)


@dataclass(frozen=True)
class View:
    """The elements of a storage from ``start`` on, ``count`` of them."""

    storage: Storage
    start: int
    count: int


@dataclass(frozen=True)
class Tensor:
    """Elements of a storage from ``offset`` on, laid out by shape and strides (in elements)."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the tensor laid out on its own."""
        return math.prod(self.shape) * item_size(self.storage.kind)


@dataclass
class Storages:
    """The storages that a pickle refers to, by key."""

    by_key: dict[str, Storage] = field(default_factory=dict)

    def load(self, identifier: Any) -> View:
        """Return the view for the persistent id ("storage", type, key, place, count[, view])."""
        kind, symbol, key, _place, count, *rest = identifier
        type_name = symbol.name.rpartition(".")[2] if isinstance(symbol, Symbol) else ""
        if kind != "storage" or type_name not in STORAGE_TYPES or not isinstance(key, str):
            raise InputError("a reference to something that is not a storage: refused")
        storage = Storage(key, STORAGE_TYPES[type_name], _natural(count))
        if self.by_key.setdefault(key, storage) != storage:
            raise InputError(f"storage {key[:40]!r} is described in two ways")
        if not rest or rest[0] is None:
            return View(storage, 0, storage.count)
        _view_key, start, length = rest[0]
        if _natural(start) + _natural(length) > storage.count:
            raise InputError(f"a view reaches beyond storage {key[:40]!r}")
        return View(storage, start, length)


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise InputError(f"{shown(value)}, expected a size")
    return value


def _rebuild_tensor(view: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """Stand in for torch._utils._rebuild_tensor and ..._v2 (whose rest is about gradients)."""
    if not (isinstance(view, View) and isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise InputError("a tensor without a storage, a shape or strides")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise InputError(f"a tensor with {len(shape)} sizes and {len(strides)} strides")
    sizes = tuple(map(_natural, shape))
    # With fewer than two elements in a dimension its stride is not used and may be anything.
    steps = tuple(_natural(s) if n > 1 else 0 for n, s in zip(sizes, strides, strict=True))
    if math.prod(max(n, 1) for n in sizes) >= 1 << 60:
        raise InputError(f"a tensor of the impossible shape {sizes[:8]}")
    if math.prod(sizes) > max(view.count, MAX_REPEATED):
        raise InputError(
            f"a tensor of shape {sizes[:8]} made of {counted(view.count, 'element')}: refused"
        )
    last = _natural(offset) + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
    if 0 not in sizes and last >= view.count:
        raise InputError(
            f"a tensor of shape {sizes[:8]} reaches beyond its {counted(view.count, 'element')}"
        )
    return Tensor(view.storage, view.start + offset, sizes, steps)


def _rebuild_parameter(data: Any, *_: Any) -> Tensor:
    """Stand in for torch._utils._rebuild_parameter: a parameter is its tensor."""
    if not isinstance(data, Tensor):
        raise InputError("a parameter without a tensor")
    return data


def _size(sizes: Any = ()) -> Any:
    """Stand in for torch.Size: the tuple it is given."""
    return sizes


def _rebuild_subclass(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """Stand in for torch._tensor._rebuild_from_type_v2: the tensor without its attributes."""
    constructor = CONSTRUCTORS.get(function.name) if isinstance(function, Symbol) else None
    if constructor is None or not isinstance(arguments, tuple):
        raise InputError("a tensor without a function that makes it")
    return constructor(*arguments)


_DTYPES = (
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
    "bool", "complex64", "complex128",
)  # fmt: skip

# Other objects that torch.load(weights_only=True) admits, and NumPy's: read and ignored.
_IGNORED = (
    "collections.Counter",
    "_codecs.encode",
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "bytes", "bytearray", "complex")
    ),
    "torch.device",
    "torch.serialization._get_layout",
    "numpy.dtype",
    *(
        f"numpy.{module}.{name}"
        for module in ("core", "_core")
        for name in ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
    ),
)

CONSTRUCTORS: Mapping[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": OrderedDictionary,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "torch.Tensor": None,
    "torch.nn.parameter.Parameter": None,
    "numpy.ndarray": None,
    **{f"torch.{name}": None for name in (*STORAGE_TYPES, *_DTYPES)},
    **{f"torch.cuda.{name}": None for name in STORAGE_TYPES},
    **dict.fromkeys(_IGNORED, Ignored),
}


def make_arrays(
    tensors: Mapping[str, Tensor],
    read: Callable[[Storage], bytes | memoryview],
    *,
    big_endian: bool,
    file_size: int,
) -> dict[str, np.ndarray]:
    """Return each tensor as an array of its own; ``read`` gives the bytes of a storage.

    Raises InputError, before any memory is taken, if the tensors are larger than a file of
    ``file_size`` bytes can account for, and if a storage is not as long as described.
    """
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if sum(storage.size for storage in storages.values()) > file_size:
        raise InputError("it describes more data than the file has: truncated or damaged")
    if sum(tensor.size for tensor in tensors.values()) > MAX_EXPANSION * file_size + ALLOWANCE:
        raise InputError(f"its arrays are over {MAX_EXPANSION} times as large as the file: refused")
    elements = {}
    for key, storage in storages.items():
        content = read(storage)
        if len(content) != storage.size:
            raise InputError(
                f"storage {key[:40]!r} has {counted(len(content), 'byte')}, expected {storage.size}"
            )
        elements[key] = decode_elements(content, storage.kind, big_endian=big_endian)
    return {name: _lay_out(elements[t.storage.key], t) for name, t in tensors.items()}


def _lay_out(elements: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Copy a tensor's elements out of its storage (checked by _rebuild_tensor)."""
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, elements.dtype)
    strides = [step * elements.itemsize for step in tensor.strides]
    laid_out = np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides)
    return laid_out.copy(order="C")
