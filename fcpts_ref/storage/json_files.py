"""JSON files, written whole or not at all and read with one-line errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import check_regular_file, describe_failure, write_atomically

CHECKSUM = "sha256"  # the field with an object's checksum
MAX_BYTES = 64 << 20
MAX_VALUES = 1 << 22  # values take up to 70 bytes each
MAX_DIGITS = 40  # of an integer; a generator's state has 39


def as_json(data: Any) -> Any:
    """Return the data as JSON would: tuples as lists, NumPy numbers as Python numbers."""
    return json.loads(json.dumps(data, default=_plain))


def write_json(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all; an object gets its SHA-256 as a last field.

    Raises InputError if the file cannot be written.
    """
    if isinstance(data, Mapping):
        data = {**data, CHECKSUM: _checksum(data)}
    write_text_file(path, json.dumps(data, indent=2, default=_plain) + "\n")


def write_text_file(path: Path, text: str) -> None:
    """Write a UTF-8 text, whole or not at all.  Raises InputError if it cannot be written."""
    content = text.encode()
    write_atomically(path, lambda temporary: _write_bytes(temporary, content))


def read_json(path: Path, *, remedy: str = "recreate it") -> Any:
    """Read JSON, without its checksum.

    remedy: what to do about a file that is not JSON.
    Raises InputError if the file is absent, no regular file, over 64 MiB, not JSON, or does not
    match its checksum; files of other programs need none.
    """
    check_regular_file(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is over {MAX_BYTES >> 20} MiB; {remedy}")
        return _checked(path, parse_json(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    except InputError:
        raise
    except ValueError as error:  # not UTF-8, not JSON
        raise InputError(f"{path} is not JSON ({str(error)[:80]}); {remedy}") from error


def _checked(path: Path, data: Any) -> Any:
    if not isinstance(data, dict) or CHECKSUM not in data:
        return data
    expected = data.pop(CHECKSUM)
    if expected != _checksum(data):
        raise InputError(
            f"{path} does not match its checksum: it is damaged or was changed by hand; restore "
            f"it, or remove the field {CHECKSUM!r} from it"
        )
    return data


def _checksum(data: Any) -> str:
    text = json.dumps(as_json(data), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def parse_json(text: str, *, digits: int = MAX_DIGITS) -> Any:
    """Return the data of a JSON text.

    Raises ValueError for anything else, for over ``MAX_VALUES`` values, for an integer of over
    ``digits`` digits, and for lists nested so deeply that reading them would end the program.
    """
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise ValueError(f"it may hold over {MAX_VALUES} values")
    try:
        return json.loads(text, parse_int=lambda number: _parse_integer(number, digits))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _parse_integer(text: str, digits: int) -> int:
    if len(text) > digits:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
