"""The search on held-out training images (tools/search)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.inputs import find_inputs
from fcpts_ref.experiments.job import Job
from tools.search.__main__ import main
from tools.search.figure import averaged, histories
from tools.search.figure import main as draw
from tools.search.held_out import find_held_out
from tools.search.trials import Trial, means

CONFIG = """
rates = [0.8]
seeds = [0, 1]
[method."LAMP, one"]
preset = "one-shot-lamp"
[method."STR, short"]
preset = "str"
epochs = 1
[options]
calibration = 64
engine = "numpy"
"""


def test_a_search_judges_by_training_images_that_no_run_calibrates_on():
    job = Job(calibration=100, seed=3)
    found, usual = find_held_out(job, count=300), find_inputs(job)
    total = len(usual.dataset.train)
    assert len(found.images) == 100
    assert found.images.chosen.max() < total - 300
    assert np.array_equal(found.test.chosen, np.arange(total - 300, total))
    labels = usual.dataset.train.labels
    assert np.array_equal(found.labels, labels[-300:])
    assert np.array_equal(found.calibration_labels, labels[found.images.chosen])
    assert not np.array_equal(found.images.chosen, usual.images.chosen)
    assert np.array_equal(found.test[:2], usual.dataset.prepare(usual.dataset.train)[-300:-298])


@pytest.mark.parametrize("count", [-1, 0, 1_301, 10**9])
def test_held_out_and_calibration_images_must_fit_together(count):
    with pytest.raises(InputError, match="not more than the"):
        find_held_out(Job(calibration=100), count=count)


def test_a_search_stores_every_trial_and_runs_none_twice(tmp_path, capsys):
    config = tmp_path / "space.toml"
    config.write_text(CONFIG, encoding="utf-8")
    out = tmp_path / "out"
    words = [str(config), "--out", str(out), "--held-out", "100", "--quiet"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    trials = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [(one["name"], one["seed"]) for one in trials] == [
        ("LAMP, one", 0), ("STR, short", 0), ("STR, short", 1),
    ]  # fmt: skip
    assert all(0 <= one["top1"] <= 1 and one["divergence"] >= 0 for one in trials)
    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("summary.json"))
    assert main(words) == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("summary.json")) == before


def test_a_search_refuses_a_bad_file_in_one_line(tmp_path, capsys):
    config = tmp_path / "space.toml"
    config.write_text('method = "x"', encoding="utf-8")
    assert main([str(config), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_means_are_over_seeds_and_the_best_settings_come_first():
    def one(name, seed, top1):
        return Trial("n", name, {}, 0.9, seed, top1, None, 0.5, 0.9, 1.0)

    found = means([one("STR, a", 0, 0.5), one("STR, a", 1, 0.7), one("STR, b", 0, 0.8)])
    assert [m.name for m in found] == ["STR, b", "STR, a"]
    assert found[1].top1 == pytest.approx(0.6)
    assert found[1].spread == pytest.approx(0.02**0.5)
    assert found[0].spread is None
    assert found[0].seeds == 1


def test_a_figure_of_rates_and_losses(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    config = tmp_path / "space.toml"
    config.write_text(CONFIG, encoding="utf-8")
    out = tmp_path / "out"
    assert main([str(config), "--out", str(out), "--held-out", "100", "--quiet"]) == 0
    capsys.readouterr()
    assert draw([str(out), "--out", str(tmp_path), "--name", "two"]) == 0
    assert {path.name for path in tmp_path.glob("two.*")} == {"two.png", "two.svg"}
    assert list(histories(out, 0.8, 1)) == ["STR, short"]  # one-shot pruning has no steps
    assert draw([str(out), "--rate", "0.7"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_losses_are_averaged_over_the_steps_before():
    assert averaged(np.arange(3.0)).tolist() == [0, 0.5, 1]
    assert averaged(np.arange(20.0))[-1] == np.arange(10.0, 20.0).mean()
