"""Executors of runs: one after the other in this process, or several in processes of their own.

Both have the interface of ``concurrent.futures.Executor``, as others that ``run_grid`` takes have.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fcpts_ref
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import run_or_resume
from fcpts_ref.experiments.summary import Summary, read_summary

RUN_MEMORY = 4 << 30
"""Bytes that a run may take: POT on 10,240 CIFAR images holds three values of a whole layer."""
THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Here(Executor):
    """Runs what is submitted at once, in this process; Ctrl-C is raised by ``submit``.

    more: arguments that every call is given.
    """

    def __init__(self, **more: Any) -> None:
        self._more = more

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call it and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **kwargs, **self._more))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(ThreadPoolExecutor):
    """Runs jobs in processes of their own, at most ``jobs`` at a time.

    Each is started with the package that runs here, whatever the working folder holds, and ends
    when this process does.  threads: of each, for Numba and BLAS; default an equal share of the
    cores.
    """

    def __init__(self, jobs: int, threads: int | None = None) -> None:
        super().__init__(max_workers=jobs)
        self._share = threads or max(1, cores() // jobs)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start ``run_or_resume(job, folder)`` in a process; it is the only call there is."""
        if call is not run_or_resume:
            raise TypeError(f"Processes starts run_or_resume only, not {call!r}")
        return super().submit(self._run, *args, **kwargs)

    def interrupt(self) -> None:
        """Have every run finish its step and write what it has, as on Ctrl-C."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGINT)

    def _run(self, job: Job, folder: Path, *, threads: int | None = None) -> Summary:
        """Run one job in a process and wait for it."""
        with self._lock:
            if self._stopped:
                raise InputError("stopped before it began")
            process = self._start()
            self._running.add(process)
        try:
            order = {"job": job.to_json(), "folder": str(folder), "threads": threads}
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()  # and it stays open: the process ends when it closes
            answer = process.stdout.read()
            code = process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    stream.close()  # type: ignore[union-attr]
        if code != 0:
            raise InputError(answer.strip() or _ended(code))
        return read_summary(folder)

    def _start(self) -> subprocess.Popen[str]:
        """A new session, so that the terminal's Ctrl-C reaches it once, from ``interrupt``."""
        package = str(Path(fcpts_ref.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        limits = dict.fromkeys(THREAD_VARIABLES, str(self._share))
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "fcpts_ref.experiments.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, **limits, "PYTHONPATH": path},
            start_new_session=True,
        )


def _ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed, perhaps for want of memory; run fewer at a time"
    return f"its process ended with code {code}; run it alone to see why"


def allowed_jobs(jobs: int, note: Callable[[str], None]) -> int:
    """Return ``jobs``, but no more than cores, or memory for them, and at least one.

    note: receives a line if it is fewer.
    """
    memory = free_memory()
    fitting = memory // RUN_MEMORY if memory is not None else jobs
    allowed = max(1, min(jobs, cores(), fitting))
    if allowed < jobs:
        note(f"{allowed} instead of {jobs} cells at a time: {cores()} cores, memory for {fitting}")
    return allowed


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes that new processes can have; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
