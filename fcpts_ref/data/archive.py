"""The files of an archive (.tar.gz) or of its unpacked folder, read with bounded memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import describe_failure

# The bytes an archive may hold in all: the CIFAR archives unpack to about 185 MB each.
MAX_UNPACKED = 400_000_000


def read_archive(path: Path | str, limits: Mapping[str, int]) -> dict[str, bytes]:
    """Return the contents of those files of an archive that ``limits`` names.

    ``path`` is a .tar.gz file or a folder; files are found by their own name, in the archive
    or folder itself or one folder below.  ``limits`` maps each name to the largest size in
    bytes it may have.  Files that are not there are left out of the result.

    Raises InputError if ``path`` cannot be read, is neither, is truncated or damaged, holds
    a link or a path that leads out of the archive, or is larger than expected.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path, limits)
        with open(path, "rb") as file:
            return _read_tar(file, limits)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise InputError(
            f"{path}: truncated or damaged, expected a .tar.gz archive or its unpacked folder: "
            "get it again"
        ) from error
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error


def _read_folder(folder: Path, limits: Mapping[str, int]) -> dict[str, bytes]:
    inner = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    found: dict[str, bytes] = {}
    for place in (folder, *inner):
        for name, limit in limits.items():
            file = place / name
            if not file.is_file():
                continue
            _check_new(name, file.stat().st_size, limit, found)
            found[name] = file.read_bytes()
    return found


def _read_tar(file: IO[bytes], limits: Mapping[str, int]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    stream = _BoundedStream(gzip.GzipFile(fileobj=file))
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            inner = PurePosixPath(member.name)
            if inner.is_absolute() or ".." in inner.parts:
                raise InputError(f"{member.name[:60]!r} leads out of the archive: refused")
            if not (member.isfile() or member.isdir()):
                raise InputError(f"{member.name[:60]!r} is a link or a device: refused")
            if member.isfile() and inner.name in limits:
                _check_new(inner.name, member.size, limits[inner.name], found)
                content = archive.extractfile(member)
                found[inner.name] = content.read() if content else b""
    while stream.read(1 << 20):  # to the end, where gzip keeps its checksum
        pass
    return found


def _check_new(name: str, size: int, limit: int, found: Mapping[str, bytes]) -> None:
    if name in found:
        raise InputError(f"{name} is there twice: give an archive or folder of one data set")
    if size > limit:
        raise InputError(f"{name} has {size} bytes, expected at most {limit}")


class _BoundedStream(io.RawIOBase):
    """A stream that ends in InputError after MAX_UNPACKED bytes (a compressed bomb)."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(max(0, min(size, 1 << 20)))
        self._left -= len(content)
        if self._left < 0:
            raise InputError(f"unpacks to more than {MAX_UNPACKED} bytes: refused")
        return content
