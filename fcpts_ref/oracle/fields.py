"""Read fields of an untrusted JSON object, each of a given type; all else is an InputError."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from fcpts_ref.errors import InputError

NAME = r"[a-z0-9_]+"
CASE_ID = r"[a-z0-9_]+\.[0-9]{4}"
FLAG = r"[A-Z-]+"
LONGEST_TEXT = 1000  # characters


def take_object(entry: Any, key: str, *, default: Any = ...) -> dict[str, Any]:
    """Return the object at ``key``, or ``default`` (if given) without one.

    Raises InputError for anything else, as all functions here do.
    """
    found = _take(entry, key, default)
    if not isinstance(found, dict):
        raise InputError(f"{key} is a JSON {type(found).__name__}; expected an object")
    return found


def take_list(entry: Any, key: str, *, default: Any = ...) -> list[Any]:
    """Return the list at ``key``."""
    found = _take(entry, key, default)
    if not isinstance(found, list | tuple):
        raise InputError(f"{key} is a JSON {type(found).__name__}; expected a list")
    return list(found)


def take_text(entry: Any, key: str, *, default: Any = ...) -> str:
    """Return the text at ``key``: not empty, of a few lines, and safe to print on a terminal."""
    found = _take(entry, key, default)
    if not isinstance(found, str) or not found or not found.isprintable():
        raise InputError(f"{key} is not a text of printable characters")
    if len(found) > LONGEST_TEXT:
        raise InputError(f"{key} has {len(found)} characters; expected at most {LONGEST_TEXT}")
    return found


def take_name(entry: Any, key: str, pattern: str, *, default: Any = ...) -> str:
    """Return the text at ``key`` if it matches ``pattern``."""
    return check_name(_take(entry, key, default), key, pattern)


def check_name(found: Any, label: str, pattern: str) -> str:
    """Return a text if it matches ``pattern``."""
    if not isinstance(found, str) or not re.fullmatch(pattern, found):
        raise InputError(f"{label} is not a name of the form {pattern}")
    return found


def take_number(entry: Any, key: str, *, default: Any = ...) -> float:
    """Return the finite number of at least 0 at ``key``."""
    found = _take(entry, key, default)
    if type(found) not in (int, float) or not 0 <= found <= 1e300 or math.isnan(found):
        raise InputError(f"{key} is not a finite number of at least 0")
    return float(found)


def take_whole(entry: Any, key: str, *, default: Any = ...) -> int:
    """Return the whole number of at least 0, at most 2**31, at ``key``."""
    found = _take(entry, key, default)
    if type(found) is not int or not 0 <= found <= 1 << 31:
        raise InputError(f"{key} is not a whole number of at least 0")
    return found


def _take(entry: Any, key: str, default: Any) -> Any:
    if not isinstance(entry, Mapping):
        raise InputError(f"a JSON {type(entry).__name__} where an object with {key!r} is expected")
    if key not in entry and default is ...:
        raise InputError(f"{key!r} is missing")
    return entry.get(key, default)
