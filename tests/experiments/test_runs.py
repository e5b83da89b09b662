"""Runs: drawing, checkpoints, settings, statistics measured anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import runs
from fcpts_ref.graphs.execution import forward
from fcpts_ref.pruning.common import StepReport, make_problem, run_method
from fcpts_ref.pruning.fcpts import method as fcpts
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.storage.network_files import read_arrays, write_arrays

SETTINGS = runs.RunSettings(
    weights="w",
    data="d",
    target=0.5,
    method_settings={"epochs": 4, "batch_size": 4, "profile": "released"},
    seed=3,
    engine="numpy",
)


def execute(folder: Path, on_step: Any = lambda report: None, **change: Any) -> runs.Finished:
    network = make_network(small_plain())
    images = make_images(network.graph, 12)
    folder.mkdir(exist_ok=True)
    return runs.execute(
        replace(SETTINGS, resolved=None, **change), network, images, folder, on_step=on_step
    )


def same(a: runs.Finished, b: runs.Finished) -> bool:
    networks = (a.result.network, b.result.network)
    return all(
        np.array_equal(networks[0].parameters[n], networks[1].parameters[n])
        for n in networks[0].parameters
    ) and all(np.array_equal(a.result.history[n], b.result.history[n]) for n in a.result.history)


def test_a_run_is_its_method_and_its_seed(tmp_path: Path) -> None:
    finished = execute(tmp_path)
    network = make_network(small_plain())
    problem = make_problem(network, make_images(network.graph, 12), 0.5, engine="numpy")
    method = FCPTS(epochs=4, batch_size=4, profile="released")
    expected = run_method(method, problem, np.random.default_rng(3))
    assert finished.complete
    assert same(finished, replace(finished, result=expected))


@pytest.mark.parametrize("step", range(1, 13))
def test_stopped_at_any_step_and_continued(tmp_path: Path, step: int) -> None:
    """Ctrl-C in each of the twelve steps: the result is that of the last whole epoch."""

    def stop(report: StepReport) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    if step <= 3:
        with pytest.raises(KeyboardInterrupt):
            execute(tmp_path / "r", stop)
    else:
        stopped = execute(tmp_path / "r", stop)
        assert stopped.stages_done == (step - 1) // 3
        assert not stopped.complete
        assert len(stopped.result.history["total_loss"]) == 3 * stopped.stages_done
    continued = execute(tmp_path / "r")
    assert same(continued, execute(tmp_path / "whole"))


def test_seconds_of_all_sessions_are_added(tmp_path: Path) -> None:
    execute(tmp_path)
    arrays, notes = read_arrays(tmp_path / runs.CHECKPOINT)
    write_arrays(tmp_path / runs.CHECKPOINT, arrays, {**notes, "seconds": 1000.0})
    assert 1000 <= execute(tmp_path).seconds < 1100


def test_a_checkpoint_of_another_method_is_refused(tmp_path: Path) -> None:
    execute(tmp_path)
    with pytest.raises(InputError, match="of other settings"):
        execute(tmp_path, method="pot", method_settings={})


@pytest.mark.parametrize(
    "change",
    [
        {"target": 0.6},
        {"seed": 4},
        {"method_settings": {"epochs": 5, "batch_size": 4, "profile": "released"}},
        {"images_sha256": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, change: Any) -> None:
    execute(tmp_path)
    before = (tmp_path / runs.CHECKPOINT).read_bytes()
    with pytest.raises(InputError, match="of other settings"):
        execute(tmp_path, **change)
    assert (tmp_path / runs.CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_other_defaults_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 2, "augmentation": "crop"}  # of the default profile
    execute(tmp_path, method_settings=settings)
    monkeypatch.setitem(fcpts.PROFILE_SETTINGS["extended"], "ramp", 0.25)
    with pytest.raises(InputError, match="of other settings"):
        execute(tmp_path, method_settings=settings)


def test_settings_that_came_to_something_else_are_refused(tmp_path: Path) -> None:
    """Half changed, they would pin a run to what it did not do."""
    network = make_network(small_plain())
    half = replace(SETTINGS, method_settings={"epochs": 5})
    with pytest.raises(InputError, match="made with other defaults"):
        runs.execute(half, network, make_images(network.graph, 12), tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_are_spelled_out() -> None:
    everything = runs.resolve("fcpts", {"epochs": 3})
    assert (everything["epochs"], everything["views"], everything["ramp"]) == (3, 5, 0.5)
    assert everything["conventions"]["temperature"] == 4.0
    assert runs.resolve("pot", {})["steps"] > 0
    with pytest.raises(InputError):
        runs.resolve("fcpts", {"magic": 1})


def test_settings_without_what_they_came_to_are_refused(tmp_path: Path) -> None:
    """As an earlier version wrote them: today's defaults may be others."""
    runs.write_settings(tmp_path, SETTINGS)
    assert runs.read_settings(tmp_path) == SETTINGS
    data = runs.read_json(tmp_path / runs.SETTINGS)
    without = {name: value for name, value in data.items() if name != "resolved"}
    for bad in (without, {**data, "resolved": None}):
        runs.write_json(tmp_path / runs.SETTINGS, bad)
        with pytest.raises(InputError, match="resolved"):
            runs.read_settings(tmp_path)


