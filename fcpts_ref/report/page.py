"""A self-contained HTML page with figures and tables that sort; it loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from fcpts_ref.report.sorting import SCRIPT, SCRIPT_SHA256

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{SCRIPT_SHA256}'"
)
"""What a browser may do: run the script that sorts, and load nothing."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #1b1b1b;
  background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, figcaption { max-width: 46rem; } figcaption, .note { color: #555; font-size: .9rem; }
figure { margin: 1rem 0 2rem; } img { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #888; white-space: nowrap; } td { white-space: nowrap; }
.left { text-align: left; }
tbody tr:nth-child(even) { background: #f6f7f9; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid #0072B2; }
th button::after { content: "\\2195"; color: #767676; padding-left: .25em; }
th[aria-sort=ascending] button::after { content: "\\2191"; color: inherit; }
th[aria-sort=descending] button::after { content: "\\2193"; color: inherit; }
@media (max-width: 40rem) { body { margin: 1rem auto; font-size: 17px; } h1 { font-size: 1.4rem; }
  th, td { padding: .3rem .5rem; } th:first-child, td:first-child { position: sticky; left: 0;
  background: #fff; min-width: 7rem; white-space: normal; overflow-wrap: break-word; }
  figure { overflow-x: auto; } figure img { min-width: 34rem; } }
code { font-size: .9em; overflow-wrap: anywhere; }
@media print { body { max-width: none; } figure, table { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Heading:
    """A heading of the page."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph, or a note in smaller type."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first ``left`` columns are flush left, the others flush right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


@dataclass(frozen=True)
class Picture:
    """An SVG file that the page embeds; the caption is also its alternative text."""

    path: Path
    caption: str


Part = Heading | Text | Table | Picture


def make_page(title: str, parts: Sequence[Part]) -> str:
    """Return the whole page; all texts are escaped."""
    body = "\n".join(_render(part) for part in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _render(part: Part) -> str:
    if isinstance(part, Heading):
        return f"<h{part.level}>{escape(part.text)}</h{part.level}>"
    if isinstance(part, Text):
        return f"<p{' class=note' if part.note else ''}>{escape(part.text)}</p>"
    if isinstance(part, Table):
        head = _headings(part.header, part.left)
        rows = "\n".join(f"<tr>{_cells('td', row, part.left)}</tr>" for row in part.rows)
        return (
            f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{rows}\n</tbody>\n</table></div>"
        )
    content = base64.b64encode(part.path.read_bytes()).decode("ascii")
    caption = escape(part.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/svg+xml;base64,{content}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _headings(texts: Sequence[str], left: int) -> str:
    """Return the headings of a table's columns, each a button that sorts by it."""
    return "".join(
        f'<th scope="col"{" class=left" if i < left else ""}>'
        f'<button type="button">{escape(text)}</button></th>'
        for i, text in enumerate(texts)
    )


def _cells(tag: str, texts: Sequence[str], left: int) -> str:
    return "".join(
        f"<{tag}{' class=left' if i < left else ''}>{escape(text)}</{tag}>"
        for i, text in enumerate(texts)
    )
