"""The catalogue of mistakes for people: one mistake in full, a list, and the page of all."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches

from fcpts_ref.errors import InputError, counted
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Mistake, known
from fcpts_ref.oracle.operation_pages import read_operations
from fcpts_ref.oracle.quantities import QUANTITIES
from fcpts_ref.spec.conventions import OPEN_POINTS

WIDTH = 80
PAGE = "docs/mistakes.md"


def find_mistakes(name: str | None, quantity: str | None) -> dict[str, Mistake]:
    """Return the mistake of a name, those of a quantity, or all.

    A name may have a constant, as in a report: "bn-epsilon=0.001".
    Raises InputError for a name or quantity that is not known, with near ones.
    """
    if name is not None:
        mistake = known(name)
        if mistake is None:
            near = get_close_matches(name, [*CATALOGUE, *read_operations()], n=3)
            raise InputError(
                f"no mistake or equation {name!r}; "
                + (f"perhaps {', '.join(near)}" if near else "list them: ")
                + ("" if near else "fcpts-ref explain")
            )
        return {name: mistake}
    if quantity is not None and quantity not in QUANTITIES:
        raise InputError(f"no quantity {quantity!r}; expected one of {', '.join(QUANTITIES)}")
    return {n: m for n, m in CATALOGUE.items() if quantity is None or quantity in m.of}


def format_mistakes(found: Mapping[str, Mistake], name: str | None) -> str:
    """Return one mistake in full if a name was asked for, else a list."""
    if name is not None:
        return _format_one(name, found[name])
    lines = [
        textwrap.fill(f"{n}: {m.text}", WIDTH, subsequent_indent="    ", break_on_hyphens=False)
        for n, m in found.items()
    ]
    return "\n".join(
        [*lines, f"{counted(len(found), 'mistake')}; fcpts-ref explain NAME shows one"]
    )


def _format_one(name: str, mistake: Mistake) -> str:
    lines = [f"{name}: {mistake.text}", "", f"  computes    {mistake.formula}"]
    for kind in mistake.of:
        row = QUANTITIES[kind][2]
        lines.append(f"  right       {row.formula}")
        lines.append(f"              ({kind}; {row.source})")
    if mistake.together:
        lines.append("  shows       in all of these quantities together")
    if mistake.look:
        lines.append(f"  look for    {mistake.look}")
    if mistake.point is not None:
        point = OPEN_POINTS[mistake.point - 1]
        lines += [
            f"  open point  {point.number}: {point.question}",
            f"              paper: {point.paper}",
            f"              released: {point.released}",
        ]
    lines.append(f"  page        {PAGE}#{QUANTITIES[mistake.of[0]][2].name.replace('_', '-')}")
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent=" " * 14, break_on_hyphens=False)
        if len(line) > WIDTH
        else line
        for line in lines
    )


def make_json(found: Mapping[str, Mistake]) -> str:
    """Return mistakes as JSON, by name."""
    return json.dumps({name: asdict(mistake) for name, mistake in found.items()}, indent=1)


def make_page() -> str:
    """Return docs/mistakes.md."""
    lines = [
        "# Known mistakes",
        "",
        f"`fcpts-ref diverge` knows {counted(len(CATALOGUE), 'mistake')} by the values that they "
        "give ([oracle.md](oracle.md#the-report-of-diverge));",
        "`fcpts-ref explain NAME` shows one of them. This page is made from",
        "`fcpts_ref/oracle/mistakes/catalogue.toml` by `python -m tools.mistakes_page`.",
    ]
    for kind, (_, _, row) in QUANTITIES.items():
        found = {n: m for n, m in CATALOGUE.items() if m.of[0] == kind}
        if not found:
            continue
        lines += ["", f"## {kind.replace('_', '-')}", "", f"Right: `{row.formula}` ({row.source})."]
        lines += ["", "| name | mistake | computes | look for | point |", "|---|---|---|---|---|"]
        lines += [_row(name, mistake) for name, mistake in found.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, mistake: Mistake) -> str:
    cells = (f"`{name}`", mistake.text, mistake.formula, mistake.look, mistake.point or "")
    return "| " + " | ".join(_escaped(str(cell)) for cell in cells) + " |"


def _escaped(text: str) -> str:
    for sign, entity in (("|", "&#124;"), ("*", "\\*"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return text
