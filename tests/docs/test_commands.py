"""The commands in the documents: all are understood, those marked <!-- run --> are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fcpts_ref.cli import build_parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "models/README.md"]
BLOCK = re.compile(r"(?P<marker><!-- run -->\n)?```(?:sh|console)\n(?P<body>.*?)```", re.DOTALL)


PYTHON = re.compile(r"<!-- run -->\n```python\n(?P<body>.*?)```", re.DOTALL)


def commands(document: Path, *, marked: bool) -> list[str]:
    """The fcpts-ref lines of a document's shell blocks, continuation lines joined."""
    found = []
    for block in BLOCK.finditer(document.read_text(encoding="utf-8")):
        if marked and not block["marker"]:
            continue
        body = block["body"].replace("\\\n", " ")
        lines = [line.removeprefix("$ ").strip() for line in body.splitlines()]
        found += [line for line in lines if line.startswith(("fcpts-ref ", "python -m bench"))]
    return found


def test_there_are_commands() -> None:
    assert sum(len(commands(document, marked=False)) for document in DOCUMENTS) >= 10


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_understood(document: Path) -> None:
    parser = build_parser()
    for command in commands(document, marked=False):
        words = shlex.split(command, comments=True)
        if words[0] == "fcpts-ref":
            parser.parse_args(words[1:])  # exits, and so fails, if it does not understand


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_marked_commands_run(document: Path, tmp_path: Path) -> None:
    for command in commands(document, marked=True):
        words = shlex.split(command, comments=True)
        assert words[0] == "fcpts-ref", command
        done = subprocess.run(
            [sys.executable, "-m", "fcpts_ref", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_marked_python_runs(document: Path, tmp_path: Path) -> None:
    for block in PYTHON.finditer(document.read_text(encoding="utf-8")):
        done = subprocess.run(
            [sys.executable, "-c", block["body"]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
