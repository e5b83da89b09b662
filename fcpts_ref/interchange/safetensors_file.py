"""The safetensors format: a length, a JSON header, then the arrays' bytes.

    8 bytes    N, little-endian
    N bytes    {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ...,
                "__metadata__": {text: text}}, padded with spaces
    the rest   arrays, little-endian, row-major; the offsets cover it without gaps or overlap

Specification: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.elements import (
    BFLOAT16,
    decode_elements,
    dtype_names,
    item_size,
    little_endian,
)
from fcpts_ref.storage.files import describe_failure, write_atomically

MAX_HEADER = 100_000_000  # bytes, the limit of the reference implementation
MAX_DIMENSIONS = 32
METADATA = "__metadata__"
DTYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": BFLOAT16,
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "?",
}
_NAMES = dtype_names(DTYPES)


@dataclass(frozen=True)
class _Entry:
    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file by name, in the order of their bytes.

    Arrays keep their dtype, except that BF16 becomes float32 (exact).  The metadata are
    left out.  Raises InputError for a file that cannot be read or breaks the format.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return _read(file, path.stat().st_size)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error


def _read(file: BinaryIO, file_size: int) -> dict[str, np.ndarray]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER, file_size - 8):
        raise InputError(
            f"header of {length} bytes in a file of {file_size}, expected a safetensors file"
        )
    entries = _read_header(file.read(length))
    end = 0
    for entry in entries:
        if entry.begin != end:
            raise InputError(
                f"{entry.name[:80]!r} begins at {entry.begin}, expected {end}: damaged"
            )
        end = entry.end
    if end != file_size - 8 - length:
        raise InputError(
            f"{file_size - 8 - length} bytes of arrays, expected {end}: truncated or damaged"
        )
    return {entry.name: _read_array(file, entry) for entry in entries}


def _read_array(file: BinaryIO, entry: _Entry) -> np.ndarray:
    content = file.read(entry.end - entry.begin)
    if len(content) != entry.end - entry.begin:
        raise InputError(f"{entry.name[:80]!r} is cut short: the file changed while it was read")
    return decode_elements(content, entry.kind).reshape(entry.shape)


def _read_header(content: bytes) -> list[_Entry]:
    """Return the entries in the order of their bytes."""
    try:
        header = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError("its header is not JSON, expected a safetensors file") from error
    if not isinstance(header, dict):
        raise InputError("its header is not a JSON object, expected a safetensors file")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or any(type(v) is not str for v in metadata.values()):
        raise InputError(f"{METADATA} should map texts to texts")
    entries = [_read_entry(name, fields) for name, fields in header.items()]
    return sorted(entries, key=lambda entry: (entry.begin, entry.end))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InputError("a name stands twice in its header: damaged")
    return found


def _refuse(constant: str) -> None:
    raise InputError(f"{constant} in its header: damaged")


def _read_entry(name: str, fields: Any) -> _Entry:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{name[:80]!r} should have dtype, shape and data_offsets")
    kind = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if kind is None:
        raise InputError(
            f"{name[:80]!r} has dtype {str(fields['dtype'])[:20]!r}, expected one of "
            f"{', '.join(DTYPES)}"
        )
    shape, offsets = fields["shape"], fields["data_offsets"]
    if not (_are_sizes(shape) and _are_sizes(offsets)) or len(offsets) != 2:
        raise InputError(f"{name[:80]!r} should have lists of integers as shape and data_offsets")
    if len(shape) > MAX_DIMENSIONS or math.prod(shape) * item_size(kind) != offsets[1] - offsets[0]:
        raise InputError(f"{name[:80]!r} of shape {shape[:8]} does not fill {offsets[:2]}: damaged")
    return _Entry(name, kind, tuple(shape), *offsets)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def write_safetensors(
    path: Path | str,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``arrays`` (and texts as metadata) to a safetensors file, whole or not at all.

    Wide dtypes come first, each aligned to its size.  Raises InputError for a dtype the
    format lacks, and if the file cannot be written.
    """
    if METADATA in arrays:
        raise InputError(f"an array called {METADATA}, which the format keeps for texts: rename it")
    stored = {name: little_endian(name, array, _NAMES) for name, array in arrays.items()}
    order = sorted(stored, key=lambda name: (-stored[name].itemsize, name))
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        begin, end = end, end + stored[name].nbytes
        header[name] = {
            "dtype": _NAMES[stored[name].dtype.str],
            "shape": list(stored[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                file.write(stored[name].tobytes())

    write_atomically(path, write)
