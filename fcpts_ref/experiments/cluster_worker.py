"""The part of a cluster's executor that runs on its workers.

A session is a plugin of every worker, those that join later included.  It holds the folder of
inputs, and a flag that asks the cells to stop; cells on one worker take turns, each with all of the
worker's threads.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Worker, WorkerPlugin, get_worker

from fcpts_ref.engines.blas_threads import blas_limit
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import run_or_resume
from fcpts_ref.experiments.shipping import (
    Needed,
    find_packed,
    pack_run,
    program_sha256,
    put_inputs,
    unpack_run,
)
from fcpts_ref.pruning.method import OnStep, StepReport

REPORT_SECONDS = 1.0
"""Time between two reports of a cell's progress."""


@dataclass(frozen=True)
class Order:
    """A cell to run: its job, what it reads, and the files of an earlier session of it.

    threads: at most these; None for all of the worker's.  program: ``program_sha256`` of the
    client.  shared: a folder that holds the inputs; None for the session's own.
    """

    cell: int
    job: Job
    needed: Needed
    files: Mapping[str, bytes]
    threads: int | None
    program: str
    shared: str | None


class Session(WorkerPlugin):  # type: ignore[misc]
    """A client's folder and flag on every worker."""

    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self, worker: Worker) -> None:
        """Make the folder for inputs."""
        self.folder = Path(tempfile.mkdtemp(prefix="fcpts-ref-", dir=worker.local_directory))
        self.stopped = threading.Event()
        self.given_up: set[int] = set()  # cells that ended more workers than allowed
        self.turn = threading.Lock()

    def stops(self, cell: int) -> bool:
        """Return whether a cell should end."""
        return self.stopped.is_set() or cell in self.given_up

    def teardown(self, worker: Worker) -> None:
        """Ask running cells to stop, and remove the folder."""
        self.stopped.set()
        shutil.rmtree(self.folder, ignore_errors=True)


class Delivery(WorkerPlugin):  # type: ignore[misc]
    """An input that every worker receives once; it leaves with the session."""

    def __init__(self, session: str, sha256: str, content: bytes) -> None:
        self.name = f"{session}-{sha256}"
        self._session, self._sha256, self._content = session, sha256, content

    def setup(self, worker: Worker) -> None:
        """Write the file, and release the memory that its content takes."""
        session = session_of(worker, self._session)
        put_inputs(session.folder, {self._sha256: self._content})
        self._content = b""


def session_of(worker: Worker, name: str) -> Session:
    """Return a session of a worker.  Raises InputError if it has ended."""
    session = worker.plugins.get(name)
    if not isinstance(session, Session):
        raise InputError("the client of this cell has ended")
    return session


def stop(session: str, cell: int | None, dask_worker: Worker) -> None:
    """Ask one cell of a session to stop, or for None all; Dask passes the worker by this name."""
    found = session_of(dask_worker, session)
    if cell is None:
        found.stopped.set()
    else:
        found.given_up.add(cell)


def run_cell(session_name: str, order: Order) -> dict[str, bytes]:
    """Run or resume a cell in a folder of its own, and return the files of the run.

    A session that is stopped gives the files of the last finished stage.
    Raises InputError for bad input, and on a worker with another copy of this program.
    """
    worker = get_worker()
    session = session_of(worker, session_name)
    if program_sha256() != order.program:
        raise InputError(
            f"worker {worker.address} has another version of fcpts-ref "
            f"({versions()['fcpts-ref']}) than this machine; install the same one there"
        )
    with session.turn, tempfile.TemporaryDirectory(dir=worker.local_directory) as place:
        tell = partial(worker.log_event, session_name)
        tell({"cell": order.cell, "share": 0.0, "begins": True})
        if session.stops(order.cell):
            return {}
        folder = Path(place) / "run"
        if order.files:
            unpack_run(folder, order.files)
        threads = _threads(order, worker.state.nthreads)
        source = Path(order.shared) if order.shared else session.folder
        try:
            with np.errstate(over="ignore", invalid="ignore"), blas_limit(threads)():
                run_or_resume(
                    order.job,
                    folder,
                    threads=threads,
                    on_step=_watch(order.cell, tell, session),
                    find=partial(find_packed, needed=order.needed, folder=source),
                )
        except KeyboardInterrupt:  # stopped before the first stage; it would end the worker
            return {}
        except InputError as error:
            raise InputError(str(error).replace(str(folder), "the run")) from None
        return pack_run(folder)


def _threads(order: Order, own: int) -> int:
    """Return the threads of a cell: the worker's own, or fewer if asked for or not available."""
    threads = min(order.threads or own, own)
    if order.job.engine == "numba":
        from fcpts_ref.engines.numba.jit.threads import available_threads

        threads = min(threads, available_threads())
    return threads


def _watch(cell: int, tell: Callable[[Any], None], session: Session) -> OnStep:
    """Return an ``on_step`` that reports a cell's progress and ends it when it should stop."""
    last = -REPORT_SECONDS

    def on_step(report: StepReport) -> None:
        nonlocal last
        if session.stops(cell):
            raise KeyboardInterrupt
        if time.monotonic() - last >= REPORT_SECONDS:
            last = time.monotonic()
            tell({"cell": cell, "share": report.step / report.steps, "begins": False})

    return on_step
