"""``fcpts-ref explain``, and the page of all mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fcpts_ref.cli import main
from fcpts_ref.oracle.mistakes import CATALOGUE
from fcpts_ref.oracle.mistakes.page import make_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mistakes.md"


def test_a_constant_of_a_report_is_understood(capsys):
    assert main(["explain", "bn-epsilon=0.001"]) == 0
    assert "another epsilon" in capsys.readouterr().out
    assert main(["explain", "slip=momentum v - gradient"]) == 0


def test_the_page_is_made_from_the_catalogue():
    assert PAGE.read_text(encoding="utf-8") == make_page()


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_mistake_is_explained(name, capsys):
    assert main(["explain", name]) == 0
    out = capsys.readouterr().out
    assert CATALOGUE[name].text.split()[0] in out
    assert "right" in out
    assert max(map(len, out.splitlines())) <= 80


def test_lists_and_json(capsys):
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert f"{len(CATALOGUE)} mistakes" in out
    assert main(["explain", "--of", "densities"]) == 0
    assert "kernel-scott" in capsys.readouterr().out
    assert main(["explain", "kl-swapped", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kl-swapped"]["of"][0] == "reconstruction_loss"


@pytest.mark.parametrize("words", [["kl-swaped"], ["--of", "density"], ["zzzzzz"]])
def test_unknown_names_are_refused(words, capsys):
    assert main(["explain", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
