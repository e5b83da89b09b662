"""Grids of jobs from configuration files, and the executors that run them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.experiments import executors
from fcpts_ref.experiments.executors import Here, Processes, allowed_jobs
from fcpts_ref.experiments.grid import Cell, Grid, cells_of, check_unchanged, grid_of
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.options import Changes, changes_of
from fcpts_ref.experiments.run import resume, run, run_or_resume
from fcpts_ref.experiments.run_grid import run_grid
from fcpts_ref.experiments.summary import is_complete, read_summary
from fcpts_ref.pruning.registry import METHODS, make_method, presets


def cells(data: dict[str, Any], **overrides: Any) -> tuple[Cell, ...]:
    return cells_of(grid_of(data, changes_of(overrides)))


def test_cells_are_the_product_of_the_grid() -> None:
    found = cells(
        {
            "networks": ["a", "b.h5"],
            "methods": ["fcpts", "pot-erk"],
            "rates": [0.5],
            "seeds": [1, 2],
        }
    )
    assert [(c.network, c.method, c.job.target, c.job.seed) for c in found] == [
        (network, method, 0.5, seed)
        for network in ("a", "b")
        for method in ("FCPTS (extended)", "POT (ERK)")
        for seed in (1, 2)
    ]
    assert len({cell.folder for cell in found}) == 8
    assert {cell.job.network for cell in found} == {"a", "b.h5"}


def test_an_empty_file_is_the_usual_grid() -> None:
    found = cells({})
    assert {c.method for c in found} == {"FCPTS (extended)", "POT (L2Norm)", "POT (ERK)"}
    assert {c.network for c in found} == {"resnet8-digits"}
    assert len(found) == 3 * 3 * 3


def test_a_method_without_randomness_needs_one_seed_only() -> None:
    found = cells({"networks": ["a"], "methods": ["one-shot-lamp"], "rates": [0.5, 0.6]})
    assert [(cell.job.target, cell.job.seed) for cell in found] == [(0.5, 0), (0.6, 0)]


def test_a_cell_is_a_job() -> None:
    table = {"method": "pot", "steps": 5, "sparse-inputs": True, "batch-norm": True}
    (cell,) = cells(
        {"networks": ["net"], "method": {"my / method!": table}, "rates": [0.75], "seeds": [3]}
    )
    assert cell.job == Job(
        network="net",
        method="pot",
        settings={"steps": 5, "dense_inputs": False},
        target=0.75,
        seed=3,
        label="my / method!",
        batch_norm=True,
        baselines=False,
    )
    assert str(cell.folder) == os.path.join("net", "my-method", "0.75", "seed3")


@pytest.mark.parametrize("name", ["..", "...", "///", "ä"])
def test_names_cannot_leave_the_folder(name: str) -> None:
    folder = Cell(name, name, Job(target=0.5)).folder
    assert ".." not in folder.parts
    assert not folder.is_absolute()
    assert len(folder.parts) == 4


def test_tables_of_a_file() -> None:
    (cell,) = cells(
        {
            "network": {"big": {"weights": "big.th", "arch": "resnet56", "calibration": 9}},
            "method": {"long": {"preset": "fcpts-released", "epochs": 100}},
            "options": {"data": "cifar10", "calibration": 8},
            "seeds": [0],
            "rates": [0.9],
        }
    )
    assert cell.job == Job(
        network="big.th",
        arch="resnet56",
        data="cifar10",
        calibration=9,
        settings={"profile": "released", "epochs": 100},
        label="long",
        baselines=False,
    )


def test_overrides_count_more_and_reach_the_methods_that_have_them() -> None:
    data = {
        "methods": ["one-shot-erk", "pot-erk"],
        "network": {"mine": {"weights": "mine.h5", "engine": "numba"}},
        "method": {"own": {"epochs": 5, "calibration": 64}},
        "options": {"calibration": 128, "data": "digits", "batch-size": 16},
    }
    found = {
        cell.method: cell.job
        for cell in cells(data, epochs=1, steps=3, calibration=32, engine="numpy")
    }
    assert {job.calibration for job in found.values()} == {32}
    assert {job.engine for job in found.values()} == {"numpy"}
    assert found["one-shot ERK"].settings == {"allocation": "erk"}
    assert found["POT (ERK)"].settings == {"allocation": "erk", "steps": 3, "batch_size": 16}
    assert found["own"].settings == {"epochs": 1, "batch_size": 16}


def test_presets_are_methods() -> None:
    labels = []
    for method, settings in presets().values():
        assert method in METHODS
        labels.append(make_method(method, **settings).label)
    assert len(set(labels)) == len(labels)


ONE = {"networks": ["a"], "methods": ["fcpts"]}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({**ONE, "sparsities": [0.9]}, "has no key 'sparsities'"),
    "unknown method": ({**ONE, "methods": ["magic"]}, "unknown method 'magic'"),
    "unknown preset": ({**ONE, "method": {"m": {"preset": "magic"}}}, "unknown method 'magic'"),
    "preset that is a list": ({**ONE, "method": {"m": {"preset": ["fcpts"]}}}, "unknown method"),
    "no methods": ({**ONE, "methods": []}, "no methods"),
    "no networks": ({**ONE, "networks": []}, "no networks"),
    "no rates": ({**ONE, "rates": []}, "no rates"),
    "rates that are texts": ({**ONE, "rates": ["0.9"]}, "expected a number"),
    "seeds that are a number": ({**ONE, "seeds": 3}, "expected a list"),
    "seeds that are true": ({**ONE, "seeds": [True]}, "expected a whole number"),
    "a rate twice": ({**ONE, "rates": [0.5, 0.5]}, "one twice"),
    "a table that is none": ({**ONE, "method": {"m": 3}}, "should hold tables"),
    "options that are none": ({**ONE, "options": [1]}, "expected an object"),
    "unknown option": ({**ONE, "options": {"magic": 1}}, "no option 'magic'"),
    "a rate of 1": ({**ONE, "rates": [1.0]}, "target is 1.0"),
    "names alike": (
        {"networks": ["a b", "a-b"], "methods": ["fcpts"]},
        "differ in punctuation only",
    ),
    "another method's option": (
        {"networks": ["a"], "method": {"m": {"method": "pot", "epochs": 1}}},
        "a m: method 'pot' has no option --epochs",
    ),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_grids(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cells(data)


def test_a_grid_is_checked_when_made() -> None:
    with pytest.raises(InputError, match="no seeds"):
        Grid({"a": Changes()}, {"b": Changes({"method": "pot"})}, seeds=())


# Running


def small(count: int = 2, **options: Any) -> tuple[Cell, ...]:
    """Cells that take little time."""
    data = {"method": {"short": {"epochs": 2, "batch-size": 4, "profile": "released"}}}
    more = {"rates": [0.5], "seeds": list(range(count)), "options": {"calibration": 12}}
    return cells({**data, **more}, engine="numpy", **options)


def results(out: Path, grid: tuple[Cell, ...]) -> list[bytes]:
    return [(out / cell.folder / "network.h5").read_bytes() for cell in grid]


def test_every_executor_gives_the_same_bits(tmp_path: Path) -> None:
    grid, seen, done = small(), [], list[int]()
    for name, executor in (
        ("here", Here()),
        ("processes", Processes(2)),
        ("threads", ThreadPoolExecutor(1)),
        ("pool", ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))),
    ):
        with executor:
            failed = run_grid(grid, tmp_path / name, executor, on_done=lambda: done.append(1))
        assert failed == ({}, False)
        assert all(is_complete(tmp_path / name / cell.folder) for cell in grid)
        seen.append(results(tmp_path / name, grid))
    assert all(one == seen[0] for one in seen)
    assert len(done) == len(seen) * len(grid)


@pytest.mark.parametrize("executor", [Here(), Processes(2)], ids=["here", "processes"])
def test_a_cell_that_fails_is_named_and_the_others_run(tmp_path: Path, executor: Executor) -> None:
    good, bad = small()[0], small(calibration=1001)[1]
    failures, stopped = run_grid((bad, good), tmp_path, executor)
    assert not stopped
    assert set(failures) == {bad.name}
    assert "there are 1000" in failures[bad.name]
    assert is_complete(tmp_path / good.folder)
    executor.shutdown()


def test_a_process_that_is_killed_is_named(tmp_path: Path) -> None:
    (cell,) = small(1, epochs=1_000_000)
    executor = Processes(1)

    def kill() -> None:
        wait_for(tmp_path / cell.folder / "checkpoint.h5")
        (process,) = executor._running
        process.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    failures, stopped = run_grid((cell,), tmp_path, executor)
    thread.join()
    executor.shutdown()
    assert not stopped
    assert "was killed" in failures[cell.name]


def wait_for(path: Path, seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.01)
    assert path.exists()


def test_interrupted_cells_store_their_state_and_can_be_continued(tmp_path: Path) -> None:
    grid = small(3, epochs=1_000_000)
    executor = Processes(2)

    def press() -> None:
        for cell in grid[:2]:
            wait_for(tmp_path / cell.folder / "checkpoint.h5")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    failures, stopped = run_grid(grid, tmp_path, executor)
    thread.join()
    executor.shutdown()
    assert (failures, stopped) == ({}, True)
    for cell in grid[:2]:
        assert 1 <= read_summary(tmp_path / cell.folder).stages_done < 1_000_000
    assert not (tmp_path / grid[2].folder / "job.json").exists()


def test_ctrl_c_stops_a_grid_that_runs_here(tmp_path: Path) -> None:
    grid = small(2, epochs=1_000_000)

    def press() -> None:
        wait_for(tmp_path / grid[0].folder / "checkpoint.h5")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    assert run_grid(grid, tmp_path, Here()) == ({}, True)
    thread.join()
    assert not read_summary(tmp_path / grid[0].folder).complete
    assert not (tmp_path / grid[1].folder).exists()


STARTER = """
import sys
from pathlib import Path
from fcpts_ref.experiments.executors import Processes
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import run_or_resume
job = Job(settings={"epochs": 1000000, "batch_size": 4}, calibration=8, engine="numpy")
Processes(1).submit(run_or_resume, job, Path(sys.argv[1])).result()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, number: int) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path / "r")])
    wait_for(tmp_path / "r/checkpoint.h5")
    starter.send_signal(number)
    starter.wait()
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        with contextlib.suppress(InputError):  # in use: the process has not seen it yet
            assert resume(tmp_path / "r", on_step=interrupt).stages_done >= 1
            return
        time.sleep(0.05)
    raise AssertionError("the process still runs")


