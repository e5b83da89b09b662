"""The pickles of the CIFAR "Python version", read without executing them.

Each file is one pickled dict, written by Python 2 with protocol 2: byte strings, lists of
integers and one uint8 array.  Copies rewritten by Python 3 differ in the encoding of bytes
(_codecs.encode) and in the module of NumPy's functions (numpy._core); both are read.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, shown
from fcpts_ref.storage.restricted_pickle import Buildable, Symbol, read_pickle


class _Dtype(Buildable):
    """numpy.dtype: only unsigned bytes occur."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        if code != "u1":
            raise InputError(f"an array of dtype {shown(code)}, expected 'u1'")

    def set_state(self, state: Any) -> None:
        """Ignore (version, byte order, ...), which bytes do not need."""


class _Array(Buildable):
    """An empty array from _reconstruct, whose state is then set."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        _version, shape, dtype, is_fortran, content = state
        content = content.encode("latin-1") if isinstance(content, str) else content
        if not (
            isinstance(dtype, _Dtype)
            and isinstance(content, bytes)
            and isinstance(shape, tuple)
            and len(shape) <= 4
            and all(type(n) is int and 0 <= n < 1 << 40 for n in shape)
            and math.prod(shape) == len(content)
        ):
            raise InputError("an array whose shape does not fit its bytes")
        array = np.frombuffer(content, np.uint8)
        self.value = array.reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(kind: Any = None, *_: Any) -> _Array:
    if not isinstance(kind, Symbol) or kind.name != "numpy.ndarray":
        raise InputError("_reconstruct of something but numpy.ndarray: refused")
    return _Array()


def _from_buffer(
    content: Any = None, dtype: Any = None, shape: Any = None, order: Any = None
) -> Any:
    """Stand in for numpy._core.numeric._frombuffer, by which protocol 5 stores arrays."""
    array = _Array()
    content = bytes(content) if isinstance(content, bytearray) else content
    array.set_state((1, shape, dtype, order == "F", content))
    return array


def _encode(text: Any = None, encoding: Any = None) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise InputError("_codecs.encode of something but latin-1 text: refused")
    return text.encode("latin-1")


_CONSTRUCTORS = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "numpy.ndarray": None,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
}


def read_cifar_pickle(content: bytes) -> dict[str, Any]:
    """Return the dict in a CIFAR pickle, its keys as str and its array as an ndarray.

    Raises InputError for a broken pickle and for one with other contents than CIFAR's files;
    nothing in it is executed.
    """
    found = read_pickle(io.BytesIO(content), _CONSTRUCTORS)
    if not isinstance(found, dict):
        raise InputError(f"a pickled {type(found).__name__}, expected a dict")
    return {_text(key): _plain(value) for key, value in found.items()}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else shown(value)


def read_names(value: Any) -> tuple[str, ...]:
    """Return a pickled list of names.  Raises InputError for anything else."""
    if not isinstance(value, list) or any(not isinstance(name, str | bytes) for name in value):
        raise InputError("expected a list of names")
    return tuple(_text(name) for name in value)


def read_labels(value: Any) -> np.ndarray:
    """Return a pickled list of integers as int64 (N,).  Raises InputError for anything else."""
    if not isinstance(value, list) or any(
        type(label) is not int or abs(label) > 1 << 31 for label in value
    ):
        raise InputError("expected a list of integer labels")
    return np.array(value, dtype=np.int64)
