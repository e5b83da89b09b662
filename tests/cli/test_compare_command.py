"""fcpts-ref compare: cells in folders, resumed, in parallel, tabulated."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import Place, Run, one_line, start

from fcpts_ref.cli import build_parser, compare
from fcpts_ref.experiments.grid import cells_of, grid_of
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run_grid import run_grid
from fcpts_ref.pruning.fcpts import method as fcpts
from fcpts_ref.storage.network_files import read_arrays


def words_of(place: Place, out: Path, *more: str) -> list[str]:
    return [
        "compare",
        f"--networks={place.network}",
        f"--data={place.data}",
        "--engine=numpy",
        f"--out={out}",
        "--quiet",
        *more,
    ]


ONE_SHOT = ("--methods", "one-shot-erk", "one-shot-lamp", "--rates", "0.5", "0.7")


def test_table_and_files(run: Run, place: Place, tmp_path: Path) -> None:
    result = run(*words_of(place, tmp_path, *ONE_SHOT))
    assert result.code == 0, result.err
    assert "resnet8 on squares, dense" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines() if str(tmp_path) not in line)
    lines = json.loads((tmp_path / "table.json").read_text())
    assert [(line["method"], line["rate"]) for line in lines] == [
        ("one-shot ERK", 0.5),
        ("one-shot LAMP", 0.5),
        ("one-shot ERK", 0.7),
        ("one-shot LAMP", 0.7),
    ]
    assert all(abs(line["drop"] - (line["dense"] - line["top1"])) <= 1e-12 for line in lines)
    with open(tmp_path / "table.csv", newline="") as file:
        assert [float(row["top1"]) for row in csv.DictReader(file)] == [x["top1"] for x in lines]
    markdown = (tmp_path / "table.md").read_text().splitlines()
    rows = [line for line in markdown if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 2 + 4


def test_json_and_a_second_time(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words_of(place, tmp_path, *ONE_SHOT, "--json")
    first = run(*words)

    def forbidden(*arguments: Any, **more: Any) -> Any:
        raise AssertionError("a finished cell was run again")

    monkeypatch.setattr("fcpts_ref.experiments.executors.Here.submit", forbidden)
    assert run(*words).json == first.json


def test_parallel_cells_give_the_same_table(run: Run, place: Place, tmp_path: Path) -> None:
    more = ("--methods", "pot-erk", "--rates", "0.5", "--seeds", "0", "1", "--steps=1", "--json")
    tables = [
        run(*words_of(place, tmp_path / str(jobs), *more, f"--jobs={jobs}")).json for jobs in (1, 2)
    ]
    for line in (*tables[0], *tables[1]):
        del line["seconds"]
    assert tables[0] == tables[1]
    assert tables[0][0]["seeds"] == 2


def test_all_of_one_seed_come_before_the_next(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def note(waiting: Any, *arguments: Any, **more: Any) -> tuple[dict[str, str], bool]:
        asked.extend((cell.job.seed, cell.job.target) for cell in waiting)
        return {}, False

    monkeypatch.setattr(compare, "run_grid", note)
    more = ("--methods", "pot-erk", "--rates", "0.5", "0.7", "--seeds", "3", "1")
    run(*words_of(place, tmp_path, *more))
    assert asked == [(3, 0.5), (3, 0.7), (1, 0.5), (1, 0.7)]


def test_a_configuration_file(run: Run, place: Place, tmp_path: Path) -> None:
    config = tmp_path / "grid.toml"
    config.write_text(
        f"""
rates = [0.6]
seeds = [4]
methods = ["one-shot-global"]
[network.mine]
weights = '{place.network}'
[method."released, short"]
preset = "fcpts-released"
epochs = 1
choose = ["temperature=2", "momentum=0.5"]
[options]
data = '{place.data}'
engine = "numpy"
batch-norm = true
"""
    )
    result = run("compare", "--config", config, "--out", tmp_path / "out", "--quiet", "--json")
    assert result.code == 0, result.err
    assert [line["method"] for line in result.json] == [
        "one-shot global",
        "one-shot global + BN",
        "released, short",
        "released, short + BN",
    ]
    stored = json.loads((tmp_path / "out/mine/released-short/0.6/seed4/job.json").read_text())
    assert stored["job"]["settings"]["choices"] == {"temperature": 2.0, "momentum": 0.5}


def test_options_override_the_file(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "grid.toml"
    config.write_text("""
