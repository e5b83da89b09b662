"""This checkout beside another one: the works of ``step``, taking turns pass by pass.

    python -m bench --against FOLDER versus

Each checkout runs in a process of its own, so both are loaded, compiled and warm.  Where a process
finds its memory alone moves its times by up to 3 %, for the same code too: so both are started anew
``--starts`` times.  ``ratio`` is the median over the starts of the median over a start's rounds of
ours / theirs; ``least`` and ``greatest`` are those of the starts.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median

from bench.processes import Process
from fcpts_ref.errors import InputError

HERE = Path(__file__).parents[1]
SERVER = HERE / "bench" / "step_process.py"
WARM_UP = 3  # rounds


class Side(Process):
    """The process of one checkout."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        options = [str(arguments.batch), str(arguments.threads), arguments.dtype]
        super().__init__(
            [sys.executable, "-P", str(SERVER), *options, str(arguments.seed)],
            folder,
            os.environ | {"PYTHONPATH": str(folder)},
        )
        self.works = self.line().split("|")

    def milliseconds(self, work: str) -> float:
        """Time of one pass."""
        return float(self.ask(work))


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; medians in milliseconds and of the ratio, by work."""
    if arguments.against is None or not (arguments.against / "bench" / "works.py").is_file():
        raise InputError(
            f"--against is {arguments.against}; expected the folder of another checkout"
        )
    starts = [_start(arguments) for _ in range(arguments.starts)]
    results = {work: _summarise([pairs[work] for pairs in starts]) for work in starts[0]}
    print(f"{'ms':30}{'ours':>10}{'theirs':>10}{'ratio':>8}{'least':>8}{'greatest':>9}")
    for work, row in results.items():
        print(
            f"{work:30}{row['ours']:10.2f}{row['theirs']:10.2f}{row['ratio']:8.3f}"
            f"{row['least']:8.3f}{row['greatest']:9.3f}"
        )
    return results


def _start(arguments: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Start both processes and measure; (ours, theirs) of each round in milliseconds, by work."""
    ours, theirs = sides = Side(HERE, arguments), Side(arguments.against.resolve(), arguments)
    works = [work for work in ours.works if work in theirs.works and arguments.only in work]
    results: dict[str, list[tuple[float, float]]] = {work: [] for work in works}
    try:
        for work in works:
            for i in range(arguments.rounds + WARM_UP):
                order = sides if i % 2 else sides[::-1]
                times = {side: side.milliseconds(work) for side in order}
                results[work].append((times[ours], times[theirs]))
    finally:
        for side in sides:
            side.close()
    return {work: pairs[WARM_UP:] for work, pairs in results.items()}


def _summarise(starts: list[list[tuple[float, float]]]) -> dict[str, float]:
    """Medians of both sides, and the ratios of the starts."""
    ours, theirs = zip(*(pair for pairs in starts for pair in pairs), strict=True)
    ratios = [median(a / b for a, b in pairs) for pairs in starts]
    return {
        "ours": median(ours),
        "theirs": median(theirs),
        "ratio": median(ratios),
        "least": min(ratios),
        "greatest": max(ratios),
    }
