"""HDF5 as a plain container: arrays and short texts, checked before any memory is taken.

Files are put together in memory and written by ordinary file operations, because the HDF5
library may end the whole process when the disk fills up under it.  Arrays lie uncompressed
and contiguous, so that an array never takes more memory than the file has bytes, and a file
is refused if it asks the reader to look outside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import describe_failure, write_atomically

MAX_TEXT = 16_384  # bytes in one text attribute; HDF5 itself ends at 64 KiB

# libver v110: every piece of metadata carries a checksum, so a damaged file is noticed.
_IN_MEMORY = {"driver": "core", "backing_store": False, "libver": "v110"}


def write_hdf5(
    path: Path | str, format_name: str, version: int, fill: Callable[[h5py.File], None]
) -> None:
    """Write an HDF5 file whole or not at all; ``fill`` puts its contents into the open file.

    Raises InputError if the file cannot be written (files.write_atomically).
    """
    with h5py.File("image.h5", "w", **_IN_MEMORY) as file:
        write_text(file, "format", format_name)
        file.attrs["version"] = np.int64(version)
        fill(file)
        file.flush()
        image = file.id.get_file_image()
    write_atomically(path, lambda temporary: _write_bytes(temporary, image))


def _write_bytes(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


@contextlib.contextmanager
def open_hdf5(path: Path | str, format_name: str, version: int) -> Iterator[h5py.File]:
    """Open a file of the given format for reading; within the block HDF5's errors, too, are
    InputError.

    Raises InputError for a file that is absent, not HDF5, damaged, of another format or of a
    version newer than ``version``.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(_describe_unreadable(Path(path), format_name, error)) from error
    with file:
        try:
            _check_format(file, format_name, version)
            yield file
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: damaged HDF5 file ({_first_line(error)}): make it anew"
            ) from error


def _describe_unreadable(path: Path, format_name: str, error: OSError) -> str:
    if error.errno is not None or not path.is_file():
        return describe_failure(f"cannot read {path}", error)
    return f"{path} is not an HDF5 file or is cut short, expected the format {format_name!r}"


def _first_line(error: Exception) -> str:
    text = str(error.args[0]) if error.args else ""  # str() of a KeyError adds quotes
    return (text.splitlines() or [type(error).__name__])[0][:200]


def _check_format(file: h5py.File, format_name: str, version: int) -> None:
    if "format" not in file.attrs or read_text(file, "format") != format_name:
        raise InputError(f"not of the format {format_name!r}: give the path of one")
    found = read_integer(file, "version")
    if not 1 <= found <= version:
        raise InputError(
            f"version {found} of the {format_name} format, this program reads up to {version}: "
            "update fcpts-ref"
        )


def write_text(owner: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    """Store a text as an attribute of fixed length (UTF-8, not empty, no zero bytes)."""
    content = text.encode()
    if not 0 < len(content) <= MAX_TEXT or b"\0" in content:
        raise InputError(
            f"{name}: expected a text of 1 to {MAX_TEXT} bytes without zero bytes, "
            f"got {len(content)} bytes"
        )
    owner.attrs[name] = np.bytes_(content)


def read_text(owner: h5py.Group | h5py.Dataset, name: str) -> str:
    """Read what write_text stored; InputError for anything else."""
    identifier = _attribute(owner, name)
    if identifier.shape != () or identifier.dtype.kind != "S":
        raise InputError(f"attribute {name} should be one text of fixed length")
    if identifier.dtype.itemsize > MAX_TEXT:
        raise InputError(f"attribute {name} is longer than {MAX_TEXT} bytes")
    return bytes(owner.attrs[name]).decode()


def read_integer(owner: h5py.Group | h5py.Dataset, name: str) -> int:
    """Read an integer attribute; InputError for anything else."""
    identifier = _attribute(owner, name)
    if identifier.shape != () or identifier.dtype.kind not in "iu":
        raise InputError(f"attribute {name} should be one integer")
    return int(owner.attrs[name])


def _attribute(owner: h5py.Group | h5py.Dataset, name: str) -> Any:
    if name not in owner.attrs:
        raise InputError(f"attribute {name} is missing")
    return owner.attrs.get_id(name)


def read_group(owner: h5py.Group, name: str) -> h5py.Group:
    """Return the group ``name``, which must lie in this very file."""
    found = _member(owner, name)
    if not isinstance(found, h5py.Group):
        raise InputError(f"{name} should be a group")
    return found


def write_array(owner: h5py.Group, name: str, array: np.ndarray) -> None:
    """Store an array little-endian, uncompressed and contiguous."""
    owner.create_dataset(name, data=array, dtype=array.dtype.newbyteorder("<"))


def read_array(owner: h5py.Group, name: str, dtype: str, dimensions: int) -> np.ndarray:
    """Return the array ``name`` after checking dtype, number of dimensions and size.

    The array must be stored contiguously inside the file: then its claimed size is one the
    file really has.  Raises InputError for anything else.
    """
    found = _member(owner, name)
    expected = np.dtype(dtype)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{name} should be an array")
    if found.dtype != expected or found.ndim != dimensions:
        raise InputError(
            f"{name} is {found.dtype} with {found.ndim} dimensions, expected {expected} with "
            f"{dimensions}"
        )
    if found.is_virtual or found.external or found.chunks is not None:
        raise InputError(f"{name} should be stored contiguously inside the file")
    size, stored = found.size * expected.itemsize, found.id.get_storage_size()
    if size != stored or size > Path(found.file.filename).stat().st_size:
        raise InputError(f"{name} of shape {found.shape} is not wholly in the file")
    array = np.empty(found.shape, dtype=expected)
    if found.size:
        found.read_direct(array)
    return array


def _member(owner: h5py.Group, name: str) -> Any:
    if name not in owner:
        raise InputError(f"{owner.name.rstrip('/')}/{name} is missing")
    if not isinstance(owner.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{name} is a link to another place: refused")
    return owner[name]
