"""Arrays of a checkpoint without their zeros: NAME.values, NAME.mask and NAME.shape.

values: the kept elements.  mask: one bit for each element, the first one highest in its byte.
shape: int64.  docs/cifar.md shows ten lines of Python that expand them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted, shown

Array = NDArray[Any]

PARTS = (".values", ".mask", ".shape")


def shrink(name: str, array: Array, mask: NDArray[np.bool_]) -> dict[str, Array]:
    """Return the three arrays for an array that is 0 where its mask is False."""
    parts: tuple[Array, ...] = (
        array[mask],
        np.packbits(mask.ravel()),
        np.array(mask.shape, np.int64),
    )
    return {name + part: value for part, value in zip(PARTS, parts, strict=True)}


def expand(state: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, NDArray[np.bool_]]]:
    """Return the arrays with those expanded that ``shrink`` made, and their masks by name.

    Raises InputError for parts that do not fit each other.
    """
    arrays, masks = dict(state), {}
    for name in [n.removesuffix(PARTS[1]) for n in state if n.endswith(PARTS[1])]:
        if any(name + part not in state for part in PARTS):
            continue
        values, bits, shape = (arrays.pop(name + part) for part in PARTS)
        mask = _mask(name, bits, shape)
        if values.shape != (np.count_nonzero(mask),):
            raise InputError(
                f"{shown(name)}: {counted(values.size, 'value')} for a mask of "
                f"{np.count_nonzero(mask)}"
            )
        masks[name] = mask
        arrays[name] = np.zeros(mask.shape, values.dtype)
        arrays[name][mask] = values
    return arrays, masks


def _mask(name: str, bits: Array, shape: Array) -> NDArray[np.bool_]:
    """Return a mask; the number of its bits limits its size."""
    sizes = tuple(int(n) for n in shape) if shape.ndim == 1 and shape.dtype.kind in "iu" else (-1,)
    count = math.prod(sizes)
    whole = len(sizes) <= 8 and min(sizes, default=0) >= 0 and bits.dtype == np.uint8
    if not whole or bits.shape != ((count + 7) // 8,):
        raise InputError(f"{shown(name)}: its mask and its shape do not fit")
    return np.unpackbits(bits, count=count).astype(np.bool_).reshape(sizes)
