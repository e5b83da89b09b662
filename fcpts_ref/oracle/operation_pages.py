"""The equations that the conformance vectors test, for people: one in full, and the page of all."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fcpts_ref.errors import counted
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE
from fcpts_ref.oracle.vectors import Case, load_cases
from fcpts_ref.spec.conventions import OPEN_POINTS

WIDTH = 80
INDENT = " " * 14
PAGE = "docs/operations-of-vectors.md"


@dataclass(frozen=True)
class WrongReading:
    """does: what an implementation does.  gives: the formula.  case: the id of one that fails."""

    does: str
    gives: str
    case: str


@dataclass(frozen=True)
class Operation:
    """text: one line.  formula: what is right.  code: the dotted name of this package's function.

    of: the quantity of a traced step that it computes, empty if there is none.  wrong: common
    mistakes, beside those of the quantity.
    """

    text: str
    formula: str
    code: str
    of: str = ""
    wrong: tuple[WrongReading, ...] = ()


@cache
def read_operations() -> dict[str, Operation]:
    """Return every equation of the vectors by the name of its operation."""
    rows = tomllib.loads(Path(__file__).with_name("operations.toml").read_text(encoding="utf-8"))
    return {
        name: Operation(**{**row, "wrong": tuple(WrongReading(**w) for w in row.get("wrong", ()))})
        for name, row in rows.items()
    }


def operations_of_equation(name: str) -> list[str]:
    """Return the operations of an equation of the paper: "eq04", "4" or "Equation 4"."""
    number = re.fullmatch(r"(?:eq(?:uation)?\.?)? ?0*(\d{1,2})", name.lower())
    source = f"Equation {number[1]}" if number else None
    return list(dict.fromkeys(case.operation for case in load_cases() if case.source == source))


def format_operations(names: Sequence[str]) -> str:
    """Return some operations, one line each."""
    lines = [
        textwrap.fill(f"{name}: {read_operations()[name].text}", WIDTH, subsequent_indent="    ")
        for name in names
    ]
    return "\n".join(
        [*lines, f"{counted(len(names), 'operation')}; fcpts-ref explain NAME shows one"]
    )


def format_operation(name: str, operation: Operation) -> str:
    """Return the page of one operation: formula, source, code, cases and mistakes."""
    cases = [case for case in load_cases() if case.operation == name]
    points = sorted({point for case in cases for point in case.conventions})
    lines = [
        f"{name}: {operation.text}",
        "",
        f"  right       {operation.formula}",
        f"  source      {'; '.join(_sources(cases))}",
        f"  code        {operation.code}",
        f"  takes       {', '.join(_names(cases, 'inputs'))}",
        f"  gives       {', '.join(_names(cases, 'outputs'))}",
        *(f"  open point  {p}: {OPEN_POINTS[p - 1].question}" for p in points[:3]),
        f"  cases       {_counted(cases)}",
        f"              fcpts-ref conform list --only {name}",
    ]
    for wrong in operation.wrong:
        lines.append(f"  mistake     {wrong.does}: {wrong.gives} ({wrong.case})")
    if operation.of:
        known = [mistake for mistake, row in CATALOGUE.items() if operation.of in row.of]
        lines.append(
            f"  mistakes    {len(known)} of {operation.of}; fcpts-ref explain --of {operation.of}"
        )
    lines.append(f"  page        {PAGE}#{name.replace('_', '-')}")
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent=INDENT, break_on_hyphens=False)
        for line in lines
    )


def operations_json(names: Sequence[str]) -> str:
    """Return operations as JSON, with the ids of their cases."""
    return json.dumps({name: _entry(name) for name in names}, indent=1)


def _entry(name: str) -> dict[str, Any]:
    cases = [case for case in load_cases() if case.operation == name]
    return asdict(read_operations()[name]) | {
        "sources": _sources(cases),
        "inputs": _names(cases, "inputs"),
        "outputs": _names(cases, "outputs"),
        "cases": [case.id for case in cases],
    }


def make_operations_page() -> str:
    """Return docs/operations-of-vectors.md."""
    lines = [
        "# The equations of the conformance vectors",
        "",
        "`fcpts-ref explain NAME` shows one of them, with its cases. A mistake is followed by a",
        "case that shows it. This page is made from `fcpts_ref/oracle/operations.toml` by",
        "`python -m tools.mistakes_page`.",
    ]
    by_name: dict[str, list[Case]] = {}
    for case in load_cases():
        by_name.setdefault(case.operation, []).append(case)
    for name, operation in read_operations().items():
        sources = "; ".join(_sources(by_name[name]))
        lines += [
            "",
            f"## {name.replace('_', '-')}",
            "",
            f"{_sentence(operation.text)} ({sources}).",
        ]
        lines += ["", f"Right: `{operation.formula}`; `{operation.code}`."]
        if operation.of:
            lines += ["", f"Mistakes: see [{operation.of}](mistakes.md{_anchor(operation.of)})."]
        if operation.wrong:
            lines += ["", "| mistake | computes | case |", "|---|---|---|"]
            lines += [_row(wrong) for wrong in operation.wrong]
    return "\n".join(lines) + "\n"


def _anchor(quantity: str) -> str:
    """Return the anchor of a quantity in mistakes.md, which has sections for most of them."""
    has_section = any(mistake.of[0] == quantity for mistake in CATALOGUE.values())
    return f"#{quantity.replace('_', '-')}" if has_section else ""


def _row(wrong: WrongReading) -> str:
    cells = (wrong.does, f"`{wrong.gives}`", f"`{wrong.case}`")
    return "| " + " | ".join(cell.replace("|", "&#124;") for cell in cells) + " |"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _sources(cases: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(case.source for case in cases))


def _names(cases: Sequence[Case], field: str) -> list[str]:
    return list(dict.fromkeys(name for case in cases for name in getattr(case, field)))


def _counted(cases: Sequence[Case]) -> str:
    flags = [flag for case in cases for flag in case.flags]
    parts = [f"{flags.count(flag)} {flag}" for flag in dict.fromkeys(flags)]
    return str(len(cases)) + (f", of them {', '.join(parts)}" if parts else "")
