"""HDF5 as a plain container of arrays and short texts, checked before memory is allocated.

A file is assembled in memory and written by ordinary file operations, because the HDF5
library may abort the whole process when the disk is full.  Arrays are uncompressed
and contiguous, so an array never takes more memory than the file has bytes.  A file that
points outside itself, or reaches the same contents in so many ways that they would take more
memory than the file has bytes, is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.storage.files import check_regular_file, describe_failure, write_atomically

MAX_TEXT = 16_384  # bytes in one text attribute; the limit of HDF5 is 64 KiB
MAX_DEPTH = 16  # groups inside groups
LINK_BYTES = 16  # the least that a name occupies in a file
CHECKSUM = "sha256"  # the attribute with an array's checksum


def write_hdf5(
    path: Path | str, format_name: str, version: int, fill: Callable[[h5py.File], None]
) -> None:
    """Write an HDF5 file whole or not at all; ``fill`` puts its contents into the open file.

    Raises InputError if the file cannot be written (files.write_atomically).
    """
    buffer = io.BytesIO()
    # With libver v110 all metadata carry checksums, so damage is noticed.
    with h5py.File(buffer, "w", libver="v110") as file:
        write_text(file, "format", format_name)
        file.attrs["version"] = np.int64(version)
        fill(file)
    write_atomically(path, lambda temporary: _write_bytes(temporary, buffer.getbuffer()))


def _write_bytes(path: Path, content: memoryview) -> None:
    with open(path, "wb") as file:
        file.write(content)


@contextlib.contextmanager
def open_hdf5(
    path: Path | str, format_name: str, version: int, *, oldest: int = 1
) -> Iterator[h5py.File]:
    """Open a file of one of this program's formats for reading, as ``open_checked`` does.

    Raises InputError also for another format and for a version outside ``oldest`` to ``version``.
    """
    with open_checked(path, f"a file of the format {format_name!r}") as file:
        _check_format(file, format_name, oldest, version)
        yield file


@contextlib.contextmanager
def open_checked(path: Path | str, expected: str = "an HDF5 file") -> Iterator[h5py.File]:
    """Open any HDF5 file for reading.  Inside the block, errors of HDF5 become InputError.

    expected: the kind of file, for the message.  Read its contents with the functions of this
    module: they follow no link out of the file.
    Raises InputError for a file that is absent, not a regular file, not HDF5 or damaged, and
    for one whose links lead to more contents than it has bytes.
    """
    check_regular_file(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(_describe_unreadable(Path(path), expected, error)) from error
    with file:
        try:
            _check_links(file, Path(path).stat().st_size)
            yield file
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except _HDF5_ERRORS as error:
            raise InputError(
                f"{path}: damaged HDF5 file ({_first_line(error)}): recreate it"
            ) from (error)


_HDF5_ERRORS = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
)


def _check_links(file: h5py.File, file_size: int) -> None:
    """Raise InputError if contents reached by several names exceed the size of the file."""
    left, waiting = file_size, [(file["/"], 0)]
    groups: set[int] = set()  # by address
    sizes: dict[int, int] = {}  # bytes of arrays, by address
    while waiting:
        group, depth = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in groups or depth > MAX_DEPTH:
            raise InputError(f"{group.name[:80]} is reached twice or nested too deeply: refused")
        groups.add(address)
        for name in _hard_links(group):
            found = h5py.h5o.get_info(group.id, name)
            if found.type == h5py.h5o.TYPE_GROUP:
                waiting.append((group[name], depth + 1))
            elif found.type == h5py.h5o.TYPE_DATASET:
                if found.addr not in sizes:
                    sizes[found.addr] = group[name].id.get_storage_size()
                left -= LINK_BYTES + sizes[found.addr]
            if left < 0:
                raise InputError("its names lead to more contents than the file has bytes: refused")


def _hard_links(group: h5py.Group) -> list[bytes]:
    """Return the names in a group, without links to other places, which are never followed."""
    names: list[bytes] = []

    def add(name: bytes, link: Any) -> None:
        if link.type == h5py.h5l.TYPE_HARD:
            names.append(name)

    group.id.links.iterate(add, info=True)
    return names


def _describe_unreadable(path: Path, expected: str, error: OSError) -> str:
    if error.errno is not None or not path.is_file():
        return describe_failure(f"cannot read {path}", error)
    return f"{path} is not an HDF5 file or is cut short, expected {expected}"


def _first_line(error: Exception) -> str:
    text = str(error.args[0]) if error.args else ""  # str() of a KeyError adds quotes
    return (text.splitlines() or [type(error).__name__])[0][:200]


def _check_format(file: h5py.File, format_name: str, oldest: int, version: int) -> None:
    found_name = read_text(file, "format") if "format" in file.attrs else ""
    if found_name != format_name:
        kind = f"of the format {shown(found_name)}, " if found_name else ""
        if "keras_version" in file.attrs:
            kind = "a Keras model, "
        raise InputError(f"{kind}not of the format {format_name!r}: give the path of one")
    found = read_integer(file, "version")
    if not oldest <= found <= version:
        known = f"{version}" if oldest == version else f"{oldest} to {version}"
        remedy = "update fcpts-ref" if found > version else "recreate the file"
        raise InputError(
            f"version {found} of the {format_name} format, this program reads {known}: {remedy}"
        )


def write_text(owner: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    """Store a text as an attribute of fixed length (UTF-8, not empty, no zero bytes)."""
    content = text.encode()
    if not 0 < len(content) <= MAX_TEXT or b"\0" in content:
        raise InputError(
            f"{name}: expected a text of 1 to {MAX_TEXT} bytes without zero bytes, got "
            f"{counted(len(content), 'byte')}"
        )
    owner.attrs[name] = np.bytes_(content)


def read_text(owner: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return the text that ``write_text`` stored, or an ordinary string of another program.

    Raises InputError for anything else.
    """
    identifier = _attribute(owner, name)
    if identifier.shape != () or h5py.check_string_dtype(identifier.dtype) is None:
        raise InputError(f"attribute {name} should be one text")
    if identifier.dtype.itemsize > MAX_TEXT:
        raise InputError(f"attribute {name} is longer than {MAX_TEXT} bytes")
    text = owner.attrs[name]
    content = text if isinstance(text, bytes) else str(text).encode(errors="replace")
    if len(content) > MAX_TEXT:
        raise InputError(f"attribute {name} is longer than {MAX_TEXT} bytes")
    return bytes(content).decode()


