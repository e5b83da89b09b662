"""``fcpts-ref trace`` and ``fcpts-ref diverge``: output and exit codes."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from damage import damaged_copies, survives
from traced_networks import record

from fcpts_ref.cli import main
from fcpts_ref.cli.trace import parse_steps
from fcpts_ref.errors import InputError
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.trace_file import read_trace, write_trace


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "reference.h5"
    write_trace(path, record(steps=(0, 1)))
    return path


@pytest.fixture
def wrong(tmp_path, reference):
    """A trace whose densities are twice the reference's."""
    path = tmp_path / "wrong.h5"
    path.write_bytes(reference.read_bytes())
    with h5py.File(path, "r+") as file:
        for step in file["steps"].values():
            step["quantities/drate_dthreshold"][...] = step["quantities/densities"][:, 0]
    return path


def test_a_trace_of_the_embedded_network_agrees(capsys, tmp_path):
    path = tmp_path / "trace.h5"
    code, out, _ = run(capsys, "trace", "--out", path, "--batch-size", 16, "--steps", "0")
    assert code == 0
    assert "of step 0" in out
    code, out, _ = run(capsys, "diverge", path)
    assert code == 0, out
    assert "agrees with the reference" in out


def test_options_reach_the_run(capsys, tmp_path):
    path = tmp_path / "trace.h5"
    code, _, _ = run(
        capsys, "trace", "--out", path, "--batch-size", 8, "--profile", "released", "--choose",
        "temperature=2", "--allocation", "lamp", "--control", "projection", "--epochs", 1,
        "--calibration", 32, "--sparsity", 0.7, "--fixed-rates", "--without", "activation",
    )  # fmt: skip
    assert code == 0
    setting = read_trace(path).setting
    assert (setting.target, setting.control, setting.learn_rates) == (0.7, "projection", False)
    assert setting.conventions.temperature == 2.0
    assert setting.conventions.initial_allocation == "lamp"
    assert setting.conventions.density == "histogram"
    assert setting.schedule.calibration_images == 32


def test_a_difference_is_reported(capsys, wrong):
    code, out, _ = run(capsys, "diverge", wrong)
    assert code == 1
    for text in ("step 0, at drate_dthreshold", "Equation 11", "p(-t) is missing", "times the"):
        assert text in out
    assert "equal up to there" in out


def test_a_difference_as_json(capsys, wrong, reference):
    code, out, _ = run(capsys, "diverge", wrong, reference, "--json")
    assert code == 1
    content = json.loads(out)
    first = content["first_difference"]
    assert content["ok"] is False
    assert (first["step"], first["name"]) == (0, "drate_dthreshold")
    assert first["explanations"][0]["text"] == "p(-t) is missing"
    assert first["share_of_tolerance"] > 1


def test_two_traces(capsys, reference):
    code, out, _ = run(capsys, "diverge", reference, reference)
    assert code == 0
    assert str(reference) in out
    content = json.loads(run(capsys, "diverge", reference, "--json")[1])
    assert content["ok"] is True
    assert content["first_difference"] is None


def test_comparing_nothing_exits_with_1(capsys, tmp_path, reference):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = np.bytes_("fcpts-ref trace")
        file.attrs["version"] = 2
        file["steps/0/quantities/masks"] = np.ones(3)
    code, out, _ = run(capsys, "diverge", path, reference)
    assert code == 1
    assert "nothing to compare" in out
    assert "masks" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("diverge", "nothing.h5"),
        ("trace", "--steps", "9999"),
        ("trace", "--steps", "3-1"),
        ("trace", "--choose", "tie=kept"),
        ("trace", "--steps", "²"),
        ("trace", "--calibration", "0"),
        ("trace", "--sparsity", "2"),
        ("trace", "--without", "nothing"),
        ("trace", "--data", "nothing.h5"),
    ],
    ids=" ".join,
)
def test_bad_input_exits_with_2(capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, _, error = run(capsys, *arguments)
    assert code == 2
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_steps_are_numbers_and_ranges():
    assert parse_steps("0,2-4, 3") == [0, 2, 3, 4]
    for text in ("", "a", "1,,2", "-1", "2-1", "0-99999999", "9" * 50):
        with pytest.raises(InputError):
            parse_steps(text)


def test_a_large_trace_warns(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("fcpts_ref.cli.trace.LARGE", 1_000)
    code, _, error = run(capsys, "trace", "--out", tmp_path / "t.h5", "--batch-size", 4)
    assert code == 0
    assert "--without" in error


def test_damaged_files_do_not_crash(tmp_path, reference):
    content = reference.read_bytes()
    with np.errstate(all="ignore"):
        for copy in damaged_copies(content, 40):
            survives(lambda path: diverge(read_trace(path)), tmp_path / "damaged.h5", copy)
