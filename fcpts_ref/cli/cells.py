"""Running the cells of a comparison: each one a ``fcpts-ref sparsify`` process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from fcpts_ref.cli.pruning import COMMAND
from fcpts_ref.experiments.compare import Cell
from fcpts_ref.experiments.interrupts import held_interrupts

CELL_MEMORY = 4 << 30
"""Bytes that a cell may take: POT on 10,240 CIFAR images holds three values of a whole layer."""
POLL = 0.2  # seconds between two looks at the processes


def run_cells(
    cells: Sequence[Cell], out: Path, *, jobs: int, threads: int | None, quiet: bool
) -> tuple[dict[str, str], bool]:
    """Runs cells, ``jobs`` at a time at most.

    Returns the messages of those that failed, and whether Ctrl-C ended it: then every process got
    one SIGINT and wrote what it had.
    """
    jobs = allowed_jobs(jobs)
    share = threads or (max(1, cores() // jobs) if jobs > 1 else None)
    waiting, failures = list(cells), dict[str, str]()
    running: dict[Cell, subprocess.Popen[str]] = {}
    show = jobs == 1 and not quiet
    stopped = False
    with tqdm(total=len(cells), desc="cells", unit="cell", disable=quiet or show) as bar:
        try:
            with held_interrupts() as check:
                while waiting or running:
                    while waiting and len(running) < jobs:
                        cell = waiting.pop(0)
                        if show:
                            number = len(cells) - len(waiting)
                            print(f"[{number}/{len(cells)}] {cell.name}", file=sys.stderr)
                        running[cell] = _start(cell, out, share, show)
                    for cell in _ended(running):
                        _note(cell, running.pop(cell), failures)
                        bar.update()
                    check()
        except KeyboardInterrupt:
            stopped = True
            _stop(running)
    return failures, stopped


def allowed_jobs(jobs: int) -> int:
    """As many as asked for, but no more than cores, or memory for them, and at least one."""
    memory = _free_memory()
    fitting = memory // CELL_MEMORY if memory is not None else jobs
    allowed = max(1, min(jobs, cores(), fitting))
    if allowed < jobs:
        print(
            f"fcpts-ref: {allowed} instead of {jobs} cells at a time: {cores()} cores, memory for "
            f"{fitting}",
            file=sys.stderr,
        )
    return allowed


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory() -> int | None:
    """Bytes that new processes can have; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _start(cell: Cell, out: Path, threads: int | None, show: bool) -> subprocess.Popen[str]:
    """A new session, so that Ctrl-C reaches the process once, from here."""
    folder = out / cell.folder
    words = ["--no-baselines", *cell.arguments, "--out", str(folder)]
    if (folder / COMMAND).exists():
        words = ["--resume", str(folder)]
    words += ["--threads", str(threads)] if threads else []
    words += [] if show else ["--quiet"]
    return subprocess.Popen(
        [sys.executable, "-m", "fcpts_ref", "sparsify", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if show else subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _ended(running: dict[Cell, subprocess.Popen[str]]) -> list[Cell]:
    first = next(iter(running.values()))
    with contextlib.suppress(subprocess.TimeoutExpired):
        first.wait(POLL)
    return [cell for cell, process in running.items() if process.poll() is not None]


def _note(cell: Cell, process: subprocess.Popen[str], failures: dict[str, str]) -> None:
    message = process.stderr.read().strip() if process.stderr else ""
    if process.stderr:
        process.stderr.close()
    if process.returncode != 0:
        last = message.splitlines()[-1] if message else f"ended with code {process.returncode}"
        failures[cell.name] = last


def _stop(running: dict[Cell, subprocess.Popen[str]]) -> None:
    """One SIGINT to every process, and all the time they need to write what they have."""
    for process in running.values():
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    for process in running.values():
        process.wait()
        if process.stderr:
            process.stderr.close()
