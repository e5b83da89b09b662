"""Running a job in a folder and resuming it: files, checks and refusals."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import assert_same_bits

import fcpts_ref
from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import checkpoint as checkpoints
from fcpts_ref.experiments import stages
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.pinned import read_pinned
from fcpts_ref.experiments.run import resume, run, run_or_resume
from fcpts_ref.experiments.summary import read_summary
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.pruning.fcpts import method as fcpts
from fcpts_ref.pruning.method import StepReport
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.files import lock_folder
from fcpts_ref.storage.json_files import read_json, write_json
from fcpts_ref.storage.network_files import read_arrays, read_network, write_arrays

JOB = Job(
    target=0.8,
    settings={"epochs": 4, "batch_size": 4, "profile": "released"},
    calibration=12,
    seed=3,
    engine="numpy",
    baselines=False,
)
STEPS = 12  # four epochs of three


def finish(folder: Path, job: Job = JOB) -> None:
    run_or_resume(job, folder)


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("network.h5", "history.h5")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(JOB, folder)
    return folder


def stop_at(step: int) -> Any:
    def on_step(report: StepReport) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return on_step


def test_it_is_public_python() -> None:
    assert (fcpts_ref.Job, fcpts_ref.run, fcpts_ref.resume) == (Job, run, resume)


def test_a_run_is_its_method_and_its_seed(whole: Path) -> None:
    """The same bits as ``fcpts_ref.sparsify`` with the images that the job draws."""
    network, _ = read_network(resource_path("resnet8-digits.h5"))
    digits = read_dataset(resource_path("digits.h5"))
    chosen = np.sort(np.random.default_rng(3).choice(len(digits.train), 12, replace=False))
    images = digits.as_floats(digits.train.images[chosen])
    result = fcpts_ref.sparsify(network, images, target=0.8, seed=3, engine="numpy", **JOB.settings)
    pruned, provenance = read_network(whole / "network.h5")
    for name, array in result.network.parameters.items():
        assert_same_bits(pruned.parameters[name], array, name)
    history, notes = read_arrays(whole / "history.h5")
    assert_same_bits(history["total_loss"], result.history["total_loss"])
    assert notes["layers"] == list(network.graph.prunable)
    assert provenance["job"]["job"] == JOB.to_json()


def test_the_summary_equals_the_stored_one(whole: Path) -> None:
    summary = read_summary(whole)
    assert summary.complete
    assert summary.pinned == read_pinned(whole)
    assert summary.pinned.job == JOB
    assert summary.pinned.settings["epochs"] == 4
    assert summary.pinned.settings["conventions"]["temperature"] == 4.0
    assert summary.pinned.calibration == 12
    assert [row.name for row in summary.rows] == ["FCPTS (released)"]
    pruned, _ = read_network(whole / "network.h5")
    assert summary.rows[0].achieved == global_rate(pruned)
    assert {"numpy", "numba", "fcpts-ref"} <= set(summary.versions)


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_stopped_at_any_step_and_resumed(tmp_path: Path, whole: Path, step: int) -> None:
    """Ctrl-C in each of the twelve steps: the result is that of the last whole epoch."""
    folder = tmp_path / "r"
    if step <= 3:
        with pytest.raises(KeyboardInterrupt):
            run(JOB, folder, on_step=stop_at(step))
    else:
        stopped = run(JOB, folder, on_step=stop_at(step))
        assert stopped.stages_done == (step - 1) // 3
        assert not stopped.complete
        history, _ = read_arrays(folder / "history.h5")
        assert len(history["total_loss"]) == 3 * stopped.stages_done
    assert resume(folder).complete
    assert results(folder) == results(whole)


def test_resuming_a_finished_run_computes_and_writes_nothing(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("[!.]*")}

    def forbidden(*arguments: Any, **more: Any) -> None:
        raise AssertionError("a finished run was computed again")

    monkeypatch.setattr("fcpts_ref.experiments.run.find_inputs", forbidden)
    assert resume(whole) == read_summary(whole)
    assert {path: path.stat().st_mtime_ns for path in whole.glob("[!.]*")} == before


def test_a_run_that_lost_a_result_is_finished_again(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "r"
    finish(folder)
    (folder / "network.h5").unlink()
    assert resume(folder).complete
    assert results(folder) == results(whole)


def test_seconds_of_all_sessions_are_added(tmp_path: Path) -> None:
    finish(tmp_path / "r")
    arrays, notes = read_arrays(tmp_path / "r/checkpoint.h5")
    write_arrays(tmp_path / "r/checkpoint.h5", arrays, {**notes, "seconds": 1000.0})
    (tmp_path / "r/summary.json").unlink()
    assert 1000 <= resume(tmp_path / "r").method_seconds < 1100


def stopped(folder: Path) -> Path:
    run(JOB, folder, on_step=stop_at(5))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"target": 0.6},
        {"seed": 4},
        {"method": "pot", "settings": {}},
        {"settings": {"epochs": 5, "batch_size": 4, "profile": "released"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_job_is_refused(tmp_path: Path, change: Any) -> None:
    folder = stopped(tmp_path / "r")
    run(replace(JOB, **change), tmp_path / "other")
    (folder / "job.json").write_bytes((tmp_path / "other/job.json").read_bytes())
    (folder / "summary.json").unlink()
    before = (folder / "checkpoint.h5").read_bytes()
    with pytest.raises(InputError, match="of another job or other inputs"):
        resume(folder)
    assert (folder / "checkpoint.h5").read_bytes() == before


@pytest.mark.parametrize("name", ["state", "generator", "stages_done", "seconds", "versions"])
def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path, name: str) -> None:
    folder = stopped(tmp_path / "r")
    arrays, notes = read_arrays(folder / "checkpoint.h5")
    del notes[name]
    write_arrays(folder / "checkpoint.h5", arrays, notes)
    with pytest.raises(InputError, match="no checkpoint of this method"):
        resume(folder)


@pytest.mark.parametrize("name", ["network_sha256", "images_sha256"])
def test_other_inputs_are_refused(tmp_path: Path, name: str) -> None:
    folder = stopped(tmp_path / "r")
    data = read_json(folder / "job.json")
    write_json(folder / "job.json", {**data, name: "0" * 64})
    with pytest.raises(InputError, match="the network or the data have changed"):
        resume(folder)


def test_other_defaults_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(JOB, settings={"epochs": 2, "batch_size": 4})  # of the default profile
    run(job, tmp_path / "r", on_step=stop_at(4))
    monkeypatch.setitem(fcpts.PROFILE_SETTINGS["extended"], "views", 3)
    with pytest.raises(InputError, match=r"started with other defaults \(--views\)"):
        resume(tmp_path / "r")


def test_other_versions_are_noted_and_the_run_continues(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped(tmp_path / "r")
    now = versions()
    for module in (checkpoints, stages):
        monkeypatch.setattr(module, "versions", lambda: {**now, "numpy": "99.0"})
    with pytest.warns(UserWarning, match=r"other versions \(numpy .* -> 99.0\)"):
        resume(folder)
    assert results(folder) == results(whole)


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b'"x"', b'{"weights": 1}', b"\xff", b"[" * 99999, b"null"]
)
def test_folders_without_a_job(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="no such file"):
        resume(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
    (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(InputError, match=r"job\.json") as caught:
        resume(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pinned", "rows", "stages", "layers"])
def test_damaged_summaries(tmp_path: Path, whole: Path, name: str) -> None:
    data = json.loads((whole / "summary.json").read_text())
    for damaged in ({k: v for k, v in data.items() if k != name}, {**data, name: "x"}, [], 3):
        write_json(tmp_path / "summary.json", damaged)
        with pytest.raises(InputError, match=r"summary\.json"):
            read_summary(tmp_path)


def test_a_refused_job_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (tmp_path / "new", empty):
        with pytest.raises(InputError, match="there are 1000"):
            run(replace(JOB, calibration=1001), folder)
    assert list(tmp_path.iterdir()) == [empty]
    assert list(empty.iterdir()) == []
    (empty / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        run(JOB, empty)
    assert [path.name for path in empty.iterdir()] == ["thesis.txt"]


def hold(folder: Path, ready: Any, done: Any) -> None:
    with lock_folder(folder):
        ready.set()
        done.wait(60)


def test_the_folder_is_locked_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped(tmp_path / "r")
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(folder, ready, done))
    process.start()
    assert ready.wait(60)

    def forbidden(*arguments: Any) -> None:
        raise AssertionError("read before it was locked")

    monkeypatch.setattr("fcpts_ref.experiments.run.read_pinned", forbidden)
    monkeypatch.setattr("fcpts_ref.experiments.run.find_inputs", forbidden)
    for call in (lambda: resume(folder), lambda: run(JOB, tmp_path / "r")):
        with pytest.raises(InputError, match=r"in use by another process|not empty"):
            call()
    done.set()
    process.join()


def test_public_names_are_listed() -> None:
    assert set(fcpts_ref.__all__) <= set(dir(fcpts_ref))


def test_the_history_names_its_columns(tmp_path: Path) -> None:
    """A layer that is kept dense has no column."""
    job = Job(keep_dense=("conv1",), calibration=100, settings={"epochs": 1}, baselines=False)
    run(job, tmp_path / "run")
    history, notes = read_arrays(tmp_path / "run" / "history.h5")
    assert "conv1.weight" not in notes["layers"]
    assert len(notes["layers"]) == history["rates"].shape[1] == history["thresholds"].shape[1] == 7
