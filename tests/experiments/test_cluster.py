"""Runs on a Dask cluster of processes: its results, and its faults."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.test_grid import results, small
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.executors import Here
from fcpts_ref.experiments.run import run, run_or_resume
from fcpts_ref.experiments.run_grid import run_grid
from fcpts_ref.experiments.summary import is_complete, read_summary

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Dask's own, which differ by version
]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two processes of one thread each; a nanny restarts one that dies."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def connect(made: Any, **options: Any) -> Any:
    from fcpts_ref.experiments.cluster import Cluster

    return Cluster(made.scheduler_address, **options)


def pid(dask_worker: Any) -> int:
    return os.getpid()


def files_in(dask_worker: Any) -> list[str]:
    return [p.name for p in Path(dask_worker.local_directory).glob("fcpts-ref-*/*.h5")]


def test_a_cluster_gives_the_bits_of_a_local_run(tmp_path: Path, cluster: Any) -> None:
    grid, done = small(4), []
    with connect(cluster) as executor:
        failed = run_grid(grid, tmp_path / "far", executor, on_done=lambda: done.append(1))
        held = executor._client.run(files_in)
    assert failed == ({}, False)
    assert len(done) == 4
    run_grid(grid, tmp_path / "here", Here())
    assert results(tmp_path / "far", grid) == results(tmp_path / "here", grid)
    assert all(len(set(names)) == len(names) == 2 for names in held.values())  # network and data
    for cell in grid:
        assert is_complete(tmp_path / "far" / cell.folder)
        assert read_summary(tmp_path / "far" / cell.folder).pinned.job == cell.job
    with distributed.Client(cluster.scheduler_address) as client:
        assert not any(client.run(files_in).values())  # the cluster is left as it was


def test_inputs_of_a_shared_folder_are_not_sent(tmp_path: Path, cluster: Any) -> None:
    grid, shared = small(2), tmp_path / "shared"
    shared.mkdir()
    with connect(cluster, shared=shared) as executor:
        assert run_grid(grid, tmp_path / "far", executor) == ({}, False)
        assert not any(executor._client.run(files_in).values())
    assert len(list(shared.glob("*.h5"))) == 2


def watch_threads(dask_worker: Any) -> None:
    """Have a worker record the threads of BLAS and of the kernels while it runs cells."""
    from threadpoolctl import threadpool_info

    from fcpts_ref.engines.numba.jit import threads as kernels
    from fcpts_ref.experiments import cluster_worker as cells

    run_cell, set_threads = vars(cells)["run_or_resume"], kernels.set_threads
    dask_worker.blas, dask_worker.numba = set(), set()

    def watched_run(*arguments: Any, **options: Any) -> Any:
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        dask_worker.blas |= {pool["num_threads"] for pool in pools}
        return run_cell(*arguments, **options)

    def watched_set(threads: int | None) -> int:
        count = set_threads(threads)
        dask_worker.numba.add(count)
        return count

    vars(cells)["run_or_resume"], kernels.set_threads = watched_run, watched_set


def threads_seen(dask_worker: Any) -> tuple[set[int], set[int]]:
    return dask_worker.blas, dask_worker.numba


@pytest.mark.parametrize(("own", "asked", "used"), [(1, None, 1), (2, None, 2), (2, 1, 1)])
def test_cells_use_the_threads_of_their_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: int, asked: int | None, used: int
) -> None:
    """BLAS and kernels alike; fewer if the client asks for fewer."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")  # of the workers, on any number of cores
    job = replace(small(1)[0].job, engine="numba")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=own, processes=True, dashboard_address=None,
            silence_logs=50,
        ) as made,
        distributed.Client(made.scheduler_address, set_as_default=False) as client,
    ):  # fmt: skip
        client.run(watch_threads)
        with connect(made) as executor:
            executor.submit(run_or_resume, job, tmp_path / "run", threads=asked).result()
        assert list(client.run(threads_seen).values()) == [({used}, {used})]


def kill_worker_of(executor: Any, cluster: Any, times: int, begun: threading.Event) -> None:
    """Kill every process in which the first cell makes a step, ``times`` times."""
    for _ in range(times):
        assert begun.wait(120)
        with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
            busy = {w for w, calls in client.call_stack().items() if calls} or client.run(pid)
            pids = client.run(pid)
            begun.clear()
            for address in busy:
                with contextlib.suppress(KeyError, ProcessLookupError):
                    os.kill(pids[address], signal.SIGKILL)


