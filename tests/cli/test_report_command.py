"""fcpts-ref report, from real runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Place, Run, one_line
from report.test_report import check_page

from fcpts_ref.storage.json_files import read_json, write_json

pytest.importorskip("matplotlib")

SHORT = ("--epochs=1", "--batch-size=8", "--quiet")


def test_from_runs_to_a_page(run: Run, place: Place, tmp_path: Path) -> None:
    for name, more in (
        ("a", (*SHORT, "--profile=released", "--batch-norm")),
        ("b", (*SHORT, "--profile=released", "--fixed-rates")),
        ("c", ("--quiet", "--method=pot", "--steps=1")),
    ):
        out = tmp_path / "runs" / name
        assert run("sparsify", *place.options, *more, "--out", out).code == 0
        figures = {path.name for path in out.glob("*.svg")}
        assert figures == {"allocation.svg", "steps.svg"}
    result = run("report", tmp_path / "runs", "--out", tmp_path / "report", "--json")
    assert result.code == 0, result.err
    assert all(Path(name).is_file() for name in result.json)
    text = check_page((tmp_path / "report" / "report.html").read_text(encoding="utf-8")).text
    for word in ("FCPTS (released)", "FCPTS (released) + BN", "FCPTS (released, fixed)"):
        assert word in text
    assert (tmp_path / "report" / "learned-resnet8-squares.svg").exists()


def test_bad_input(run: Run, place: Place, tmp_path: Path) -> None:
    run("sparsify", *place.options, "--method=one-shot", "--quiet", "--out", tmp_path / "a")
    summary = read_json(tmp_path / "a" / "summary.json")
    lacking = {k: v for k, v in summary.items() if k not in ("layers", "versions")}
    broken = tmp_path / "broken"
    for number, damaged in enumerate((lacking, {**summary, "rows": [1]}, {"pinned": {}})):
        place_ = broken / str(number)
        place_.mkdir(parents=True)
        write_json(place_ / "summary.json", damaged)
        (place_ / "history.h5").write_bytes((tmp_path / "a" / "history.h5").read_bytes())
        result = run("report", place_, "--out", tmp_path / "report")
        assert result.code == 2
        assert one_line(result.err)
    for words in (("absent",), (tmp_path / "absent",), (broken,), (tmp_path / "a", "absent")):
        result = run("report", *words, "--out", tmp_path / "report")
        assert result.code == 2, words
        assert one_line(result.err)
