"""Arrays of ONNX tensors: what a tensor claims is checked before memory is taken."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.interchange.elements import BFLOAT16, decode_elements, item_size
from fcpts_ref.storage.files import describe_failure

Array = NDArray[Any]

MAX_DIMENSIONS: Final = 16
SPARSE_EXPANSION: Final = 100  # a sparse tensor's dense size against the whole file's
SPARSE_ALLOWANCE: Final = 1 << 24  # bytes, for small files

# data_type: (element, field of the tensor, element of the field)
_KINDS: Final[dict[int, tuple[str, str, str]]] = {
    1: ("f4", "float_data", "f4"),
    2: ("u1", "int32_data", "i4"),
    3: ("i1", "int32_data", "i4"),
    4: ("u2", "int32_data", "i4"),
    5: ("i2", "int32_data", "i4"),
    6: ("i4", "int32_data", "i4"),
    7: ("i8", "int64_data", "i8"),
    9: ("?", "int32_data", "i4"),
    10: ("f2", "int32_data", "i4"),
    11: ("f8", "double_data", "f8"),
    12: ("u4", "uint64_data", "u8"),
    13: ("u8", "uint64_data", "u8"),
    16: (BFLOAT16, "int32_data", "i4"),
}
EXTERNAL: Final = 1  # TensorProto.EXTERNAL


@dataclass
class TensorReader:
    """Decodes the tensors of one file.

    folder: where external data may lie.  file_size: of the model, in bytes.
    """

    folder: Path
    file_size: int
    expanded: int = field(default=0, init=False)  # bytes of dense arrays made of sparse ones

    def read(self, tensor: Any, name: str = "") -> Array:
        """Return a TensorProto's array, in the machine's byte order; bfloat16 becomes float32.

        Raises InputError for types without an array, and if shape and contents do not fit.
        """
        what = f"tensor {shown(name or tensor.name)}"
        kind, typed, of_field = _kind_of(tensor, what)
        shape = checked_shape(tensor.dims, what)
        size = math.prod(shape) * item_size(kind)
        if tensor.data_location == EXTERNAL:
            content: Any = self._external(tensor, size, what)
        elif tensor.HasField("raw_data"):
            content = tensor.raw_data
        else:
            return _typed(getattr(tensor, typed), kind, of_field, shape, what)
        if len(content) != size:
            raise InputError(
                f"{what} of shape {shape} has {counted(len(content), 'byte')}; expected {size:,}"
            )
        return decode_elements(content, kind).reshape(shape)

    def read_sparse(self, tensor: Any) -> Array:
        """Return a SparseTensorProto as a dense array.  Raises InputError as ``read``."""
        what = f"sparse tensor {shown(tensor.values.name)}"
        shape = checked_shape(tensor.dims, what)
        values = self.read(tensor.values)
        indices = self.read(tensor.indices, f"{tensor.values.name}, indices")
        size = math.prod(shape) * values.itemsize
        self.expanded += size
        if self.expanded > SPARSE_EXPANSION * self.file_size + SPARSE_ALLOWANCE:
            raise InputError(
                f"{what} of shape {shape} would take {counted(self.expanded, 'byte')} with those "
                f"before, over {SPARSE_EXPANSION} times the file's {self.file_size:,}: refused"
            )
        flat = _flat_indices(indices, shape, values.size, what)
        dense = np.zeros(math.prod(shape), values.dtype)
        dense[flat] = values.ravel()
        return dense.reshape(shape)

    def _external(self, tensor: Any, size: int, what: str) -> bytes:
        """Read an external tensor: from a regular file in the folder, through no link."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        path = self._inside(entries.get("location", ""), what)
        try:
            offset, length = (int(entries.get(key) or 0) for key in ("offset", "length"))
        except ValueError as error:
            raise InputError(f"{what}: offset and length of its data are no numbers") from error
        length = length or size
        try:
            if offset < 0 or length != size or offset + length > os.stat(path).st_size:
                raise InputError(
                    f"{what} names {counted(length, 'byte')} from {offset:,} of {path.name}; "
                    f"expected {counted(size, 'byte')} inside the file"
                )
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise InputError(describe_failure(f"cannot read {path}", error)) from error

    def _inside(self, location: str, what: str) -> Path:
        parts = PurePosixPath(location).parts
        refused = not parts or location.startswith("/") or "\\" in location or "\0" in location
        if refused or ".." in parts or ":" in parts[0]:
            raise InputError(
                f"{what} has its data at {shown(location)}; expected a file in the model's folder"
            )
        path = self.folder
        for part in parts:
            path = path / part
            try:
                mode = os.lstat(path).st_mode
            except OSError as error:
                raise InputError(describe_failure(f"cannot read {path}", error)) from error
            if stat.S_ISLNK(mode):
                raise InputError(f"{what} has its data at {shown(location)}, a link: refused")
        if not stat.S_ISREG(mode):
            raise InputError(f"{what} has its data at {shown(location)}; expected a regular file")
        return path


def checked_shape(dims: Any, what: str) -> tuple[int, ...]:
    """Return the sizes of a tensor.  Raises InputError for impossible ones."""
    shape = tuple(int(size) for size in dims)
    if len(shape) > MAX_DIMENSIONS or any(size < 0 for size in shape):
        raise InputError(f"{what} has the impossible shape {shape[:8]}")
    return shape


def _kind_of(tensor: Any, what: str) -> tuple[str, str, str]:
    if tensor.data_type not in _KINDS:
        raise InputError(
            f"{what} is of the type number {tensor.data_type} (texts, complex numbers, 8-bit "
            "floats, ...); expected real numbers"
        )
    return _KINDS[tensor.data_type]


def _typed(elements: Any, kind: str, of_field: str, shape: tuple[int, ...], what: str) -> Array:
    """Return an array from one of the fields for single types."""
    if len(elements) != math.prod(shape):
        raise InputError(
            f"{what} of shape {shape} has {counted(len(elements), 'element')}; expected "
            f"{math.prod(shape):,}"
        )
    found = np.array(elements, np.dtype(of_field))
    if kind == BFLOAT16:
        return (found.astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(shape)
    if kind == "f2":  # its bits
        return found.astype(np.uint16).view(np.float16).reshape(shape)
    return found.astype(np.dtype(kind)).reshape(shape)


def _flat_indices(indices: Array, shape: tuple[int, ...], count: int, what: str) -> Array:
    """Return linear indices of a sparse tensor's values, sorted and without repetition."""
    flat = indices
    if indices.ndim == 2 and indices.shape[1] == len(shape) and indices.size:
        if ((indices < 0) | (indices >= np.array(shape))).any():
            raise InputError(f"{what} has indices outside its shape {shape}")
        flat = np.ravel_multi_index(tuple(indices.astype(np.int64).T), shape)
    fits = flat.ndim == 1 and flat.size == count and flat.dtype.kind in "iu"
    if not fits or (flat.size and (flat[0] < 0 or flat[-1] >= math.prod(shape))):
        raise InputError(
            f"{what} has indices that do not fit its {counted(count, 'value')} and shape {shape}"
        )
    if (np.diff(flat) <= 0).any():
        raise InputError(f"{what} has indices that are not sorted, or repeated")
    return flat