def read_integer(owner: h5py.Group | h5py.Dataset, name: str) -> int:
    """Return an integer attribute.  Raises InputError for anything else."""
    identifier = _attribute(owner, name)
    if identifier.shape != () or identifier.dtype.kind not in "iu":
        raise InputError(f"attribute {name} should be one integer")
    return int(owner.attrs[name])


def _attribute(owner: h5py.Group | h5py.Dataset, name: str) -> Any:
    if name not in owner.attrs:
        raise InputError(f"attribute {name} is missing")
    return owner.attrs.get_id(name)


def read_group(owner: h5py.Group, name: str) -> h5py.Group:
    """Return the group ``name``, which must lie in the same file."""
    found = _member(owner, name)
    if not isinstance(found, h5py.Group):
        raise InputError(f"{name} should be a group")
    return found


def write_array(owner: h5py.Group, name: str, array: np.ndarray, *, checksum: bool = True) -> None:
    """Store an array little-endian, uncompressed and contiguous, with its SHA-256.

    checksum: False omits the SHA-256, for files that other programs change in place.
    """
    stored = owner.create_dataset(name, data=array, dtype=array.dtype.newbyteorder("<"))
    if checksum:
        write_text(stored, CHECKSUM, array_sha256(array))


def array_sha256(array: np.ndarray) -> str:
    """Return the SHA-256, in hexadecimal digits, of an array's bytes: little-endian, row-major."""
    stored = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(stored.data).hexdigest()


def read_array(
    owner: h5py.Group, name: str, dtype: str, dimensions: int, *, max_unpacked: int = 0
) -> np.ndarray:
    """Return the array ``name`` after checking dtype, number of dimensions, size and checksum.

    The array must be stored contiguously inside the file, so that its declared size is really
    there; a chunked one is read if it has at most ``max_unpacked`` bytes.  Files of other programs
    need no checksum.  Raises InputError for anything else.
    """
    found = find_array(owner, name)
    expected = np.dtype(dtype)
    if found.dtype != expected or found.ndim != dimensions:
        raise InputError(
            f"{name} is {found.dtype} with {counted(found.ndim, 'dimension')}, expected {expected} "
            f"with {dimensions}"
        )
    size, stored = found.size * expected.itemsize, found.id.get_storage_size()
    if found.chunks is not None and size <= max_unpacked:
        check_chunks(found)
    elif found.is_virtual or found.external or found.chunks is not None:
        raise InputError(f"{name} should be stored contiguously inside the file")
    elif size != stored or size > Path(found.file.filename).stat().st_size:
        raise InputError(f"{name} of shape {found.shape} is not wholly in the file")
    array = np.empty(found.shape, dtype=expected)
    if found.size:
        found.read_direct(array)
    if CHECKSUM in found.attrs and read_text(found, CHECKSUM) != array_sha256(array):
        raise InputError(f"{found.name} does not match its checksum: damaged, recreate the file")
    return array


def find_contiguous(owner: h5py.Group, name: str) -> tuple[h5py.Dataset, int]:
    """Return the array ``name`` and where its bytes begin in the file, without reading it.

    Raises InputError for an array that is not stored contiguously and wholly inside the file.
    """
    found = find_array(owner, name)
    if found.is_virtual or found.external or found.chunks is not None:
        raise InputError(f"{name} should be stored contiguously inside the file")
    offset, size = found.id.get_offset(), found.size * found.dtype.itemsize
    if offset is None or offset + size > Path(found.file.filename).stat().st_size:
        raise InputError(f"{name} of shape {found.shape} is not wholly in the file")
    return found, int(offset)


def check_chunks(array: h5py.Dataset) -> None:
    """Raise InputError for chunks larger than the array, and for filters that are not HDF5's."""
    properties = array.id.get_create_plist()
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    if math.prod(array.chunks) > max(array.size, 1) or not filters <= _FILTERS:
        raise InputError(f"{array.name} has unusual chunks or filters: refused")


_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


def find_array(owner: h5py.Group, name: str) -> h5py.Dataset:
    """Return the array ``name`` without reading it.  Raises InputError for anything else."""
    found = _member(owner, name)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{name} should be an array")
    return found


def _member(owner: h5py.Group, name: str) -> Any:
    """Return the member at a path such as "steps/0"; every part must exist and be no soft link."""
    found: Any = owner
    for part in name.split("/"):
        if not isinstance(found, h5py.Group) or not part or part not in found:
            raise InputError(f"{owner.name.rstrip('/')}/{name[:80]} is missing")
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise InputError(f"{name[:80]} is a link to another place: refused")
        found = found[part]
    return found
