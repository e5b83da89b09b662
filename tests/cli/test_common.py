"""What every command has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Place, Run, one_line

from fcpts_ref import bars
from fcpts_ref.cli import build_parser
from fcpts_ref.cli.common import leaves
from fcpts_ref.storage.toml_files import read_toml

COMMANDS = {leaf.prog: leaf for leaf in leaves(build_parser())}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_quiet_or_verbose_and_has_no_abbreviations(name: str) -> None:
    known = COMMANDS[name]._option_string_actions
    assert {"--quiet", "--verbose", "--help"} <= set(known)
    assert not COMMANDS[name].allow_abbrev


def test_an_abbreviated_option_is_refused(run: Run) -> None:
    result = run("inspect", "resnet8-digits", "--js")
    assert result.code == 2
    assert "unrecognized arguments: --js" in result.err


def test_verbose_tells_files_versions_times_and_origins(run: Run, place: Place) -> None:
    result = run("inspect", place.network, "--verbose", "--json")
    assert result.code == 0
    assert result.json["network"]
    for word in (f"reading {place.network}", "version", "took"):
        assert word in result.err
    failed = run("inspect", "nothing.h5", "--verbose")
    assert failed.code == 2
    assert "Traceback" in failed.err
    assert failed.err.endswith("correct the path\n")
    assert one_line(run("inspect", "nothing.h5").err)  # and nothing stays switched on


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(run: Run, shell: str) -> None:
    pytest.importorskip("shtab")
    result = run("completion", shell)
    assert result.code == 0
    assert "sparsify" in result.out
    assert "keep" in result.out


def test_completion_finds_files_and_folders(run: Run) -> None:
    pytest.importorskip("shtab")
    lines = run("completion", "zsh").out.splitlines()
    ends = {"weights": "|FILE:_files", "home": "FOLDER:_files -/", "epochs": ":N:"}
    for option, end in ends.items():
        found = [line for line in lines if f'"--{option}[' in line]
        assert found
        assert all(line.endswith(f'{end}"') for line in found)


def test_completion_without_its_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    result = run("completion", "bash")
    assert result.code == 2
    assert "completion" in result.err
    assert one_line(result.err)


# Progress in a file


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("fcpts_ref.bars.time.monotonic", lambda: now[0])
    return now


def test_progress_in_a_file_is_lines(capsys: Any, clock: list[float]) -> None:
    with bars.progress_bar("fcpts", 1000, "img", initial=100) as bar:
        for _ in range(9):
            clock[0] += 3
            bar.set_postfix_str("rate 0.5", refresh=False)
            bar.update(100)
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "fcpts: 200 of 1,000 img (20 %), 3 s, about 24 s left; rate 0.5",
        "fcpts: 600 of 1,000 img (60 %), 15 s, about 12 s left; rate 0.5",
        "fcpts: 1,000 of 1,000 img (100 %), 27 s, about 0 s left; rate 0.5",
    ]
    assert "\r" not in said


@pytest.mark.parametrize(
    ("total", "unit", "said"),
    [(6, "cell", "of 6 cells"), (1, "cell", "of 1 cell ("), (9, "B", "9 B")],
)
def test_progress_in_a_file_names_its_unit(
    total: int, unit: str, said: str, capsys: Any, clock: list[float]
) -> None:
    with bars.progress_bar("work", total, unit) as bar:
        clock[0] += 3
        bar.update(total)
    assert said in capsys.readouterr().err


def test_progress_in_a_file_ends_where_the_work_ended(capsys: Any, clock: list[float]) -> None:
    with bars.progress_bar("pot", 100, "img") as bar:
        for _ in range(10):
            clock[0] += 1
            bar.update(10)
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "pot: 20 of 100 img (20 %)",
        "pot: 100 of 100 img (100 %)",
    ]


def test_no_lines_for_what_takes_no_time(capsys: Any, clock: list[float]) -> None:
    with bars.progress_bar("fcpts", 10, "img") as bar:
        bar.update(10)
    with bars.progress_bar("fcpts", 10, "img", quiet=True) as bar:
        clock[0] += 100
        bar.update(10)
    with bars.progress_bar("fcpts", None, "img") as bar:
        clock[0] += 100
        bar.update(10)
    assert capsys.readouterr().err == "fcpts: 10, 100 s\n"


def test_a_run_writes_no_carriage_return_into_a_file(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "FIRST_LINE", 0.0)
    monkeypatch.setattr(bars, "NEXT_LINE", 0.0)
    words = ("--epochs=1", "--batch-size=8", f"--out={tmp_path / 'r'}", *place.options)
    result = run("sparsify", *words)
    assert result.code == 0, result.err
    assert "fcpts: " in result.err
    assert "\r" not in result.err


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["without", "with"])
def test_toml_with_a_byte_order_mark(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "grid.toml"
    path.write_bytes(mark + b"rates = [0.5]\n")
    assert read_toml(path) == {"rates": [0.5]}


# Rates from a file, and rates that were achieved


def test_rates_of_layers_from_a_file(run: Run, place: Place, tmp_path: Path) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text('"conv1" = 0.25\n"layer1.*" = 0.5\n')
    words = ("--method=one-shot", "--sparsity=0.6", "--layer-rate=conv1=0", *place.options)
    words += ("--keep-dense=linear", f"--layer-rates={rates}", f"--out={tmp_path / 'r'}", "--json")
    found = run("sparsify", *words)
    assert found.code == 0, found.err
    layers = {layer["name"]: layer for layer in found.json["layers"]}
    assert layers["conv1.weight"]["rate_after"] == 0  # the option overrides the file
    assert layers["layer1.0.conv1.weight"]["rate_after"] == pytest.approx(0.5, abs=0.02)
    assert found.json["requested"] == 0.6
    assert found.json["achieved_pruned_layers"] == pytest.approx(0.6, abs=0.01)
    assert found.json["achieved_all_weights"] < found.json["achieved_pruned_layers"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no rates"),
        ('"conv1" = "much"', "expected a number"),
        ("[layer1]\nconv1 = 0.5", "the name in quotes"),
        ("conv1 = true", "expected a number"),
        ("conv1 =", "not TOML"),
        ('"conv1" = 2.0', "conv1"),
    ],
)
def test_files_that_hold_no_rates(
    run: Run, place: Place, tmp_path: Path, text: str, said: str
) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text(text)
    result = run("sparsify", f"--layer-rates={rates}", f"--out={tmp_path / 'r'}", *place.options)
    assert result.code == 2
    assert said in result.err
    assert one_line(result.err)
