"""Reading and writing trees of numeric arrays, and JSON, in HDF5 files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.storage.hdf5 import MAX_DEPTH, find_array, read_array, read_group, write_array
from fcpts_ref.storage.json_files import parse_json

Array = NDArray[Any]


def write_tree(group: h5py.Group, arrays: Mapping[str, Array], *, checksum: bool = True) -> None:
    """Store arrays of numbers or booleans (as uint8); "/" in a name makes groups.

    Names are sorted, so that equal arrays give equal files.
    """
    for name, array in sorted(arrays.items()):
        numbers = np.asarray(array)
        numbers = numbers.astype(np.uint8) if numbers.dtype == np.bool_ else numbers
        write_array(group, name, numbers, checksum=checksum)


def read_tree(group: h5py.Group, levels: int = MAX_DEPTH) -> dict[str, Array]:
    """Return the arrays of ``group`` by name, those of the groups in it as "group/name".

    levels: how deeply groups may be nested.  Arrays are floats or integers in the machine's byte
    order.  Raises InputError for deeper groups, other types of array and links.
    """
    result: dict[str, Array] = {}
    for name in group:
        if group.get(name, getclass=True, getlink=True) is h5py.HardLink and isinstance(
            group[name], h5py.Group
        ):
            if levels == 0:
                raise InputError(f"{name} should be an array, not a group")
            inner = read_tree(read_group(group, name), levels - 1)
            result |= {f"{name}/{item}": array for item, array in inner.items()}
        else:
            result[name] = read_numbers(group, name)
    return result


def read_numbers(group: h5py.Group, name: str) -> Array:
    """Return an array of floats or integers of at most 8 bytes, in the machine's byte order.

    Truth values are read as 0 and 1.
    """
    found = find_array(group, name)
    dtype = found.dtype
    if dtype == np.bool_:
        return read_array(group, name, dtype.str, found.ndim).astype(np.uint8)
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise InputError(f"{found.name} is {dtype}; expected an array of floats or integers")
    array = read_array(group, name, dtype.str, found.ndim)
    return array.astype(dtype.newbyteorder("="), copy=False)


def write_json(group: h5py.Group, name: str, data: Any, *, checksum: bool = True) -> None:
    """Store ``data`` as JSON text in an array of bytes."""
    text = json.dumps(data, separators=(",", ":"))
    write_array(group, name, np.frombuffer(text.encode(), dtype=np.uint8), checksum=checksum)


def read_json_text(group: h5py.Group, name: str) -> Any:
    """Return the JSON that ``write_json`` stored, or that another program wrote as one text."""
    found = find_array(group, name)
    if found.shape != () or h5py.check_string_dtype(found.dtype) is None:
        return read_json(group, name)
    text = found[()]
    try:
        return parse_json(text.decode() if isinstance(text, bytes) else str(text))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{name} is not JSON ({str(error)[:80]}): recreate the file") from error


def read_json(group: h5py.Group, name: str) -> Any:
    """Return what ``write_json`` stored.  Raises InputError for anything but JSON."""
    try:
        text = read_array(group, name, "|u1", 1).tobytes().decode()
        return parse_json(text)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{name} is not JSON ({str(error)[:80]}): recreate the file") from error
