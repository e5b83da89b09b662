"""Files that appear whole or not at all, and folders that one process writes to at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import lock_descriptor

from fcpts_ref.errors import InputError

LOG = logging.getLogger(__name__)
LOCK_NAME = ".lock"
_BLOCK = 1 << 20  # bytes read at a time when a file is hashed

_REMEDIES = {
    errno.ENOSPC: "no space left on the disk: free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another folder",
    errno.EFBIG: "the file would be larger than is allowed here: choose another folder",
    errno.EACCES: "no permission: choose another folder or change its permissions",
    errno.EPERM: "no permission: choose another folder or change its permissions",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOENT: "its folder does not exist: create it first",
    errno.ENOTDIR: "a part of the path is not a folder: correct the path",
    errno.EISDIR: "there is a folder of that name: choose another name",
    errno.ELOOP: "a link stands where a file is expected: remove it or choose another folder",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


def write_atomically(path: Path | str, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place of ``path``.

    A reader sees the earlier file or the complete new one, also after a crash or a full
    disk; on any failure the temporary file is removed and the earlier file kept.

    Raises InputError, naming the path, the reason and a remedy, for every failure of the
    file system, those that HDF5 reports as RuntimeError included.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    _check_replaceable(path)
    try:
        write(temporary)
        _flush_to_disk(temporary)
        os.replace(temporary, path)
        LOG.info("wrote %s, %d bytes", path, path.stat().st_size)
        _flush_to_disk(path.parent)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _error_number(error) is None:
            raise
        raise InputError(describe_failure(f"cannot write {path}", error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: Path | str) -> None:
    """Raise InputError if ``path`` cannot be written; call it before a long computation."""
    path = Path(path)
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _check_replaceable(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(describe_failure(f"cannot write {path}", error)) from error


def _check_replaceable(path: Path) -> None:
    """Raise InputError for a pipe or a device: it would be replaced, not written to."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # there is none, or the writing itself will fail
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"cannot write {path}: it is a pipe or a device, expected a file")


def check_regular_file(path: Path | str) -> None:
    """Raise InputError unless ``path`` is a regular file (a pipe or device may never end)."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        raise InputError(f"cannot read {path}: it is a folder, expected a file")
    if not stat.S_ISREG(mode):
        raise InputError(f"cannot read {path}: it is a pipe or a device, expected a regular file")
    LOG.info("reading %s, %d bytes", path, found.st_size)


def describe_failure(what: str, error: Exception) -> str:
    """Return the one-line message "what: reason: remedy" for a file-system error."""
    number = _error_number(error)
    if number == errno.ENOENT and what.startswith("cannot read"):
        return f"{what}: there is no such file or folder: correct the path"
    if number in _REMEDIES:
        return f"{what}: {_REMEDIES[number]}"
    reason = os.strerror(number) if number else " ".join(str(error).split())
    return f"{what}: {reason}"


def _error_number(error: Exception) -> int | None:
    """Return the number of a failure of the file system, which HDF5 gives only in its text."""
    number: int | None = getattr(error, "errno", None)
    if number is not None:
        return number
    found = re.search(r"errno = (\d+)", str(error))
    named = (n for n in _REMEDIES if os.strerror(n) in str(error))
    return int(found[1]) if found else next(named, None)


def _flush_to_disk(path: Path) -> None:
    """Wait until the file (or, where folders can be opened, the folder) is on the disk."""
    if path.is_dir() and sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.  Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def lock_folder(path: Path | str) -> Iterator[None]:
    """Keep other processes from writing to the folder ``path`` (created if absent).

    The operating system releases the lock when the process ends, however it ends: a file ``.lock``
    that is left behind does not block other processes.  Raises InputError at once, without waiting,
    when another process (or another block of this one) holds the lock, when ``.lock`` is a link,
    and when it cannot be written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _open_lock(folder / LOCK_NAME)
    except OSError as error:
        if error.errno == errno.ENOENT and folder.parent.is_dir():  # /proc, for instance
            error = OSError(errno.EPERM, os.strerror(errno.EPERM))
        raise InputError(describe_failure(f"cannot write to folder {folder}", error)) from error
    try:
        try:
            acquired = lock_descriptor(descriptor, blocking=False)
            if acquired:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:
            raise InputError(describe_failure(f"cannot lock folder {folder}", error)) from error
        if not acquired:
            raise InputError(
                f"folder {folder} is in use by another process{_holder(descriptor)}: "
                "wait for it to end or choose another folder"
            )
        yield
    finally:
        os.close(descriptor)  # releases the lock


def _open_lock(path: Path) -> int:
    """Open the lock file, created if absent, but never another file through a link."""
    no_follow = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | no_follow, 0o666)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return descriptor


def _holder(descriptor: int) -> str:
    """Return " (process 1234)" from the lock file, or "" if it names none."""
    with contextlib.suppress(OSError, ValueError):
        return f" (process {int(os.read(descriptor, 20))})"
    return ""
