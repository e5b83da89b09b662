"""JSON files, written whole or not at all and read with one-line errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import describe_failure, write_atomically


def as_json(data: Any) -> Any:
    """Return the data as JSON would: tuples as lists, NumPy numbers as Python numbers."""
    return json.loads(json.dumps(data, default=_plain))


def write_json(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all.  Raises InputError if the file cannot be written."""
    write_text_file(path, json.dumps(data, indent=2, default=_plain) + "\n")


def write_text_file(path: Path, text: str) -> None:
    """Write a UTF-8 text, whole or not at all.  Raises InputError if it cannot be written."""
    content = text.encode()
    write_atomically(path, lambda temporary: _write_bytes(temporary, content))


def read_json(path: Path) -> Any:
    """Read JSON.  Raises InputError if the file is absent or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number too long
        raise InputError(f"{path} is not JSON ({error}); recreate it") from error


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
