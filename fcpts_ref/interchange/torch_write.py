"""Write arrays as a PyTorch file in the zip container, the pickle's operations by hand.

``torch.load(path, weights_only=True)`` gives an OrderedDict of tensors.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from fcpts_ref.interchange.elements import dtype_names, little_endian
from fcpts_ref.interchange.torch_tensors import STORAGE_TYPES
from fcpts_ref.storage.files import write_atomically

_STORAGE_NAMES = dtype_names(STORAGE_TYPES)
_FOLDER = "archive"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same arrays give the same bytes


def write_torch_file(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` as a state dict, in their order, whole or not at all.

    Raises InputError for a dtype that PyTorch's storages lack, and if the file cannot be
    written.
    """
    stored = {name: little_endian(name, array, _STORAGE_NAMES) for name, array in arrays.items()}

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "data.pkl", _pickle_state(stored))
            _add(archive, "byteorder", b"little")
            for key, array in enumerate(stored.values()):
                _add(archive, f"data/{key}", array.tobytes())
            _add(archive, "version", b"3\n")

    write_atomically(path, write)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(f"{_FOLDER}/{name}", _EPOCH), content)


def _pickle_state(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the pickle (protocol 2) of OrderedDict(name -> tensor)."""
    operations = [b"\x80\x02", _EMPTY_ORDERED_DICT, b"("]
    for key, (name, array) in enumerate(arrays.items()):
        operations += [_text(name), _pickle_tensor(str(key), array)]
    return b"".join([*operations, b"u."])  # SETITEMS, STOP


_EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"  # GLOBAL, EMPTY_TUPLE, REDUCE


def _pickle_tensor(key: str, array: np.ndarray) -> bytes:
    """Return the operations of _rebuild_tensor_v2(storage, 0, shape, strides, False, {})."""
    storage_name = _STORAGE_NAMES[array.dtype.str]
    storage = b"".join(
        [
            b"(",
            _text("storage"),
            b"ctorch\n" + storage_name.encode() + b"\n",
            _text(key),
            _text("cpu"),
            _integer(array.size),
            b"tQ",  # TUPLE, BINPERSID
        ]
    )
    strides = [step // array.itemsize for step in array.strides]
    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            storage,
            _integer(0),
            _integers(array.shape),
            _integers(strides),
            b"\x89",  # NEWFALSE: no gradient wanted
            _EMPTY_ORDERED_DICT,
            b"tR",  # TUPLE, REDUCE
        ]
    )


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content  # BINUNICODE


def _integer(value: int) -> bytes:
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)  # BININT
    return b"\x8a\x08" + struct.pack("<q", value)  # LONG1 of 8 bytes


def _integers(values: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"
