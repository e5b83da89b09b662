"""Tables that line up in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.errors import printable


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a table whose first ``left`` columns are flush left and the others flush right."""
    lines = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (lines[0], rule, *lines[1:])
    )


def percent(share: float, digits: int = 2) -> str:
    """Format a share as a percentage: 0.9 is "90.00 %"."""
    return f"{100 * share:.{digits}f} %"


def points(difference: float) -> str:
    """Format a difference of two shares in percentage points, with its sign."""
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # never -0.00
