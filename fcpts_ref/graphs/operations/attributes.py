"""Attributes of nodes: their types, defaults and checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any, Final

from fcpts_ref.errors import InputError
from fcpts_ref.layers.padding import Sides, as_padding

REQUIRED: Final = object()


@dataclass(frozen=True)
class SameAs:
    """A default: the value of another attribute, which is declared earlier."""

    name: str


@dataclass(frozen=True)
class Attribute:
    """The check and the default of one attribute.

    check(value) returns the value in its canonical form, or raises ValueError or TypeError; its
    docstring completes "expected ..." in error messages.
    """

    check: Callable[[Any], Any]
    default: Any = REQUIRED


def size(value: Any) -> int:
    """an integer of at least 1"""
    return _integer(value, lowest=1)


def count(value: Any) -> int:
    """an integer of at least 0"""
    return _integer(value, lowest=0)


def sizes(value: Any) -> tuple[int, int]:
    """an integer of at least 1, or two: vertical, then horizontal"""
    return _pair(value, lowest=1)


def counts(value: Any) -> tuple[int, int]:
    """an integer of at least 0, or two: vertical, then horizontal"""
    return _pair(value, lowest=0)


def paddings(value: Any) -> Sides:
    """an integer of at least 0, two (vertical, horizontal), or four (top, left, bottom, right)"""
    numbers = value if isinstance(value, tuple | list) else (value,)
    return as_padding(tuple(_integer(number, lowest=0) for number in numbers))


def integer(value: Any) -> int:
    """an integer"""
    return _integer(value, lowest=-(2**31))


def integers(value: Any) -> tuple[int, ...]:
    """a list of integers"""
    return tuple(map(integer, _list(value)))


def count_list(value: Any) -> tuple[int, ...]:
    """a list of integers of at least 0"""
    return tuple(map(count, _list(value)))


def flag(value: Any) -> bool:
    """true or false"""
    if not isinstance(value, bool):
        raise TypeError
    return value


def share(value: Any) -> float:
    """a number from 0 to 1"""
    return _number(value, 0.0, 1.0)


def amount(value: Any) -> float:
    """a finite number of at least 0"""
    return _number(value, 0.0, math.inf)


def number(value: Any) -> float:
    """a finite number"""
    return _number(value, -math.inf, math.inf)


def numbers(value: Any) -> tuple[float, ...]:
    """a list of finite numbers"""
    return tuple(map(number, _list(value)))


def choice(*names: str) -> Callable[[Any], str]:
    """Return the check that a value is one of these names."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError
        return value

    check.__doc__ = f"one of {', '.join(names)}"
    return check


def complete(declared: Mapping[str, Attribute], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all declared attributes: the given ones, checked, and defaults for the others.

    Raises InputError for an unknown name, a missing value or one of the wrong type.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise InputError(
            f"has no attribute {unknown[0][:80]!r}; expected "
            + (f"one of {', '.join(declared)}" if declared else "none")
        )
    result: dict[str, Any] = {}
    for name, attribute in declared.items():
        if name in given:
            result[name] = _checked(name, attribute, given[name])
        elif attribute.default is REQUIRED:
            raise InputError(f"lacks the attribute {name!r}; expected {_expected(attribute)}")
        elif isinstance(attribute.default, SameAs):
            result[name] = result[attribute.default.name]
        else:
            result[name] = attribute.default
    return result


def _checked(name: str, attribute: Attribute, value: Any) -> Any:
    try:
        return attribute.check(value)
    except (TypeError, ValueError) as error:  # InputError is a ValueError
        raise InputError(
            f"has {name} {str(value)[:80]!r}; expected {_expected(attribute)}"
        ) from error


def _expected(attribute: Attribute) -> str:
    return str(attribute.check.__doc__)


def _integer(value: Any, lowest: int) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = index(value)
    if not lowest <= number < 2**31:
        raise ValueError
    return number


def _pair(value: Any, lowest: int) -> tuple[int, int]:
    vertical, horizontal = value if isinstance(value, tuple | list) else (value, value)
    return _integer(vertical, lowest), _integer(horizontal, lowest)


def _list(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError
    return tuple(value)


def _number(value: Any, lowest: float, highest: float) -> float:
    if isinstance(value, bool | str):
        raise TypeError
    number = float(value)
    if not (lowest <= number <= highest and math.isfinite(number)):
        raise ValueError
    return number