methods = ["one-shot-erk", "pot-erk"]
[network.mine]
weights = "mine.h5"
engine = "numba"
[method.own]
epochs = 5
calibration = 64
[options]
calibration = 128
data = "digits"
""")
    words = ["compare", f"--config={config}", f"--out={tmp_path / 'o'}", "--epochs=1", "--steps=3"]
    words += ["--calibration=32", "--engine=numpy"]
    grid = compare._grid(build_parser().parse_args(words))
    jobs = {cell.method: cell.job for cell in cells_of(grid)}
    assert {job.calibration for job in jobs.values()} == {32}
    assert {job.engine for job in jobs.values()} == {"numpy"}
    assert {job.data for job in jobs.values()} == {"digits"}
    epochs = {name: job.settings.get("epochs") for name, job in jobs.items()}
    assert epochs == {"one-shot ERK": None, "POT (ERK)": None, "own": 1}
    steps = {name: job.settings.get("steps") for name, job in jobs.items()}
    assert steps == {"one-shot ERK": None, "POT (ERK)": 3, "own": None}


def test_cells_of_other_defaults_are_refused(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--methods", "fcpts", "--rates", "0.5", "--seeds", "0", "--epochs=1")
    assert run(*words_of(place, tmp_path, *more)).code == 0
    monkeypatch.setitem(fcpts.PROFILE_SETTINGS["extended"], "views", 3)
    result = run(*words_of(place, tmp_path, *more))
    assert result.code == 2
    assert one_line(result.err)
    assert "other defaults" in result.err


EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_understood(path: Path) -> None:
    cells = cells_of(grid_of(tomllib.loads(path.read_text(encoding="utf-8"))))
    assert cells
    assert all(Job.from_json(cell.job.to_json()) == cell.job for cell in cells)


BAD = {
    "unknown method": ("--methods", "magic"),
    "bad rate": ("--methods", "one-shot-erk", "--rates", "1.5"),
    "absent network": ("--networks", "absent"),
    "absent data": ("--data=absent",),
    "absent file": ("--config=absent.toml",),
    "no rates": ("--rates",),
    "no threads": ("--methods", "one-shot-erk", "--threads=0"),
}


@pytest.mark.parametrize("more", BAD.values(), ids=BAD)
def test_bad_input(run: Run, place: Place, tmp_path: Path, more: tuple[str, ...]) -> None:
    result = run(*words_of(place, tmp_path / "out", *more))
    assert result.code == 2
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "text",
    ["rates = [", "magic = 1", "[options]\nmagic = 1", "[method.a]\npreset = ['fcpts']", "\udcff"],
)
def test_bad_files(run: Run, place: Place, tmp_path: Path, text: str) -> None:
    (tmp_path / "grid.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    result = run(*words_of(place, tmp_path / "out", f"--config={tmp_path / 'grid.toml'}"))
    assert result.code == 2
    assert one_line(result.err)


def test_other_options_in_the_same_folder_are_refused(
    run: Run, place: Place, tmp_path: Path
) -> None:
    assert run(*words_of(place, tmp_path, *ONE_SHOT)).code == 0
    before = (tmp_path / "table.json").read_bytes()
    result = run(*words_of(place, tmp_path, *ONE_SHOT, "--calibration=20"))
    assert result.code == 2
    assert "other options" in result.err
    assert (tmp_path / "table.json").read_bytes() == before


def test_a_cell_that_fails_is_named_and_the_others_go_on(
    run: Run, place: Place, tmp_path: Path
) -> None:
    more = ("--methods", "one-shot-erk", "--rates", "0.5", "0.9999")
    result = run(*words_of(place, tmp_path, *more))
    assert result.code == 2
    assert "99.99 %" in result.err
    assert "lower target" in result.err
    assert len(json.loads((tmp_path / "table.json").read_text())) == 1


def stages_done(folder: Path) -> int:
    """Of all runs below, by their checkpoints."""
    return sum(read_arrays(path)[1]["stages_done"] for path in folder.rglob("checkpoint.h5"))


def test_ctrl_c_stops_cleanly_and_the_rest_follows(place: Place, tmp_path: Path) -> None:
    """Cells with too many epochs to finish before the signal, stopped twice."""
    more = ("--methods", "fcpts-released", "--rates", "0.5", "--seeds", "0", "1")
    words = words_of(place, tmp_path, *more, "--epochs=1000000", "--jobs=2")
    done = 0
    for _ in range(2):
        process = start(*words)
        limit = time.monotonic() + 60
        while stages_done(tmp_path) == done and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert "stopped, 2 cells left; run the command again to continue" in said
        assert stages_done(tmp_path) > done
        done = stages_done(tmp_path)


def test_cells_that_were_stopped_are_finished(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--methods", "fcpts-released", "--rates", "0.5", "--seeds", "0", "1", "--epochs=3")
    words = words_of(place, tmp_path, *more, "--json")

    def stop(cells: Any, *arguments: Any, **options: Any) -> Any:
        return run_grid(cells[:1], *arguments, **options)[0], True

    with monkeypatch.context() as patch:
        patch.setattr(compare, "run_grid", stop)
        stopped = run(*words)
    assert stopped.code == 130
    assert "stopped, 1 cell left" in stopped.err
    assert stopped.json[0]["seeds"] == 1
    result = run(*words)
    assert result.code == 0, result.err
    assert result.json[0]["seeds"] == 2


def test_a_terminal_without_the_letters(place: Place, tmp_path: Path) -> None:
    """As on Windows, or with PYTHONIOENCODING=ascii: the table is printed all the same."""
    more = ("--methods", "pot-erk", "--rates", "0.5", "--seeds", "0", "1", "--steps=1")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = start(*words_of(place, tmp_path, *more), env=environment)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "POT (ERK)" in printed
    assert "±" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_cells_are_computed_by_the_program_that_was_started(place: Place, tmp_path: Path) -> None:
    """Another copy of the package in the working folder is not used."""
    (tmp_path / "fcpts_ref").mkdir()
    (tmp_path / "fcpts_ref/__init__.py").write_text('raise SystemExit("the wrong copy")')
    package = str(Path(compare.__file__).resolve().parents[2])
    for jobs in (1, 2):
        words = words_of(place, tmp_path / f"out{jobs}", *ONE_SHOT, f"--jobs={jobs}")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "fcpts_ref", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": package},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("jobs", ["0", "-1", "two"])
def test_jobs_are_counted_from_one(run: Run, place: Place, tmp_path: Path, jobs: str) -> None:
    result = run(*words_of(place, tmp_path, f"--jobs={jobs}"))
    assert result.code == 2
    assert "--jobs" in result.err


def test_a_network_that_does_not_fit_is_named_before_any_is_evaluated(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: Any, **more: Any) -> None:
        raise AssertionError("evaluated before all inputs were checked")

    monkeypatch.setattr("fcpts_ref.experiments.dense.accuracy", forbidden)
    words = ("--networks", str(place.network), "resnet8-digits")
    result = run(*words_of(place, tmp_path, *words))
    assert result.code == 2
    assert "network 'resnet8-digits', a resnet8, reads images" in result.err


# A cluster


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_table_of_a_local_run(run: Run, place: Place, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        far = run(
            *words_of(place, tmp_path / "far", *ONE_SHOT, "--dask", cluster.scheduler_address)
        )
    assert far.code == 0, far.err
    here = run(*words_of(place, tmp_path / "here", *ONE_SHOT))
    names = ("method", "rate", "top1", "top5", "achieved")
    tables = [
        [[line[name] for name in names] for line in json.loads((out / "table.json").read_text())]
        for out in (tmp_path / "far", tmp_path / "here")
    ]
    assert tables[0] == tables[1]
    assert here.code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shared", "x"), "--shared is of --dask"),
        (("--dask", "tcp://x:1", "--jobs", "2"), "--jobs and --dask"),
        (("--dask", "nonsense://x"), "no Dask scheduler answers"),
    ],
)
def test_options_of_a_cluster(
    run: Run, place: Place, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    if "nonsense" in words[1]:
        pytest.importorskip("distributed")
    result = run(*words_of(place, tmp_path / "out", *ONE_SHOT, *words))
    assert result.code == 2
    assert said in result.err
    assert one_line(result.err)


def test_a_plan_runs_nothing_and_estimates_from_what_is_finished(
    run: Run, place: Place, tmp_path: Path
) -> None:
    words = words_of(place, tmp_path / "out", *ONE_SHOT)
    first = run(*words, "--plan")
    assert first.code == 0
    assert "4 cells to run" in first.out
    assert "4 cells of unknown time" in first.out
    assert not (tmp_path / "out").exists()
    assert run(*words_of(place, tmp_path / "out", *ONE_SHOT[:4], "0.5")).code == 0
    second = run(*words, "--plan", "--json").json
    assert [(row["cells"], row["finished"]) for row in second["rows"]] == [(2, 1), (2, 1)]
    assert second["unknown"] == 0
    seconds = [row["seconds"] for row in second["rows"]]
    assert second["seconds_left"] == pytest.approx(sum(seconds))


def test_running_cells_are_shown_until_they_end() -> None:
    from fcpts_ref.cli.compare import Shares
    from fcpts_ref.experiments.job import Job

    texts: list[str] = []

    class Bar:
        def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
            texts.append(s)

    shares, jobs = Shares(Bar()), [Job(target=0.9, seed=seed, label="FCPTS") for seed in (0, 1)]
    shares.show(jobs[0], 0.25)
    shares.show(jobs[1], 0.5)
    shares.show(jobs[0], 1.0)
    assert texts[1] == ("FCPTS 90 % seed 0: 25 % done, FCPTS 90 % seed 1: 50 % done")
    assert texts[2] == "FCPTS 90 % seed 1: 50 % done"


def test_what_dask_logs_is_not_shown() -> None:
    import logging

    pytest.importorskip("distributed")
    from fcpts_ref.cli.compare import _silence_dask

    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [logger.level for logger in loggers]
    try:
        _silence_dask()
        assert not any(logger.isEnabledFor(logging.ERROR) for logger in loggers)
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def test_cells_that_fail_for_one_reason_share_a_line(
    run: Run, place: Place, tmp_path: Path
) -> None:
    more = ("--methods", "one-shot-erk", "one-shot-lamp", "--rates", "0.9999")
    result = run(*words_of(place, tmp_path, *more))
    assert result.code == 2
    lines = [line for line in result.err.splitlines() if line.startswith("fcpts-ref: ")]
    assert len(lines) == 1
    assert "and 1 other cell: " in lines[0]
    assert not result.out
