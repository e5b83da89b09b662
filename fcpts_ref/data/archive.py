"""The files of an archive (.tar.gz, .tar) or of its unpacked folder, read with bounded memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from fcpts_ref.data.tar_stream import BLOCK, Readable, TarStream
from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.storage.files import check_regular_file, describe_failure

# The most bytes that an archive may unpack to; the CIFAR archives have about 185 MB each.
MAX_UNPACKED = 400_000_000

# The first bytes of other formats, and the remedy for each.
_OTHERS = {
    b"PK\x03\x04": "a .zip archive: unpack it and give the folder",
    b"BZh": "a .tar.bz2 archive: unpack it and give the folder",
    b"\xfd7zXZ": "a .tar.xz archive: unpack it and give the folder",
    b"7z\xbc\xaf": "a .7z archive: unpack it and give the folder",
    b"\x28\xb5\x2f\xfd": "a .tar.zst archive: unpack it and give the folder",
    b"Rar!": "a .rar archive: unpack it and give the folder",
    b"\x89HDF": "an HDF5 file: one of this program needs no preparing, as in "
    "'fcpts-ref sparsify --data FILE.h5'",
    b"version https://git-lfs": "a Git LFS pointer, not the archive: run 'git lfs pull'",
    b"<": "a web page, not the archive: open the address in a browser",
}


def read_archive(path: Path | str, limits: Mapping[str, int]) -> dict[str, bytes]:
    """Return the contents of those files of an archive that ``limits`` names.

    ``path`` is a .tar.gz file, a .tar file (as some browsers leave it) or a folder; files are
    found by name, at the top level or one folder below.  ``limits`` maps each name to its largest
    allowed size in bytes.  Absent files are missing from the result.

    Raises InputError if ``path`` cannot be read, is neither, is truncated or damaged, holds
    a link or a path that leads out of the archive, or is larger than expected.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path, limits)
        check_regular_file(path)
        with open(path, "rb") as file:
            return _read_tar(_unpacked(file), limits)
    except InputError as error:
        text = str(error)
        raise InputError(text if str(path) in text else f"{path}: {text}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
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


def _unpacked(file: IO[bytes]) -> Readable:
    """Return the tar archive in ``file``, which is compressed by gzip or not at all."""
    head = file.read(BLOCK)
    file.seek(0)
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=file)
    if head[257:262] == b"ustar":
        return file
    for start, advice in _OTHERS.items():
        if head.lstrip().startswith(start):
            raise InputError(f"it is {advice}")
    raise EOFError


def _read_tar(unpacked: Readable, limits: Mapping[str, int]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    stream = _BoundedStream(unpacked)
    archive = TarStream(stream)
    for member in archive.members():
        inner = PurePosixPath(member.name)
        if inner.is_absolute() or ".." in inner.parts:
            raise InputError(f"{shown(member.name)} leads out of the archive: refused")
        if not (member.is_file or member.is_folder):
            raise InputError(f"{shown(member.name)} is a link or a device: refused")
        if member.is_file and inner.name in limits:
            _check_new(inner.name, member.size, limits[inner.name], found)
            found[inner.name] = archive.read(member)
    while stream.read(1 << 20):  # to the end, where gzip keeps its checksum
        pass
    return found


def _check_new(name: str, size: int, limit: int, found: Mapping[str, bytes]) -> None:
    if name in found:
        raise InputError(f"{name} is there twice: give an archive or folder of one data set")
    if size > limit:
        raise InputError(f"{name} has {counted(size, 'byte')}, expected at most {limit:,}")


class _BoundedStream:
    """A stream that raises InputError after MAX_UNPACKED bytes (a decompression bomb)."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED

    def read(self, size: int, /) -> bytes:
        content = self._stream.read(min(size, 1 << 20))
        self._left -= len(content)
        if self._left < 0:
            raise InputError(f"unpacks to more than {MAX_UNPACKED} bytes: refused")
        return content
