"""A known mistake: its name, what a program does that makes it, and the formula that results."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, base_of

Found = Array | Callable[[], Array] | Constant
"""The value that a mistake gives: at once, on demand, or with a constant."""

Values = Callable[[Evidence], Iterator[tuple[str, Found]]]
"""For a quantity: the names of mistakes, each with the value that it gives."""


@dataclass(frozen=True)
class Mistake:
    """text: one line for the report.  formula: what is computed with it.

    of: the quantities in which it shows.  look: where in a program, or in which call of a library,
    it usually hides.  point: the number of the open point that it is another reading of, if any.
    together: it shows in all of them, so one that is right excludes it.
    everywhere: it shows in all items of a quantity, so one that is right excludes it.
    general: how little it says about a program; it is named only where no mistake that says more
    explains the values.  A general mistake is one of a single quantity.
    """

    text: str
    formula: str
    of: tuple[str, ...]
    look: str = ""
    point: int | None = None
    together: bool = False
    everywhere: bool = False
    general: int = 0


def read_catalogue() -> dict[str, Mistake]:
    """Return every mistake by its name, in the order of computation."""
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    return {
        name: Mistake(**{**row, "of": tuple(row["of"])})
        for name, row in tomllib.loads(text).items()
    }


CATALOGUE = read_catalogue()


def known(name: str) -> Mistake | None:
    """Return the mistake of a name, with or without a constant such as "=0.1"."""
    return CATALOGUE.get(base_of(name))