def test_a_checkpoint_that_does_not_say_its_settings_is_refused(tmp_path: Path) -> None:
    execute(tmp_path)
    arrays, notes = read_arrays(tmp_path / runs.CHECKPOINT)
    del notes["settings"]
    write_arrays(tmp_path / runs.CHECKPOINT, arrays, notes)
    with pytest.raises(InputError, match="of other settings"):
        execute(tmp_path)


@pytest.mark.parametrize("name", ["state", "generator", "stages_done", "seconds"])
def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path, name: str) -> None:
    execute(tmp_path)
    arrays, notes = read_arrays(tmp_path / runs.CHECKPOINT)
    del notes[name]
    write_arrays(tmp_path / runs.CHECKPOINT, arrays, notes)
    with pytest.raises(InputError, match="no checkpoint of this method"):
        execute(tmp_path)


def test_drawing_is_seeded_without_repeats_and_in_order() -> None:
    draw = [runs.draw_calibration(100, 40, np.random.default_rng(s)) for s in (0, 0, 1)]
    assert np.array_equal(draw[0], draw[1])
    assert not np.array_equal(draw[0], draw[2])
    assert len(set(draw[0])) == 40
    assert (np.diff(draw[0]) > 0).all()
    assert np.array_equal(runs.draw_calibration(5, None, np.random.default_rng(0)), range(5))
    assert np.array_equal(runs.draw_calibration(5, 5, np.random.default_rng(0)), range(5))


@pytest.mark.parametrize("count", [0, -1, 6])
def test_drawing_what_is_not_there(count: int) -> None:
    with pytest.raises(InputError, match="there are 5"):
        runs.draw_calibration(5, count, np.random.default_rng(0))


def test_statistics_measured_anew_are_the_means_over_batches() -> None:
    """Against the definition, at the first batch norm: its inputs computed here."""
    network = make_network(small_resnet())
    images = make_images(network.graph, 11)
    new = runs.re_estimate_batch_norm(
        network, images, engine=NumpyEngine(network.graph), batch_size=4
    )
    seen: dict[str, Any] = {}
    means, variances = [], []
    for start in (0, 4):  # the last three images do not make a batch
        x = images[start : start + 4]
        forward(
            network.graph,
            network.parameters,
            network.buffers,
            {"images": x},
            training=True,
            observe=seen.__setitem__,
        )
        means.append(seen["conv1"].mean(axis=(0, 2, 3)))
        variances.append(seen["conv1"].var(axis=(0, 2, 3), ddof=1))
    assert np.abs(new.buffers["bn1.running_mean"] - np.mean(means, axis=0)).max() <= 1e-12
    assert np.abs(new.buffers["bn1.running_var"] - np.mean(variances, axis=0)).max() <= 1e-12
    assert new.parameters is network.parameters
    assert np.array_equal(new.buffers["normalise.mean"], network.buffers["normalise.mean"])


def test_checksums_tell_networks_apart() -> None:
    network = make_network(small_plain())
    turned = replace(network, parameters=dict(reversed(network.parameters.items())))
    assert runs.network_sha256(network) == runs.network_sha256(turned)
    changed = {**network.parameters, "linear.bias": network.parameters["linear.bias"] + 1e-12}
    assert runs.network_sha256(network) != runs.network_sha256(network.with_parameters(changed))
    images = make_images(network.graph)
    assert runs.array_sha256(images) == runs.array_sha256(images.astype(">f8"))
    assert runs.array_sha256(images) != runs.array_sha256(images[::-1])


def test_settings_come_back(tmp_path: Path) -> None:
    runs.write_settings(tmp_path, SETTINGS)
    assert runs.read_settings(tmp_path) == SETTINGS


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b'"x"', b'{"weights": 1}', b"\xff", b"[" * 99999]
)
def test_settings_that_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / runs.SETTINGS).write_bytes(content)
    with pytest.raises(InputError) as caught:
        runs.read_settings(tmp_path)
    assert "\n" not in str(caught.value)


def test_json_of_numpy_numbers(tmp_path: Path) -> None:
    runs.write_json(tmp_path / "x.json", {"a": np.float32(0.5), "b": np.arange(2)})
    assert runs.read_json(tmp_path / "x.json") == {"a": 0.5, "b": [0, 1]}
    with pytest.raises(TypeError, match="set cannot be written"):
        runs.write_json(tmp_path / "y.json", {1, 2})
    assert not (tmp_path / "y.json").exists()
