"""PyTorch checkpoint files (.pth, .pt, .th), read without PyTorch and without executing anything.

Two containers are in use.  The zip container (PyTorch 1.6 and later) holds ``data.pkl`` and
one member per storage, ``data/KEY``.  The older one is a sequence: three short pickles (a
magic number, the protocol version, system facts), the pickled object, the pickled list of
storage keys, and for each key a 64-bit element count and the elements.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.interchange.foreign import (
    HEAD,
    TAIL,
    describe_archive,
    describe_file,
    describe_name,
)
from fcpts_ref.interchange.torch_tensors import CONSTRUCTORS, Storage, Storages, Tensor, make_arrays
from fcpts_ref.storage.files import check_regular_file, describe_failure
from fcpts_ref.storage.restricted_pickle import UnknownName, read_pickle

ZIP = b"PK\x03\x04"
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

# Where a checkpoint that holds more than the weights keeps them, in order of preference.
STATE_KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights",
)  # fmt: skip

# Errors that zipfile raises for damaged headers.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    OverflowError,
)


def read_torch_file(path: Path | str) -> dict[str, np.ndarray]:
    """Return the arrays of the checkpoint's state dict by name, in the file's order.

    The state dict is the entry of the object under one of STATE_KEYS, or the object itself; other
    entries, and those that are not tensors, are ignored.  Arrays
    keep their dtype, except that bfloat16 becomes float32 (exact); names are as in the file.

    Raises InputError for a file that cannot be read, is neither container, is truncated or
    damaged, describes tensors that its data cannot fill, or whose pickle contains anything
    other than plain data and tensors.
    """
    check_regular_file(path)
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            check_kind(head, file.read(TAIL))
            file.seek(0)
            content = file.read()
        return _read_zip(content) if content[:4] == ZIP else _read_sequence(content)
    except UnknownName as error:
        raise InputError(f"{path}: {error}: {describe_name(error.name)}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error


def check_kind(head: bytes, tail: bytes = b"") -> None:
    """Raise InputError, naming the kind of file, if its first bytes are not of a checkpoint.

    tail: the last bytes of the file, which identify some others.
    """
    if head[:4] == ZIP or _has_magic(io.BytesIO(head)):
        return
    kind = (
        describe_file(head, tail) or "neither the zip container nor the one before it: get it again"
    )
    raise InputError(f"not a PyTorch checkpoint: {kind}")


def _read_zip(content: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read_members(archive, len(content))
    except InputError:
        raise
    except _ZIP_ERRORS as error:
        reason = str(error.args[0] if error.args else type(error).__name__)[:200]
        raise InputError(
            f"truncated or damaged zip file ({reason!r}): get the checkpoint again"
        ) from error


def _read_members(archive: zipfile.ZipFile, file_size: int) -> dict[str, np.ndarray]:
    members = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in members if PurePosixPath(name).name == "data.pkl"]
    if kind := describe_archive(members):
        raise InputError(kind)
    if len(pickles) != 1:
        raise InputError("a zip file without exactly one data.pkl, expected a PyTorch checkpoint")
    folder = pickles[0].removesuffix("data.pkl")

    def read(name: str) -> bytes:
        info = members.get(folder + name)
        if info is None:
            raise InputError(f"{name[:60]!r} is missing from the zip file")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > file_size:
            raise InputError(f"{name[:60]!r} is compressed or larger than the file: refused")
        return archive.read(info)

    storages = Storages()
    state = _find_state(read_pickle(io.BytesIO(read("data.pkl")), CONSTRUCTORS, storages.load))
    order = read("byteorder").strip() if folder + "byteorder" in members else b"little"
    if order not in (b"little", b"big"):
        raise InputError(f"byte order {order[:20]!r}, expected little or big")
    return make_arrays(
        state,
        lambda storage: read(f"data/{storage.key}"),
        big_endian=order == b"big",
        file_size=file_size,
    )


def _read_sequence(content: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(content)
    for _ in range(2):  # the magic number and the version, which check_kind has seen
        read_pickle(stream, {})
    storages = Storages()
    facts = read_pickle(stream, {})
    state = _find_state(read_pickle(stream, CONSTRUCTORS, storages.load))
    places = dict(_storage_places(stream, read_pickle(stream, {}), storages))

    def read(storage: Storage) -> memoryview:
        if storage.key not in places:
            raise InputError(f"storage {storage.key[:40]!r} is missing")
        return memoryview(content)[places[storage.key] :][: storage.size]

    return make_arrays(
        state,
        read,
        big_endian=isinstance(facts, dict) and facts.get("little_endian") is False,
        file_size=len(content),
    )


def _has_magic(stream: io.BytesIO) -> bool:
    try:
        return [read_pickle(stream, {}), read_pickle(stream, {})] == [MAGIC, PROTOCOL_VERSION]
    except InputError:
        return False


def _storage_places(stream: io.BytesIO, keys: Any, storages: Storages) -> Iterator[tuple[str, int]]:
    """Yield (key, position of the first byte) of the storages behind the pickles."""
    file_size = len(stream.getbuffer())
    for key in keys if isinstance(keys, list) else [None]:
        storage = storages.by_key.get(key) if isinstance(key, str) else None
        if storage is None:
            raise InputError("its list of storages does not fit its contents: damaged")
        count, start = int.from_bytes(stream.read(8), "little"), stream.tell()
        if count != storage.count or start + storage.size > file_size:
            raise InputError(
                f"storage {storage.key[:40]!r} does not have its "
                f"{counted(storage.count, 'element')}: truncated or damaged; get the checkpoint "
                "again"
            )
        yield storage.key, start
        stream.seek(start + storage.size)


def _find_state(checkpoint: Any) -> dict[str, Tensor]:
    """Return the tensors of the state dict in ``checkpoint``."""
    candidates = [checkpoint]
    if isinstance(checkpoint, dict):
        candidates = [*(checkpoint.get(key) for key in STATE_KEYS), checkpoint]
    for candidate in candidates:
        if isinstance(candidate, dict):
            state = {k: v for k, v in candidate.items() if isinstance(v, Tensor)}
            if state and all(isinstance(name, str) for name in state):
                return state
    if isinstance(checkpoint, dict):
        keys = ", ".join(map(_shown_key, list(checkpoint)[:10]))
        found = f"a dict with {keys or 'nothing'}"
    else:
        found = f"an object of type {type(checkpoint).__name__}"
    raise InputError(
        f"{found}, expected named tensors or a dict with them under one of {', '.join(STATE_KEYS)}"
    )


def _shown_key(key: Any) -> str:
    return ascii(key[:40])[1:-1] if isinstance(key, str) else shown(key)
