"""Facts that several files state agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import fcpts_ref
from tools.check_main_job import problems
from tools.minimum_versions import constraints

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(requirement: str) -> str:
    found = re.match(r"[\w-]+", requirement)
    assert found is not None
    return found[0]


def test_the_tools_of_style_and_types_are_pinned() -> None:
    for tool in ("ruff", "mypy", "scipy-stubs", "types-tqdm"):
        (pin,) = (text for text in EXTRAS["dev"] if name_of(text) == tool)
        assert re.fullmatch(rf"{tool}==[\d.]+", pin)


def test_a_commit_checks_what_ci_checks() -> None:
    """Hooks take the pinned tools from the environment; CI runs the hooks themselves."""
    hooks = read(".pre-commit-config.yaml")
    assert re.findall(r"repo: (.*)", hooks) == ["local"]
    assert set(re.findall(r"language: (.*)", hooks)) == {"system"}
    assert re.findall(r"entry: (\w+(?: \w+)?)", hooks) == ["ruff check", "ruff format", "mypy"]
    assert "as_in CONTRIBUTING.md style" in read(".ci/run")
    assert "<!-- style -->\n```sh\npre-commit run --all-files\n```" in read("CONTRIBUTING.md")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_ci_runs_the_commands_of_a_document(document: str) -> None:
    markers = set(re.findall(r"<!-- ([\w-]+) -->\n```sh", read(document)))
    run = set(re.findall(rf"as_in {re.escape(document)} ([\w-]+)", read(".ci/run")))
    assert run
    assert markers - {"slow"} == run  # CI adds --remaining to the slow ones


def test_versions_agree() -> None:
    version = re.escape(fcpts_ref.__version__)
    assert re.search(rf"^version: {version}$", read("CITATION.cff"), re.MULTILINE)
    assert re.search(rf"^## {version}( |$)", read("CHANGELOG.md"), re.MULTILINE)


def test_every_dependency_has_a_reason_and_a_minimum() -> None:
    installed = [*PROJECT["dependencies"], *EXTRAS["plot"], *EXTRAS["tbb"], *EXTRAS["test"]]
    table = read("README.md").split("## Dependencies")[1]
    reasons = {
        name
        for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
        for name in row.replace(",", "").split()
    }
    assert {name_of(text) for text in installed} <= reasons
    assert [name_of(text) for text in constraints()] == [name_of(text) for text in installed]


def test_constraints_are_the_minima(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    text = '[project]\ndependencies = ["a>=1.2,!=1.3", "b==2; python_version > \'3\'"]\n'
    extras = '[project.optional-dependencies]\nplot = []\ntbb = []\ntest = ["c>=3"]\n'
    project.write_text(text + extras, encoding="utf-8")
    assert constraints(project) == ["a==1.2", 'b==2; python_version > "3"', "c==3"]
    project.write_text(text.replace("a>=1.2", "a<2") + extras, encoding="utf-8")
    with pytest.raises(SystemExit, match="lower bound"):
        constraints(project)


GOOD: list[dict[str, Any]] = [
    {"name": "dense", "achieved": 0.0, "top1": 0.99},
    {"name": "one-shot ERK", "achieved": 0.9, "top1": 0.1},
    {"name": "FCPTS (extended)", "achieved": 0.9, "top1": 0.985},
]


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (2, {"top1": 0.984}, "at least 98.5%"),
        (2, {"top1": float("nan")}, "at least"),
        (2, {"achieved": 0.89}, "prunes 89"),
        (1, {"achieved": 0.5}, "one-shot ERK prunes"),
        (1, {"top1": 0.6}, "far more"),
        (2, {"name": "POT"}, "expected one of FCPTS"),
        (1, {"name": "dense"}, "some of one-shot"),
    ],
)
def test_a_main_job_that_prunes_badly_is_noticed(
    row: int, change: dict[str, Any], message: str
) -> None:
    assert problems(GOOD) == []
    changed = [{**one, **change} if i == row else one for i, one in enumerate(GOOD)]
    assert message in "\n".join(problems(changed))
