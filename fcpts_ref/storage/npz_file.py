"""Arrays of NumPy's .npz files, read without trusting what the files claim."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.storage.files import check_regular_file, describe_failure

Array = NDArray[Any]

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
MAX_RATIO = 64
"""How many times the file's size its arrays may take: beyond it a small file fills the memory."""


def read_npz_arrays(
    path: Path, *, only: Collection[str] | None = None, required: str | None = None
) -> dict[str, Array]:
    """Return the arrays of an .npz file by name, in the order of the file.

    only: the names that are read; all by default.  required: the name that must be among them.
    Raises InputError, one line, for a file that is absent, is not a regular file, is not readable,
    lacks the required array, or unpacks to far more than its own size.  Nothing is unpickled.
    """
    check_regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(_checked_size(path, archive, entry, only) for entry in entries)
        if unpacked > MAX_RATIO * os.path.getsize(path):
            raise InputError(
                f"{path} unpacks to {counted(unpacked, 'byte')}, over {MAX_RATIO} times its size; "
                "write it with np.savez, uncompressed"
            )
        with np.load(path, allow_pickle=False) as stored:
            if required is not None and required not in stored:
                others = ", ".join(name for name in only or () if name != required)
                raise InputError(
                    f"{path} has no array {required!r}; expected it and perhaps {others}"
                )
            names = stored.files if only is None else [name for name in only if name in stored]
            return {name: stored[name] for name in names}
    except (InputError, MemoryError):
        raise
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    except Exception as error:  # zipfile, zlib and NumPy's parser of headers have many
        raise InputError(
            f"{path} is not a readable .npz file ({type(error).__name__}); write it with np.savez"
        ) from error


def _checked_size(
    path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, only: Collection[str] | None
) -> int:
    """The unpacked size of an entry, whose array must not claim more than that."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path} is packed in a way NumPy does not use; write it with np.savez")
    if only is None or entry.filename.removesuffix(".npy") in only:
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            if version not in HEADERS:
                raise ValueError("unknown version of the .npy format")
            shape, _, dtype = HEADERS[version](file)
        if math.prod(shape) * dtype.itemsize > entry.file_size:
            raise InputError(
                f"{path}: {entry.filename} claims the shape {str(shape)[:80]} and holds only "
                f"{counted(entry.file_size, 'byte')}; write it again with np.savez"
            )
    return entry.file_size
