"""Conversion between the bytes of a checkpoint and array elements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcpts_ref.errors import InputError

BFLOAT16 = "bfloat16"  # has no NumPy dtype: read as float32, which holds every value exactly


def item_size(kind: str) -> int:
    """Return the bytes of one element of ``kind``, a NumPy type code such as "f4" or BFLOAT16."""
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


def decode_elements(
    content: bytes | bytearray | memoryview, kind: str, *, big_endian: bool = False
) -> np.ndarray:
    """Return the elements in ``content`` as a new flat array in the machine's byte order.

    ``len(content)`` must be a multiple of the item size.  Every nonzero byte is True.
    """
    order = ">" if big_endian else "<"
    if kind == BFLOAT16:
        halves = np.frombuffer(content, order + "u2").astype(np.uint32)
        return (halves << np.uint32(16)).view(np.float32)
    if kind == "?":
        return np.frombuffer(content, np.uint8).astype(np.bool_)
    stored = np.frombuffer(content, order + kind)
    return stored.astype(np.dtype(kind))


def dtype_names(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return {little-endian dtype: the format's name of it}, for writing."""
    return {np.dtype(k).newbyteorder("<").str: n for n, k in kinds.items() if k != BFLOAT16}


def little_endian(name: str, array: np.ndarray, names: Mapping[str, str]) -> np.ndarray:
    """Return ``array`` row-major and little-endian; InputError for a dtype not in ``names``."""
    array = np.asarray(array)
    stored = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    if stored.dtype.str not in names:
        raise InputError(
            f"{name} is {array.dtype}, expected one of {', '.join(names.values())}: "
            "convert it first"
        )
    return stored