def interrupt(report: Any) -> None:
    raise KeyboardInterrupt


def test_processes_run_jobs_only() -> None:
    with Processes(1) as executor, pytest.raises(TypeError, match="run_or_resume only"):
        executor.submit(print, 1)


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "cores", lambda: 8)
    started: list[dict[str, str]] = []

    def start(words: list[str], **options: Any) -> Any:
        started.append(options["env"])
        raise InputError("not now")

    monkeypatch.setattr("fcpts_ref.experiments.executors.subprocess.Popen", start)
    for executor in (Processes(4), Processes(4, threads=3)):
        with executor:
            future: Future[Any] = executor.submit(run_or_resume, Job(), Path("x"))
        assert str(future.exception()) == "not now"
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert [env[name] for env in started] == ["2", "3"]


def test_jobs_are_no_more_than_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(executors, "cores", lambda: 4)
    monkeypatch.setattr(executors, "free_memory", lambda: 3 * executors.RUN_MEMORY)
    assert [allowed_jobs(n, notes.append) for n in (1, 3, 8)] == [1, 3, 3]
    assert len(notes) == 1
    assert "3 instead of 8" in notes[0]
    monkeypatch.setattr(executors, "free_memory", lambda: 0)
    assert allowed_jobs(2, notes.append) == 1
    monkeypatch.setattr(executors, "free_memory", lambda: None)
    assert allowed_jobs(8, notes.append) == 4


def test_a_cell_that_was_started_with_other_options_is_refused(tmp_path: Path) -> None:
    (cell,) = small(1)
    check_unchanged(cell, tmp_path)
    run(cell.job, tmp_path / cell.folder)
    check_unchanged(cell, tmp_path)
    (other,) = small(1, calibration=11)
    with pytest.raises(InputError, match="started with other options"):
        check_unchanged(other, tmp_path)
