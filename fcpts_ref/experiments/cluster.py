"""An executor of runs on a Dask cluster (the extra "dask").

It has the interface of ``concurrent.futures.Executor``.  Every worker runs one cell at a time, on
all of its threads.  Inputs travel by content, once per worker; the files of a run come back with
the result, so that no file system needs to be shared.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcpts_ref.errors import InputError, counted, install
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import run_or_resume
from fcpts_ref.experiments.shipping import (
    Needed,
    pack_inputs,
    pack_run,
    program_sha256,
    put_inputs,
    unpack_run,
)
from fcpts_ref.experiments.summary import Summary, read_summary

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 2
"""How often a cell is run again after a worker died, unless told otherwise."""
POLL = 0.2  # seconds between two looks at the cluster
LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"
PATIENCE = "20s"  # for the scheduler to answer
MAX_AT_A_TIME = 1024  # cells, one for each worker


def _shared_folder(path: Path) -> Path:
    if not path.is_dir():
        raise InputError(
            f"there is no folder {str(path)[:80]!r}; expected one that this machine and all "
            "workers see"
        )
    return path.resolve()


class Cluster(ThreadPoolExecutor):
    """Runs jobs on the workers of a Dask cluster, one at a time on each.

    address: of the scheduler, tcp://HOST:PORT, or a scheduler's JSON file.
    shared: a folder that this machine and all workers see under one path; inputs are put there by
        content instead of sent.
    retries: how often a cell is run again, elsewhere, after its worker died.
    on_share: called with the job and the share of its steps that are done, 1 at its end.
    Raises InputError if Dask is not installed, no scheduler answers, or there is no shared folder.
    """

    def __init__(
        self,
        address: str,
        *,
        shared: Path | str | None = None,
        retries: int = RETRIES,
        on_share: Callable[[Job, float], None] = lambda job, share: None,
    ) -> None:
        super().__init__(max_workers=MAX_AT_A_TIME)
        self._address, self._retries, self._on_share = address, retries, on_share
        self._shared = None if shared is None else _shared_folder(Path(shared))
        self._session, self._program = f"fcpts-ref-{secrets.token_hex(8)}", program_sha256()
        self._lock, self._sending, self._asking = (threading.Lock() for _ in range(3))
        self._stopped = self._abandoned = False
        self._running, self._seen = 0, (-POLL, 0)
        self._jobs: dict[int, Job] = {}
        self._starts: dict[int, int] = {}
        self._packed: dict[tuple[Any, ...], Needed] = {}
        self._sent: set[str] = set()
        self._client = self._connect(address)

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``run_or_resume(job, folder)``, the only call that is supported, on the cluster."""
        if call is not run_or_resume:
            raise TypeError(f"Cluster runs run_or_resume only, not {call!r}")
        return super().submit(self._run, *args, **kwargs)

    def interrupt(self) -> None:
        """Let every cell finish its step and return its last stage, as on Ctrl-C."""
        self._stopped = True
        self._stop(None)

    def _stop(self, cell: int | None) -> None:
        from fcpts_ref.experiments.cluster_worker import stop

        with contextlib.suppress(Exception):  # without a scheduler nothing runs
            self._client.run(stop, self._session, cell, on_error="ignore")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Release the cluster: cancel what is left, remove the inputs, and disconnect."""
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        with contextlib.suppress(Exception):
            for name in (*(f"{self._session}-{sha256}" for sha256 in self._sent), self._session):
                self._client.unregister_worker_plugin(name)
        self._client.close(timeout=5)

    def __exit__(self, *raised: Any) -> None:
        """Wait for the cells, or after an exception (a second Ctrl-C) leave them."""
        self._abandoned = raised[0] is not None
        super().__exit__(*raised)

    def _connect(self, address: str) -> Client:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(f"clusters need dask.distributed; {install('dask')}") from error
        from fcpts_ref.experiments.cluster_worker import Session

        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        try:
            client = Client(**where, timeout=PATIENCE, set_as_default=False)
            client.subscribe_topic(self._session, self._hear)
            client.register_plugin(Session(self._session))
        except ImportError as error:
            raise InputError(
                f"the workers of {address[:80]} cannot import fcpts-ref ({error}); install it there"
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler answers at {address[:80]} ({type(error).__name__}); start one "
                "with 'dask scheduler', and give the address that it prints"
            ) from error
        return client

    def _hear(self, event: tuple[Any, Mapping[str, Any]]) -> None:
        """Receive a report of a cell: that it begins, or how far it is.

        The thread that calls it must never wait for a lock: the others wait for it.
        """
        report = event[1]
        self._starts[report["cell"]] += report["begins"]
        self._on_share(self._jobs[report["cell"]], report["share"])

    def _run(self, job: Job, folder: Path, *, threads: int | None = None) -> Summary:
        """Run one cell on a worker, write its files to the folder, and return its summary."""
        with self._slot():
            if self._stopped:
                raise InputError("stopped before it began")
            try:
                files = self._files_of(job, Path(folder), threads)
            finally:
                self._on_share(job, 1.0)
        if not files:
            raise InputError("stopped before its first stage")
        unpack_run(Path(folder), files)
        return read_summary(Path(folder))

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        """Wait until fewer cells run than there are workers, or until the end."""
        while not self._take_slot():
            time.sleep(POLL)
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def _take_slot(self) -> bool:
        workers = self.workers()
        with self._lock:
            free = self._stopped or self._running < workers
            self._running += free
        return free

    def workers(self) -> int:
        """Return the number of workers.  Raises InputError if the scheduler is gone."""
        with self._asking:
            when, count = self._seen
            if time.monotonic() - when >= POLL:
                if self._client.status != "running":
                    raise InputError(self._lost())
                try:
                    count = len(self._client.nthreads())
                except Exception as error:
                    raise InputError(self._lost()) from error
                self._seen = time.monotonic(), count
        return count

    def _lost(self) -> str:
        return (
            f"the scheduler at {self._address[:80]} does not answer any more; finished cells are "
            "kept: run the command again with another --dask"
        )

    def _files_of(self, job: Job, folder: Path, threads: int | None) -> dict[str, bytes]:
        """Run a cell, again if its worker dies, and return its files."""
        import dask
        from distributed import KilledWorker

        from fcpts_ref.experiments.cluster_worker import Order, run_cell

        needed, shared = self._send(job), None if self._shared is None else str(self._shared)
        with self._lock:
            cell = len(self._jobs)
            self._jobs[cell], self._starts[cell] = job, 0
        order = Order(cell, job, needed, pack_run(folder), threads, self._program, shared)
        while self._starts[cell] <= self._retries and not self._abandoned:
            key = f"{self._session}-cell{cell}-{secrets.token_hex(4)}"
            with dask.config.set({LARGE_GRAPH: "1GB"}):  # files of earlier sessions may be large
                future = self._client.submit(run_cell, self._session, order, key=key, pure=False)
            with contextlib.suppress(KilledWorker):
                files = self._result(future, cell)
                if files is not None:
                    return files
        self._stop(cell)
        raise InputError(
            f"its worker died {counted(self._retries + 1, 'time')}, perhaps for lack of memory; "
            "use workers with more"
        )

    def _result(self, future: Any, cell: int) -> dict[str, bytes] | None:
        """Wait for a cell; return its files, or None if it began too often.

        Raises InputError if the scheduler is gone, and the cell's own error.
        """
        try:
            while True:
                if self._abandoned or self._starts[cell] > self._retries + 1:
                    return None
                try:
                    files: dict[str, bytes] = future.result(timeout=POLL)
                except (NotYet, TimeoutError):
                    self.workers()
                    continue
                except CancelledError as error:
                    raise InputError(self._lost()) from error
                return files
        finally:
            with contextlib.suppress(Exception):
                future.cancel()

    def _send(self, job: Job) -> Needed:
        """Send the inputs of a job to the workers, unless they have them; return their names."""
        from fcpts_ref.experiments.cluster_worker import Delivery

        key = (job.network, job.arch, job.shortcut, job.normalise, job.data, job.home)
        with self._sending:
            if key not in self._packed:
                needed, contents = pack_inputs(job)
                if self._shared is not None:
                    put_inputs(self._shared, contents)
                    contents = {}
                for sha256 in contents.keys() - self._sent:
                    delivery = Delivery(self._session, sha256, contents[sha256])
                    self._client.register_plugin(delivery)
                    self._sent.add(sha256)
                self._packed[key] = needed
            return self._packed[key]
