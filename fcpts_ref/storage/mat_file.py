"""Reading of structures from MATLAB files of version 5 (ImageNet's meta.mat is one).

SciPy's reader trusts the sizes in a file and ends the process on some damaged ones.  This one reads
little-endian files of structures whose fields are texts and real numbers; other fields are None.
Source: "MAT-File Format" (MathWorks), level 5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError

HEADING, BYTE_ORDER = 128, b"IM"  # bytes; the last two of a little-endian file's heading
COMPRESSED, MATRIX = 15, 14
NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
NUMBERS |= {12: "<i8", 13: "<u8"}
TEXTS = {4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
STRUCTURE, CHARACTERS, CLASSES = 2, 4, range(6, 16)  # classes of matrices; the last of numbers
MAX_UNPACKED = 16 << 20  # bytes of a compressed element; meta.mat's have under 1 MiB


@dataclass(frozen=True)
class Element:
    """An element of the file, or of another element."""

    kind: int
    content: memoryview


NOTHING = Element(0, memoryview(b""))


def read_structures(content: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return the arrays of structures in a file by name, each structure by field.

    Raises InputError for anything else than such a file, damage included.
    """
    if len(content) < HEADING or content[HEADING - 2 : HEADING] != BYTE_ORDER:
        raise InputError("is no little-endian MATLAB file of version 5")
    found = {}
    try:
        for element in _elements(memoryview(content)[HEADING:], packed=True):
            if element.kind == MATRIX:
                name, value = _matrix(element.content, deep=True)
                if isinstance(value, list):
                    found[name] = value
    except InputError:
        raise
    except (struct.error, IndexError, ValueError, zlib.error) as error:
        raise InputError("is damaged or cut short") from error
    return found


def _elements(content: memoryview, *, packed: bool = False) -> Iterator[Element]:
    """Yield the elements of a file or a matrix; those of a file may be compressed."""
    while len(content) >= 8:
        kind, size = struct.unpack_from("<II", content)
        if kind >> 16:  # a small element: its size and contents are within the tag
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, 4, 8
            if size > 4:
                raise ValueError("a small element of more than 4 bytes")
        else:
            begin, end = 8, 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)
        part = content[begin : begin + size]
        if len(part) < size:
            raise ValueError("an element beyond the end")
        if kind == COMPRESSED and packed:
            yield from _elements(_unpacked(part))
        else:
            yield Element(kind, part)
        content = content[end:]


def _unpacked(content: memoryview) -> memoryview:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(content, MAX_UNPACKED)
    if unpacker.unconsumed_tail:
        raise InputError(f"unpacks to more than {MAX_UNPACKED:,} bytes: refused")
    return memoryview(unpacked)


def _matrix(content: memoryview, *, deep: bool) -> tuple[str, Any]:
    """Return the name and the value: a list of structures if ``deep``, a text, numbers, or None."""
    elements = _elements(content)
    flags, _, name = (next(elements, NOTHING) for _ in range(3))
    (class_,) = struct.unpack_from("<B", flags.content)
    title = str(name.content, "ascii", "replace")
    if class_ == STRUCTURE and deep:
        return title, _structures(elements)
    data = next(elements, None)
    if data is None or class_ not in (CHARACTERS, *CLASSES):
        return title, None
    if class_ == CHARACTERS:
        return title, str(data.content, TEXTS.get(data.kind, "latin-1"))
    return title, np.frombuffer(data.content, NUMBERS[data.kind]) if data.kind in NUMBERS else None


def _structures(elements: Iterator[Element]) -> list[dict[str, Any]]:
    length, names = (next(elements, NOTHING).content for _ in range(2))
    (width,) = struct.unpack("<I", length)
    if not 0 < width <= 64:
        raise ValueError("names of fields of an impossible length")
    fields = [str(names[i : i + width], "ascii").rstrip("\0") for i in range(0, len(names), width)]
    values = [_matrix(element.content, deep=False)[1] for element in elements]
    if not fields or len(values) % len(fields):
        raise ValueError("fields without values")
    rows = range(0, len(values), len(fields))
    return [dict(zip(fields, values[i : i + len(fields)], strict=True)) for i in rows]
