"""Dataclasses from JSON, checked field by field against their type hints."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fcpts_ref.errors import InputError, shown

T = TypeVar("T")


def record_from_json(cls: type[T], data: Any, what: str) -> T:
    """Return the dataclass ``cls`` with the fields that the JSON object ``data`` holds.

    Fields may be left out where they have a default.  Raises InputError, which begins with
    ``what``, for an unknown or missing field and for a value of another type.
    """
    known = fields(cls)  # type: ignore[arg-type]
    if not isinstance(data, Mapping):
        raise InputError(f"{what} is {_short(data)}; expected an object with named fields")
    check_names(data, [f.name for f in known], what, "field")
    for f in known:
        if f.default is MISSING and f.default_factory is MISSING and f.name not in data:
            raise InputError(f"{what} lacks the field {f.name!r}; recreate it")
    hints = get_type_hints(cls)
    return cls(**{k: check_value(v, hints[k], f"{what}: {k}") for k, v in data.items()})


def check_record(record: Any, what: str) -> None:
    """Raise InputError unless every field of a dataclass is of its type."""
    hints = get_type_hints(type(record))
    for f in fields(record):
        check_value(getattr(record, f.name), hints[f.name], f"{what}: {f.name}")


def check_names(given: Iterable[str], known: Iterable[str], what: str, kind: str) -> None:
    """Raise InputError for the first name that is not known, with the nearest one that is."""
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name)[:80], known, 1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"it has {', '.join(sorted(known)) or 'none'}"
            )
            raise InputError(f"{what} has no {kind} {shown(name)}; {hint}")


def check_value(value: Any, hint: Any, what: str) -> Any:
    """Return ``value`` as the type ``hint``: a list as a tuple, an object as its dataclass.

    Raises InputError, which begins with ``what``, for a value of another type.
    """
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        first, *_ = (a for a in arguments if a is not type(None))
        return check_value(value, first, what)
    if origin is Literal:
        return _checked(value, value in arguments, what, _listed(arguments))
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(check_value(v, arguments[0], what) for v in value)
    if is_dataclass(hint):
        is_record = isinstance(value, hint)  # type: ignore[arg-type]
        return value if is_record else record_from_json(hint, value, what)  # type: ignore[arg-type]
    if origin is Mapping and isinstance(value, Mapping):
        named = all(isinstance(key, str) for key in value)
        _checked(value, named, what, "an object with named fields")
        return {key: check_value(v, arguments[1], f"{what}.{key[:80]}") for key, v in value.items()}
    return _checked(value, _is_plain(value, origin), what, _NAMES.get(origin, str(hint)))


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in UTF-8",
    tuple: "a list",
    Mapping: "an object with named fields",
}


def _is_plain(value: Any, kind: Any) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return number and isinstance(value, Integral)
    if kind is float:
        return number
    return kind is str and isinstance(value, str) and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _checked(value: Any, fits: bool, what: str, expected: str) -> Any:
    if not fits:
        raise InputError(f"{what} is {_short(value)}; expected {expected}")
    return value


def _listed(choices: Iterable[Any]) -> str:
    return "one of " + ", ".join(map(str, choices))


def _short(value: Any) -> str:
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
