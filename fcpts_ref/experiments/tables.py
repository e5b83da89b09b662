"""The lines of a comparison as text for a terminal, Markdown or HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fcpts_ref.experiments.outcomes import Line

HEADER = (
    *("method", "rate", "n", "top-1", "mAP", "drop", "paper's", "its drop", "agree", "KL", "time"),
)


def table_of(lines: Sequence[Line]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows, without empty columns."""
    rows = [_cells(line) for line in lines]
    used = [i for i in range(len(HEADER)) if any(row[i] for row in rows)]
    return tuple(HEADER[i] for i in used), [tuple(row[i] for i in used) for row in rows]


def _cells(line: Line) -> tuple[str, ...]:
    """Return the cells of a line under ``HEADER``: percent, percentage points, durations."""
    spread = "" if line.spread is None else f" ±{100 * line.spread:.2f}"
    return (
        line.method,
        f"{100 * line.rate:.4g}",
        str(line.seeds),
        number(line.top1) + (spread if line.measure == "top-1" else ""),
        number(line.mean_precision) + (spread if line.measure == "mAP" else ""),
        number(line.drop),
        number(line.paper_top1),
        number(line.paper_drop),
        number(line.agreement),
        "" if line.divergence is None else f"{line.divergence:.3f}",
        duration(line.seconds),
    )


def headed(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """Return the lines of every network with a heading that gives its dense score."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.network, line.data), []).append(line)
    result = []
    for (network, data), own in groups.items():
        result.append((f"{network} on {data}{_dense(own[0])}", own))
    return result


def _dense(line: Line) -> str:
    """Return the dense network's score for a heading, "" if it is not known."""
    if line.dense_score is None:
        return ""
    named = "mAP " if line.measure == "mAP" else ""
    return f", dense {named}{number(line.dense_score)} %"


def number(share: float | None) -> str:
    """Format a share in percent with two decimals; "" for None and NaN."""
    return "" if share is None or math.isnan(share) else f"{100 * share:.2f}"


def duration(seconds: float) -> str:
    """Format a duration as 42 s, 3:05 min or 1:02 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"
