"""Executors of runs: sequentially in this process, or several in separate processes.

Both have the interface of ``concurrent.futures.Executor``; ``run_grid`` accepts any other as well.
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
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import run_or_resume
from fcpts_ref.experiments.summary import Summary, read_summary
from fcpts_ref.memory import free_memory

RUN_MEMORY = 4 << 30
"""Bytes that a run may take: POT on 10,240 CIFAR images holds three activations of a layer."""
THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Here(Executor):
    """Runs each call immediately, in this process; ``submit`` raises KeyboardInterrupt on Ctrl-C.

    more: arguments added to every call.
    """

    def __init__(self, **more: Any) -> None:
        self._more = more

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the call and return a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **kwargs, **self._more))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(ThreadPoolExecutor):
    """Runs jobs in separate processes, at most ``jobs`` at a time.

    Each imports the package of this process, whatever the working folder contains, and ends when
    this process does.  threads: of each, for Numba and BLAS; by default an equal share of the
    cores.
    """

    def __init__(self, jobs: int, threads: int | None = None) -> None:
        super().__init__(max_workers=jobs)
        self._share = threads or max(1, cores() // jobs)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start ``run_or_resume(job, folder)``, the only call that is supported, in a process."""
        if call is not run_or_resume:
            raise TypeError(f"Processes starts run_or_resume only, not {call!r}")
        return super().submit(self._run, *args, **kwargs)

    def interrupt(self) -> None:
        """Let every run finish its step and store its last stage, as on Ctrl-C."""
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
                process.stdin.flush()  # keep it open: the process ends when it closes
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
        """Start a process in a new session, so that Ctrl-C reaches it only from ``interrupt``."""
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
        return "its process was killed, perhaps for lack of memory; run fewer cells at a time"
    return f"its process ended with code {code}; run the cell alone to see why"


def allowed_jobs(jobs: int, note: Callable[[str], None]) -> int:
    """Return ``jobs``, limited by the cores and by free memory, but at least 1.

    note: receives one line if the number is lower.
    """
    memory = free_memory()
    fitting = memory // RUN_MEMORY if memory is not None else jobs
    allowed = max(1, min(jobs, cores(), fitting))
    if allowed < jobs:
        note(
            f"{allowed} instead of {counted(jobs, 'cell')} at a time: {cores()} cores, memory for "
            f"{fitting}"
        )
    return allowed


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
