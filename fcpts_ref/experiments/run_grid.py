"""Run the cells of a grid on an executor, and stop them cleanly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.grid import Cell
from fcpts_ref.experiments.interrupts import held_interrupts
from fcpts_ref.experiments.run import run_or_resume
from fcpts_ref.experiments.summary import Summary

POLL = 0.2  # seconds between two checks for Ctrl-C


def run_grid(
    cells: Sequence[Cell],
    out: Path,
    executor: Executor,
    *,
    threads: int | None = None,
    on_done: Callable[[], object] = lambda: None,
) -> tuple[dict[str, str], bool]:
    """Run or resume each cell in its folder under ``out``.

    executor: with the interface of ``concurrent.futures``; it receives
    ``submit(run_or_resume, job, folder, threads=threads)``.  Its method ``interrupt``, if it has
    one, is called on Ctrl-C; every cell then stores its last stage.  on_done: called after every
    cell.
    Returns the messages of the cells that failed by name, and whether Ctrl-C stopped the grid.
    """
    failures: dict[str, str] = {}
    running: dict[Future[Summary], Cell] = {}
    waiting = list(cells)
    try:
        with held_interrupts() as check:
            while waiting or running:
                if waiting:
                    cell = waiting.pop(0)
                    folder = out / cell.folder
                    future = executor.submit(run_or_resume, cell.job, folder, threads=threads)
                    running[future] = cell
                done, _ = wait(running, 0 if waiting else POLL, FIRST_COMPLETED)
                for future in done:
                    cell = running.pop(future)
                    if message := _failure(future):
                        failures[cell.name] = message
                    on_done()
                check()
    except KeyboardInterrupt:
        for future in running:
            future.cancel()
        getattr(executor, "interrupt", lambda: None)()
        wait(running)
        return failures, True
    return failures, False


def _failure(future: Future[Summary]) -> str:
    """Return the message of a failed cell, else "".  Raises KeyboardInterrupt for a stopped one."""
    error = future.exception()
    if error is None:
        if not future.result().complete:
            raise KeyboardInterrupt
        return ""
    if not isinstance(error, Exception):
        raise error
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__}: {error}"
