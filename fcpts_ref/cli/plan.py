"""``compare --plan``: the cells of a grid, and how long those that are missing may take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fcpts_ref.cli.tables import table
from fcpts_ref.errors import counted
from fcpts_ref.experiments.grid import Cell
from fcpts_ref.experiments.summary import is_complete, read_summary
from fcpts_ref.experiments.tables import duration


@dataclass(frozen=True)
class Row:
    """The cells of a network and a method; seconds: of a finished one, None if there is none."""

    network: str
    method: str
    cells: int
    finished: int
    seconds: float | None

    @property
    def left(self) -> float | None:
        """The seconds of the missing cells, one at a time, if they are known."""
        missing = self.cells - self.finished
        return 0.0 if not missing else None if self.seconds is None else missing * self.seconds


def plan_of(cells: Sequence[Cell], out: Path) -> list[Row]:
    """Return a row for every network and method, from the runs that are finished in ``out``."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.network, cell.method), []).append(cell)
    rows = []
    for (network, method), own in groups.items():
        done = [out / cell.folder for cell in own if is_complete(out / cell.folder)]
        spent = [read_summary(folder).seconds for folder in done]
        mean = sum(spent) / len(spent) if spent else None
        rows.append(Row(network, method, len(own), len(done), mean))
    return rows


def show_plan(rows: Sequence[Row], jobs: int, *, as_json: bool) -> None:
    """Print the plan; jobs: cells that run at a time."""
    known = [row.left for row in rows if row.left is not None]
    unknown = sum(row.cells for row in rows if row.left is None)
    total = sum(known) / jobs
    if as_json:
        plain = [{**vars(row), "left": row.left} for row in rows]
        print(json.dumps({"rows": plain, "seconds_left": total, "unknown": unknown}, indent=2))
        return
    head = ("network", "method", "cells", "finished", "one takes", "left")
    cells = [
        (
            row.network,
            row.method,
            str(row.cells),
            str(row.finished),
            "" if row.seconds is None else duration(row.seconds),
            "?" if row.left is None else duration(row.left),
        )
        for row in rows
    ]
    print(table(head, cells, left=2))
    missing = sum(row.cells - row.finished for row in rows)
    text = f"\n{counted(missing, 'cell')} to run, {jobs} at a time"
    if unknown < missing:
        text += f", about {duration(total)}"
    if unknown:
        text += f"; {counted(unknown, 'cell')} of unknown time: run one of each, then ask again"
    print(text)
