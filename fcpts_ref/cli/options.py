"""Options that several commands share."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.spec.conventions import CHOICES, Conventions


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """--seed, --engine, --threads."""
    group = parser.add_argument_group("computing")
    add_seed_option(group)
    group.add_argument(
        "--engine",
        choices=("numba", "numpy"),
        default="numba",
        help="fast kernels, or the plain specification (default: numba)",
    )
    group.add_argument(
        "--threads", type=int, help="for numba; the results do not depend on it (default: all)"
    )


def add_seed_option(group: Any) -> None:
    """--seed."""
    group.add_argument("--seed", type=seed, default=0, help="of all randomness (default: 0)")


def seed(text: str) -> int:
    """A whole number that is not negative, as NumPy's generators want it, for ``argparse``."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative; expected 0 or more")
    return number


def at_least_one(text: str) -> int:
    """A whole number from 1 on, for ``argparse``."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; expected 1 or more")
    return number


def choices_of(said: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs as conventions, each in the type of its field.

    Raises InputError for an unknown name or a value of another type.
    """
    defaults = {f.name: f.default for f in fields(Conventions)}
    result: dict[str, Any] = {}
    for pair in said:
        name, found, text = pair.partition("=")
        if not found or name not in defaults:
            raise InputError(
                f"--choose {pair}: expected NAME=VALUE with a convention's name: "
                f"{', '.join(defaults)}"
            )
        result[name] = _converted(name, text, defaults[name])
    return result


def _converted(name: str, text: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        return text if isinstance(default, str) else type(default)(text)
    except (KeyError, ValueError) as error:
        expected = "true or false" if isinstance(default, bool) else type(default).__name__
        allowed = f" ({', '.join(CHOICES[name])})" if name in CHOICES else ""
        raise InputError(f"--choose {name}={text}: expected {expected}{allowed}") from error
