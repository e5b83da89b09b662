"""Where the elements of a sparse array lie, as bytes: the smaller one of two codings.

bits    one bit for each element, the first one highest in its byte, 1 where it is kept
gaps    for each kept element the number of elements between it and the kept one before;
        a byte 255 stands for 255 elements that are not kept and none that is
all     no bytes: every element is kept
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted

Coding = Literal["bits", "gaps", "all"]
Bytes = NDArray[np.uint8]
LONG = 255
"""The byte of a gap that goes on."""


def encode_positions(kept: NDArray[np.bool_]) -> tuple[Coding, Bytes]:
    """Return the smaller coding of where a flat array is True, and its bytes."""
    if kept.all():
        return "all", np.empty(0, np.uint8)
    bits, gaps = np.packbits(kept), _gaps(kept)
    return ("bits", bits) if len(bits) <= len(gaps) else ("gaps", gaps)


def decode_positions(coding: Any, code: Bytes, size: int) -> NDArray[np.bool_]:
    """Return where the ``size`` elements are kept.

    Memory follows from the bytes: a byte stands for at most 256 elements.
    Raises InputError for bytes that do not describe this number of elements.
    """
    if coding == "all" and not len(code):
        return np.ones(size, np.bool_)
    if coding == "bits" and len(code) == (size + 7) // 8:
        return np.unpackbits(code, count=size).astype(np.bool_)
    if coding == "gaps" and size <= (len(code) + 1) * (LONG + 1):
        ends = np.cumsum(code, dtype=np.int64) + np.cumsum(code != LONG)
        places = ends[code != LONG] - 1
        total = int(ends[-1]) if len(ends) else 0
        if total <= size < total + LONG:
            kept = np.zeros(size, np.bool_)
            kept[places] = True
            return kept
    raise InputError(
        f"positions in {counted(len(code), 'byte')} do not describe {counted(size, 'element')}: "
        "recreate the file"
    )


def _gaps(kept: NDArray[np.bool_]) -> Bytes:
    """Code the gaps before each kept element, and what is left at the end in whole bytes."""
    places = np.flatnonzero(kept)
    between = np.diff(places, prepend=-1) - 1
    long, rest = np.divmod(between, LONG)
    last = (len(kept) - 1 - (places[-1] if len(places) else -1)) // LONG
    code = np.full(int((long + 1).sum() + last), LONG, np.uint8)
    code[np.cumsum(long + 1) - 1] = rest
    return code
