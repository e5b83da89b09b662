"""docs/specification.md and docs/oracle.md agree with the code, name by name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from fcpts_ref.oracle.quantities import QUANTITIES
from fcpts_ref.oracle.vectors import load_cases
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.spec.conventions import OPEN_POINTS, PROFILES, Conventions
from fcpts_ref.spec.equations import EQUATIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
ORACLE = (ROOT / "docs" / "oracle.md").read_text(encoding="utf-8")
SECTIONS = {
    int(number): body
    for number, body in re.findall(
        r"^## Equation (\d+): .*?\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE
    )
}
CASES = load_cases()


def listed(number, what):
    """The names in back quotes of one line of a section's list."""
    (line,) = re.findall(rf"^- {what}: (.*)$", SECTIONS[number], re.MULTILINE)
    return re.findall(r"`([^`]+)`", line) or [part.strip() for part in line.split(",")]


def imported(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_every_equation_has_its_section():
    assert list(SECTIONS) == list(EQUATIONS) == list(range(1, 15))


@pytest.mark.parametrize("number", EQUATIONS)
def test_its_functions_are_those_of_the_code(number):
    found = [imported(name) for name in listed(number, "code")]
    expected = [sparsify] if number == 6 else list(EQUATIONS[number])
    assert found == expected
    assert all(re.search(rf"Equations? [\d and]*\b{number}\b", f.__doc__) for f in found)


@pytest.mark.parametrize("number", EQUATIONS)
def test_its_formula_stands_there(number):
    (formula,) = re.findall(r"^```\n(.+?)\n```$", SECTIONS[number], re.DOTALL | re.MULTILINE)
    assert "=" in formula or number == 6


@pytest.mark.parametrize("number", EQUATIONS)
def test_its_vectors_run_its_functions(number):
    (name,) = listed(number, "vectors")
    assert (ROOT / name).is_file()
    group = Path(name).stem
    operations = {case.operation for case in CASES if case.group == group}
    named = {f.__name__ for f in EQUATIONS[number]}
    assert named <= operations if number != 6 else operations == {"fcpts_step", "fcpts_run"}


@pytest.mark.parametrize("number", EQUATIONS)
def test_its_tests_exist(number):
    file, tests = None, 0
    for name in listed(number, "tests"):
        if name.endswith(".py"):
            file = ROOT / name
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        tests += 1
    assert tests > 0


@pytest.mark.parametrize("number", EQUATIONS)
def test_its_open_points_are_those_its_vectors_test(number):
    points = {int(point) for point in listed(number, "open points")}
    assert points <= {point.number for point in OPEN_POINTS}
    group = "fcpts" if number == 6 else f"eq{number:02d}"
    assert {p for c in CASES if c.group == group and number != 6 for p in c.conventions} <= points


def cells(line):
    return [cell.strip().replace("&#124;", "|") for cell in line.strip().strip("|").split("|")]


@pytest.mark.parametrize("point", OPEN_POINTS, ids=lambda point: str(point.number))
def test_every_open_point_is_in_the_table(point):
    (row,) = re.findall(rf"^\| {point.number} \| [^|]+\| [^|]+\| [^|]+\| `.*$", PAGE, re.MULTILINE)
    names = ", ".join(f"`{name}`" for name in point.fields)
    assert cells(row) == [
        str(point.number),
        point.question,
        point.paper,
        point.released,
        names,
    ]


def test_every_convention_belongs_to_an_open_point():
    named = [name for point in OPEN_POINTS for name in point.fields]
    assert sorted(named) == sorted(field.name for field in fields(Conventions))


def load_open_points():
    specification = importlib.util.spec_from_file_location(
        "open_points", ROOT / "tools" / "open_points.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_figures_are_those_of_the_runs():
    module = load_open_points()
    results = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    assert module.table(results) in PAGE
    assert [(row["point"], row["name"]) for row in results["rows"]] == [
        (point, name) for point, name, _ in module.ROWS
    ]
    assert all(len(row["top1"]) == len(results["seeds"]) >= 3 for row in results["rows"])
    for name in ("numpy", "numba", "fcpts-ref"):
        assert f"{name} {results['versions'][name]}" in PAGE
    assert f"{100 * results['target']:.0f} %" in PAGE


def test_the_rows_switch_conventions_that_exist():
    module = load_open_points()
    for _, _, switched in module.ROWS:
        choices = {k: v for k, v in switched.items() if k not in module.SETTINGS}
        PROFILES["paper"].with_choices(choices)


@pytest.mark.parametrize("name", [name for name in QUANTITIES if name != "inputs"])
def test_every_quantity_of_a_trace_is_described(name):
    row = QUANTITIES[name][2]
    (line,) = re.findall(rf"^\| `{name}` \|.*$", ORACLE, re.MULTILINE)
    found = cells(line)
    assert (found[1], found[3], found[4]) == (row.per, row.source, row.formula)
    assert found[5] == ", ".join(map(str, row.points))


def test_quantities_are_described_in_the_order_of_computation():
    rows = re.findall(r"^\| `(\w+)` \|.*Equation|^\| `(\w+)` \|", ORACLE, re.MULTILINE)
    names = [first or second for first, second in rows]
    assert [n for n in names if n in QUANTITIES] == [n for n in QUANTITIES if n != "inputs"]


def test_the_example_of_a_gradient_check_runs():
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", ORACLE, re.DOTALL) if "leaky" in c)
    exec(code, {})  # our own page
    wrong = code.replace("slope * dy)", "dy)")
    with pytest.raises(AssertionError):
        exec(wrong, {})
