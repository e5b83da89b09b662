"""This checkout beside another one: the works of ``step``, taking turns pass by pass.

    python -m bench --against FOLDER versus

Each checkout runs in a process of its own, so both are loaded, compiled and warm.  ``ratio`` is the
median over all rounds of ours / theirs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from fcpts_ref.errors import InputError

HERE = Path(__file__).parents[1]
WARM_UP = 3  # rounds


class Side:
    """The process of one checkout."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        options = [str(arguments.batch), str(arguments.threads), arguments.dtype]
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, *options, str(arguments.seed)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.works = self._line().split("|")

    def milliseconds(self, work: str) -> float:
        """Time of one pass."""
        assert self.process.stdin is not None
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; medians in milliseconds and of the ratio, by work."""
    if arguments.against is None or not (arguments.against / "bench" / "works.py").is_file():
        raise InputError(
            f"--against is {arguments.against}; expected the folder of another checkout"
        )
    ours, theirs = sides = Side(HERE, arguments), Side(arguments.against.resolve(), arguments)
    results = {}
    print(f"{'ms':30}{'ours':>10}{'theirs':>10}{'ratio':>8}")
    try:
        for work in (name for name in ours.works if name in theirs.works):
            pairs = []
            for i in range(arguments.rounds + WARM_UP):
                order = sides if i % 2 else sides[::-1]
                times = {side: side.milliseconds(work) for side in order}
                pairs.append((times[ours], times[theirs]))
            results[work] = row = summarise(pairs[WARM_UP:])
            print(f"{work:30}{row['ours']:10.2f}{row['theirs']:10.2f}{row['ratio']:8.3f}")
    finally:
        for side in sides:
            side.close()
    return results


def summarise(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Medians of both sides and of their ratio."""
    ours, theirs = zip(*pairs, strict=True)
    ratio = median(a / b for a, b in pairs)
    return {"ours": median(ours), "theirs": median(theirs), "ratio": ratio}


def serve(batch: int, threads: int, dtype: str, seed: int) -> None:
    """Run one pass of the work that each line of standard input names; print its milliseconds."""
    import numpy as np

    from bench.works import Setting, works

    setting = Setting(batch, threads, np.dtype(dtype).type, seed)
    ours: dict[str, Any] = {name: work()[0] for name, work in works(setting).items()}
    print("|".join(ours), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        ours[line.strip()]()
        print(1e3 * (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
