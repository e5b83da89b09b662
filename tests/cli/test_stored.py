"""models list and data list; exports over earlier files."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Place, Run


def test_lists_hold_the_package_and_home(run: Run, place: Place, tmp_path: Path) -> None:
    for folder, source in (("models", place.network), ("data", place.data)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.h5").write_bytes(source.read_bytes())
        (tmp_path / folder / "broken.h5").write_bytes(b"nothing")
        result = run(folder, "list", "--home", tmp_path, "--json")
        assert result.code == 0
        found = {row["name"]: row["in"] for row in result.json}
        assert found["mine"] == "--home"
        assert "the package" in found.values()
        assert "broken" not in found
        text = run(folder, "list", "--home", tmp_path).out
        assert "mine" in text
        assert str(tmp_path / folder) in text


def test_a_user_without_a_home_directory_sees_the_package_s(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FCPTS_REF_HOME", raising=False)
    monkeypatch.setattr("fcpts_ref.data.locations.user_cache", lambda: None)
    for folder, name in (("models", "resnet8-digits"), ("data", "digits")):
        assert name in {row["name"] for row in run(folder, "list", "--json").json}
        assert "FCPTS_REF_HOME names" in run(folder, "list").out
    assert "1 data set; " in run("data", "list").out


def test_an_export_says_that_it_replaces_a_file(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("models", "export", place.network, tmp_path / "x.pt")
    assert "earlier file" not in run(*words).out
    assert "in place of an earlier file" in run(*words).out
