"""Fuzz every reader of files: ``python -m tools.fuzz --seconds N [--targets NAME ...]``.

The time is shared by the targets.  Inputs that fail are kept in build/fuzz/TARGET/; put them into
tools/fuzz/corpus/TARGET/ when the fault is mended.  Exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tools.fuzz.targets import TARGETS

BUILD = Path("build/fuzz")
PROGRESS = re.compile(r"cov: (\d+) ft: (\d+)")
RUNS = re.compile(r"number_of_executed_units: (\d+)")
PEAK = re.compile(r"peak_rss_mb: (\d+)")


class Outcome(NamedTuple):
    """What fuzzing a target came to; edges and features: libFuzzer's measures of coverage."""

    target: str
    runs: int
    edges: int
    features: int
    peak: int
    failed: str

    def row(self) -> str:
        """Return the outcome as a line of a table."""
        numbers = f"{self.runs:>11,} {self.edges:>7,} {self.features:>9,} {self.peak:>5,}"
        return f"{self.target:<14} {numbers}  {self.failed or '-'}"


def main() -> int:
    """Fuzz, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="of all targets (default: 120)")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    arguments = parser.parse_args()
    if find_spec("atheris") is None:
        parser.error("atheris is not installed; install it with: pip install -e '.[fuzz]'")
    each = max(1, arguments.seconds // len(arguments.targets))
    print(f"{'target':<14} {'inputs':>11} {'edges':>7} {'features':>9} {'MiB':>5}  failed")
    outcomes = []
    for target in arguments.targets:
        outcomes.append(fuzz(target, each))
        print(outcomes[-1].row(), flush=True)
    print(f"{sum(one.runs for one in outcomes):,} inputs in {each * len(outcomes)} s")
    return 1 if any(one.failed for one in outcomes) else 0


def fuzz(target: str, seconds: int) -> Outcome:
    """Fuzz one target in a process of its own."""
    folder = BUILD / target
    words = [sys.executable, "-m", "tools.fuzz.one", target, str(folder), str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text(done.stderr, encoding="utf-8")
    seen = PROGRESS.findall(done.stderr) or [(0, 0)]
    runs, peak = (found.search(done.stderr) for found in (RUNS, PEAK))
    return Outcome(
        target,
        int(runs[1]) if runs else 0,
        int(seen[-1][0]),
        int(seen[-1][1]),
        int(peak[1]) if peak else 0,
        f"code {done.returncode}, see {folder}/log.txt" if done.returncode else "",
    )


if __name__ == "__main__":
    sys.exit(main())
