"""Reading and writing safetensors files with the format's own library, within limits.

Specification: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from fcpts_ref.errors import InputError, counted
from fcpts_ref.interchange.elements import BFLOAT16, decode_elements, dtype_names, little_endian
from fcpts_ref.storage.files import check_regular_file, describe_failure, write_atomically

MAX_HEADER = 8_000_000  # bytes, some 80,000 arrays; parsing takes up to 25 times as much memory
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


def read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file, sorted by name.

    Arrays keep their dtype, except that BF16 becomes float32 (exact).  Metadata are ignored.
    Raises InputError for a file that cannot be read or breaks the format, and for dtypes that
    NumPy lacks.
    """
    try:
        tensors = safetensors.deserialize(_read_content(Path(path)))  # type: ignore[no-untyped-call]
        return {name: _decode(name, tensor) for name, tensor in sorted(tensors, key=_name)}
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except safetensors.SafetensorError as error:
        reason = " ".join(str(error).rpartition("deserializing: ")[2].split())[:120]
        raise InputError(
            f"{path} is no valid safetensors file ({ascii(reason)[1:-1]}): get the checkpoint again"
        ) from error


def _name(item: tuple[str, Any]) -> str:
    return item[0]


def _read_content(path: Path) -> bytes:
    """Return the bytes of the file after checking the length of its header."""
    check_regular_file(path)
    try:
        with open(path, "rb") as file:
            length, size = int.from_bytes(file.read(8), "little"), path.stat().st_size
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise InputError(
                    f"header of {counted(length, 'byte')} in a file of {size:,}, expected a "
                    "whole safetensors file: get it again"
                )
            file.seek(0)
            return file.read()
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error


def _decode(name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    kind = DTYPES.get(tensor["dtype"])
    if kind is None:
        raise InputError(
            f"{name[:80]!r} has dtype {tensor['dtype'][:20]!r}, expected one of "
            f"{', '.join(DTYPES)}: convert it first"
        )
    shape = tensor["shape"]
    if len(shape) > MAX_DIMENSIONS:
        raise InputError(
            f"{name[:80]!r} has {counted(len(shape), 'dimension')}, at most {MAX_DIMENSIONS}"
        )
    try:
        return decode_elements(tensor["data"], kind).reshape(shape)
    except (ValueError, OverflowError) as error:  # no elements, and sizes beyond NumPy's
        raise InputError(f"{name[:80]!r} has an impossible shape {shape[:8]}") from error


def write_safetensors(
    path: Path | str,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``arrays`` (and texts as metadata) to a safetensors file, whole or not at all.

    Raises InputError for a dtype the format lacks, and if the file cannot be written.
    """
    if METADATA in arrays:
        raise InputError(f"an array called {METADATA}, which the format keeps for texts: rename it")
    stored = {name: little_endian(name, array, _NAMES) for name, array in arrays.items()}
    content = safetensors.numpy.save(stored, dict(metadata) if metadata else None)
    write_atomically(path, lambda temporary: _write_bytes(temporary, content))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
