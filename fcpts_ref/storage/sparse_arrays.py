"""The arrays of a pruned network in an HDF5 file, without the weights that are 0.

    layers      JSON, packed: for each array of the graph its name and coding, the number of kept
                elements and of bytes of positions, and the same of a mask that differs from them
    positions   uint8: where the kept elements lie (``positions``), one array after another
    values      the kept elements, one array after another; float16 if that was asked for
    dense       the arrays that take less room whole, one after another

Only weights that can be pruned are stored without zeros.  Everything is read back to the same bits,
except for values in float16.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.storage.hdf5 import find_array, read_array, write_array
from fcpts_ref.storage.json_files import parse_json
from fcpts_ref.storage.positions import decode_positions, encode_positions

Array = NDArray[Any]

DENSE = "dense"
MAX_JSON = 64 << 20  # bytes of an unpacked text
FLOATS = {"<f4": np.float32, "<f8": np.float64, "<f2": np.float16}


def write_sparse_arrays(file: h5py.File, network: Network, *, halves: bool = False) -> None:
    """Store the arrays and masks of a network.

    halves: store the kept weights in float16.  Raises InputError for one beyond its range.
    """
    stored, graph = {**network.parameters, **network.buffers}, network.graph
    arrays = {name: stored[name] for name in (*graph.parameter_shapes, *graph.buffer_shapes)}
    rows: list[dict[str, Any]] = []
    positions, values, dense = [], [np.empty(0, network.dtype)], [np.empty(0, network.dtype)]
    for name, array in arrays.items():
        flat, mask = array.ravel(), network.masks.get(name)
        kept = _kept(flat, mask)
        coding, code = encode_positions(kept)
        size = int(kept.sum()) * (2 if halves else flat.itemsize) + len(code)
        if name not in graph.prunable or (size >= flat.nbytes and mask is None):
            rows.append({"name": name, "coding": DENSE})
            dense.append(flat)
            continue
        row = {"name": name, "coding": coding, "kept": int(kept.sum()), "bytes": len(code)}
        positions.append(code)
        values.append(flat[kept])
        if mask is not None and np.array_equal(mask.ravel(), kept):
            row["mask"] = "kept"
        elif mask is not None:
            row["mask"], code = encode_positions(mask.ravel())
            row["mask_bytes"] = len(code)
            positions.append(code)
        rows.append(row)
    write_packed_json(file, "layers", rows)
    write_array(file, "positions", np.concatenate([np.empty(0, np.uint8), *positions]))
    write_array(file, "values", _as_halves(np.concatenate(values), halves))
    write_array(file, "dense", np.concatenate(dense))


def read_sparse_arrays(
    file: h5py.File, graph: Graph
) -> tuple[dict[str, Array], dict[str, NDArray[np.bool_]]]:
    """Return the arrays and the masks that ``write_sparse_arrays`` stored.

    Raises InputError for anything that does not fit the graph, before memory is taken for it.
    """
    rows = read_packed_json(file, "layers")
    shapes = {**graph.parameter_shapes, **graph.buffer_shapes}
    names = [row.get("name") for row in rows] if _are_objects(rows) else None
    if names != list(shapes):
        raise InputError("layers should name the arrays of the graph, in its order")
    positions = _Parts(read_array(file, "positions", "|u1", 1))
    values, dense = (_Parts(_read_floats(file, name)) for name in ("values", DENSE))
    arrays, masks = {}, {}
    for row, (name, shape) in zip(rows, shapes.items(), strict=True):
        size = math.prod(shape)
        if row.get("coding") == DENSE:
            arrays[name] = dense.take(size).reshape(shape)
            continue
        kept = decode_positions(row.get("coding"), positions.take(row.get("bytes")), size)
        array = np.zeros(size, dense.array.dtype)
        count = int(kept.sum())
        array[kept] = values.take(count)
        arrays[name] = array.reshape(shape)
        if row.get("mask") == "kept":
            masks[name] = kept.reshape(shape)
        elif "mask" in row:
            code = positions.take(row.get("mask_bytes"))
            masks[name] = decode_positions(row["mask"], code, size).reshape(shape)
    for name, parts in (("positions", positions), ("values", values), (DENSE, dense)):
        parts.check_end(name)
    return arrays, masks


def write_packed_json(group: h5py.Group, name: str, data: Any) -> None:
    """Store ``data`` as JSON text, compressed by zlib."""
    text = json.dumps(data, separators=(",", ":")).encode()
    write_array(group, name, np.frombuffer(zlib.compress(text, 9), np.uint8))


def read_packed_json(group: h5py.Group, name: str) -> Any:
    """Return what ``write_packed_json`` stored.  Raises InputError for anything else."""
    content = read_array(group, name, "|u1", 1).tobytes()
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(content, MAX_JSON)
        if not unpacker.eof:
            raise ValueError("cut short, or too long")
        return parse_json(text.decode())
    except (ValueError, zlib.error) as error:
        raise InputError(f"{name} is not packed JSON ({str(error)[:80]}): recreate it") from error


class _Parts:
    """An array that is taken apart from its beginning."""

    def __init__(self, array: Array) -> None:
        self.array, self._begin = array, 0

    def take(self, count: Any) -> Array:
        """Return the next elements.  Raises InputError if there are fewer."""
        if type(count) is not int or not 0 <= count <= len(self.array) - self._begin:
            raise InputError("the layers do not fit the arrays: recreate the file")
        self._begin += count
        return self.array[self._begin - count : self._begin].copy()

    def check_end(self, name: str) -> None:
        """Raise InputError if elements are left."""
        if self._begin != len(self.array):
            raise InputError(f"{name} holds more than the layers do: recreate the file")


def _kept(flat: Array, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return where the bits of an element are not 0 or its mask keeps it; -0 is not 0."""
    bits = flat.view(f"u{flat.itemsize}") != 0
    return bits if mask is None else np.asarray(bits | mask.ravel())


def _as_halves(values: Array, halves: bool) -> Array:
    if not halves:
        return values
    with np.errstate(over="ignore"):
        small = values.astype(np.float16)
    if not np.isfinite(small).all():
        raise InputError(
            f"weights reach {np.abs(values).max():.3g}, beyond float16's 65504; store them exactly"
        )
    return small


def _read_floats(file: h5py.File, name: str) -> Array:
    dtype = find_array(file, name).dtype.str
    if dtype not in FLOATS:
        raise InputError(f"{name} is {dtype}; expected floats")
    return read_array(file, name, dtype, 1).astype(FLOATS[dtype], copy=False)


def _are_objects(rows: Any) -> bool:
    return isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows)


def dense_bytes(network: Network) -> int:
    """Return the bytes of all arrays of a network with their zeros, without masks."""
    return sum(array.nbytes for array in _all(network))


def _all(network: Network) -> Iterator[Array]:
    yield from network.parameters.values()
    yield from network.buffers.values()
