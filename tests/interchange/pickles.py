"""Hand-made pickles (protocol 2) for tests, good and bad."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path


def text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def integer(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def integers(values) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def storage(key="0", count=4, kind=b"FloatStorage", view=b"") -> bytes:
    return (
        b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu")
        + integer(count) + view + b"tQ"
    )  # fmt: skip


def tensor(shape=(2, 2), strides=(2, 1), offset=0, **of_storage) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(**of_storage) + integer(offset)
        + integers(shape) + integers(strides) + b"\x89}tR"
    )  # fmt: skip


def dictionary(**values: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in values.items()) + b"u"


def whole(operations: bytes) -> bytes:
    return b"\x80\x02" + operations + b"."


def zip_file(path: Path, members: dict[str, bytes], **options) -> Path:
    """Write a torch zip container with these members (below the folder "archive/")."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return path


def sequence_file(path: Path, operations: bytes, keys: bytes, storages: bytes) -> Path:
    """Write the older container: magic number, version, facts, object, keys, storages."""
    magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
    facts = dictionary(little_endian=b"\x88")
    pickles = [magic, b"M\xe9\x03", facts, operations, keys]
    path.write_bytes(b"".join(map(whole, pickles)) + storages)
    return path


def stream(operations: bytes) -> io.BytesIO:
    return io.BytesIO(whole(operations))
