"""``fcpts-ref explain`` of the equations of the vectors, and the page of all of them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from fcpts_ref import layers
from fcpts_ref.cli import main
from fcpts_ref.oracle.mistakes import CATALOGUE
from fcpts_ref.oracle.operation_pages import make_operations_page, read_operations
from fcpts_ref.oracle.quantities import QUANTITIES
from fcpts_ref.oracle.reference import LAYERS
from fcpts_ref.oracle.vectors import load_cases

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations-of-vectors.md"
CASES = {case.id: case for case in load_cases()}
OPERATIONS = read_operations()


def is_layer(operation: str) -> bool:
    name = operation.removesuffix("_forward").removesuffix("_backward")
    return hasattr(layers, f"{LAYERS.get(name, name)}_forward")


def test_every_equation_with_cases_has_a_page() -> None:
    tested = {case.operation for case in CASES.values()}
    assert {name for name in tested if not is_layer(name)} == set(OPERATIONS)
    assert not set(OPERATIONS) & set(CATALOGUE)


def test_the_page_is_made_from_the_operations() -> None:
    assert PAGE.read_text(encoding="utf-8") == make_operations_page()


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_equation_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    operation = OPERATIONS[name]
    assert main(["explain", name]) == 0
    out = capsys.readouterr().out
    assert operation.text in " ".join(out.split())
    assert operation.code in out
    assert max(map(len, out.splitlines())) <= 80
    module, _, function = operation.code.rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))
    assert not operation.of or operation.of in QUANTITIES
    assert operation.of or operation.wrong
    for wrong in operation.wrong:
        assert CASES[wrong.case].operation == name


def test_json_and_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "regrown_mask", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["regrown_mask"]
    assert found["outputs"] == ["mask"]
    assert set(found["cases"]) == {c.id for c in CASES.values() if c.operation == "regrown_mask"}
    assert main(["explain", "regrow_mask"]) == 2
    assert "perhaps regrown_mask" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["eq04", "eq4", "4", "Equation 4", "EQ04"])
def test_an_equation_is_explained_by_its_number(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", name]) == 0
    text = capsys.readouterr().out
    assert "reconstruction_loss: " in text
    assert "reconstruction_loss_gradient: " in text
    assert max(map(len, text.splitlines())) <= 80
    assert main(["explain", name, "--json"]) == 0
    assert "reconstruction_loss" in json.loads(capsys.readouterr().out)


def test_an_equation_with_one_operation_is_shown_in_full(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "eq05"]) == 0
    assert "fcpts-ref conform list --only total_loss" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["6", "eq99", "4.5", "eq"])
def test_equations_without_cases_are_refused(name: str) -> None:
    assert main(["explain", name]) == 2