def test_a_cell_whose_worker_dies_is_run_again(tmp_path: Path, cluster: Any) -> None:
    grid, begun = small(2, epochs=60), threading.Event()

    def on_share(job: Any, share: float) -> None:
        if share > 0:
            begun.set()

    with connect(cluster, on_share=on_share) as executor:
        killer = threading.Thread(target=kill_worker_of, args=(executor, cluster, 1, begun))
        killer.start()
        failed = run_grid(grid, tmp_path / "far", executor)
        killer.join()
        assert max(executor._starts.values()) > 1
    assert failed == ({}, False)
    run_grid(grid, tmp_path / "here", Here())
    assert results(tmp_path / "far", grid) == results(tmp_path / "here", grid)


def test_a_cell_whose_workers_all_die_is_given_up(tmp_path: Path, cluster: Any) -> None:
    (cell,) = small(1, epochs=1_000_000)
    begun = threading.Event()

    def on_share(job: Any, share: float) -> None:
        if share > 0:
            begun.set()

    with connect(cluster, retries=1, on_share=on_share) as executor:
        killer = threading.Thread(target=kill_worker_of, args=(executor, cluster, 2, begun))
        killer.start()
        failures, stopped = run_grid((cell,), tmp_path, executor)
        killer.join()
    assert not stopped
    assert "worker died 2 times" in failures[cell.name]


def test_finished_cells_survive_the_scheduler(tmp_path: Path) -> None:
    first, second = small(1)[0], small(2, epochs=1_000_000)[1]
    made = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )

    def close() -> None:
        limit = time.monotonic() + 120
        while not is_complete(tmp_path / first.folder) and time.monotonic() < limit:
            time.sleep(0.05)
        made.close()

    with connect(made) as executor:
        closer = threading.Thread(target=close)
        closer.start()
        failures, stopped = run_grid((first, second), tmp_path, executor)
        closer.join()
    assert not stopped
    assert set(failures) == {second.name}
    assert "scheduler" in failures[second.name]
    assert is_complete(tmp_path / first.folder)


def test_ctrl_c_stores_the_last_stages_and_frees_the_cluster(tmp_path: Path, cluster: Any) -> None:
    grid, seen = small(3, epochs=1_000_000), set()

    def on_share(job: Any, share: float) -> None:
        if share > 1e-5 and job.seed not in seen:  # some stages are done
            seen.add(job.seed)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with connect(cluster, on_share=on_share) as executor:
        assert run_grid(grid, tmp_path, executor) == ({}, True)
    stored = [cell for cell in grid if (tmp_path / cell.folder / "summary.json").exists()]
    assert len(stored) == 2
    assert all(1 <= read_summary(tmp_path / c.folder).stages_done < 1_000_000 for c in stored)
    with distributed.Client(cluster.scheduler_address) as client:
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        assert not any(client.call_stack().values())


def test_a_stopped_cell_is_continued_on_the_cluster(tmp_path: Path, cluster: Any) -> None:
    (cell,) = small(1, epochs=4)
    with connect(cluster) as executor:
        run_grid((cell,), tmp_path / "whole", executor)

    def stop(report: Any) -> None:
        if report.step > report.steps // 2:
            raise KeyboardInterrupt

    assert not run(cell.job, tmp_path / "part" / cell.folder, on_step=stop).complete
    with connect(cluster) as executor:
        assert run_grid((cell,), tmp_path / "part", executor) == ({}, False)
    assert results(tmp_path / "part", (cell,)) == results(tmp_path / "whole", (cell,))


def test_another_copy_of_the_program_is_refused(tmp_path: Path, cluster: Any) -> None:
    (cell,) = small(1)
    with connect(cluster) as executor:
        executor._program = "another"
        failures, _ = run_grid((cell,), tmp_path, executor)
    assert "another version of fcpts-ref" in failures[cell.name]


def test_a_cell_that_fails_is_named(tmp_path: Path, cluster: Any) -> None:
    good, bad = small()[0], small(calibration=1001)[1]
    with connect(cluster) as executor:
        failures, stopped = run_grid((bad, good), tmp_path, executor)
    assert not stopped
    assert "there are 1000" in failures[bad.name]
    assert is_complete(tmp_path / good.folder)


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    from fcpts_ref.experiments import cluster as module

    monkeypatch.setattr(module, "PATIENCE", "1s")
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        module.Cluster("tcp://127.0.0.1:1")


def test_clusters_run_jobs_only(cluster: Any) -> None:
    with connect(cluster) as executor, pytest.raises(TypeError, match="run_or_resume only"):
        executor.submit(print, 1)


def test_a_shared_folder_must_exist(tmp_path: Path) -> None:
    from fcpts_ref.experiments.cluster import Cluster

    with pytest.raises(InputError, match=r"there is no folder .*none.*all workers see"):
        Cluster("tcp://127.0.0.1:1", shared=tmp_path / "none")
