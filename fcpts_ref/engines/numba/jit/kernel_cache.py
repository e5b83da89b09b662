"""Machine code on disk that may be damaged, and a disk that may be full.

Numba's own cache ends the program in both cases.  Here every file begins with a checksum: one that
does not match counts as absent, so the kernel is compiled again and the file replaced; and what
cannot be written is not kept.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import secrets
from contextlib import suppress
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

PROCESS = secrets.token_hex(4)  # in the names of the files that this process writes
CHECKSUM = 32  # bytes


class KernelCache(FunctionCache):
    """The files of one kernel, by its argument types."""

    def __init__(self, function: Any) -> None:
        """Raises RuntimeError if there is no place to keep them."""
        super().__init__(function)
        self._cache_file = CheckedFile(self._cache_file)  # type: ignore[has-type]

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep the machine code, if the disk allows it."""
        with suppress(OSError):
            super().save_overload(signature, data)


class CheckedFile(IndexDataCacheFile):
    """Numba's index and data files, each behind a checksum of its content and Numba's version.

    Numba numbers the data files by what its index held when it was read.  Two processes that
    compile a function for different arguments at one time would write to one file, and whoever
    finds it in the index would run the code of the other: so the names hold the process.
    """

    def __init__(self, file: Any) -> None:
        self.__dict__.update(file.__dict__)
        stem = file._data_name_pattern.removesuffix("{number:d}.nbc")
        self._data_name_pattern = f"{stem}{PROCESS}-{{number:d}}.nbc"

    def _load_index(self) -> Any:
        with suppress(OSError):
            stamp, overloads = self._read(self._index_path)
            if stamp == self._source_stamp:
                return overloads
        return {}

    def _save_index(self, overloads: Any) -> None:
        self._write(self._index_path, (self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _read(self, path: str) -> Any:
        """What ``_write`` was given.

        Raises OSError for a file that is absent, damaged, or of arguments whose classes another
        version of the package has elsewhere.
        """
        with open(path, "rb") as file:
            content = file.read()
        if content[:CHECKSUM] != self._checksum(content[CHECKSUM:]):
            raise OSError(f"{os.path.basename(path)} is damaged")
        try:
            return pickle.loads(content[CHECKSUM:])
        except (AttributeError, ImportError) as error:
            raise OSError(f"{os.path.basename(path)} is of another version: {error}") from None

    def _write(self, path: str, value: Any) -> None:
        content = self._dump(value)
        with self._open_for_write(path) as file:
            file.write(self._checksum(content) + content)

    def _checksum(self, content: bytes) -> bytes:
        return hashlib.sha256(self._version.encode() + content).digest()
