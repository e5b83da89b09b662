"""The suite as a zip of its own, and its readers in three languages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fcpts_ref.oracle.vectors import load_cases, suite_version

pytest.importorskip("mpmath")
ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
CASES = load_cases()
LOSSES = sum(c.operation == "total_loss" and c.reject is None for c in CASES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tools.vectors.bundle import write_bundle

    path = tmp_path_factory.mktemp("bundle")
    write_bundle(path / "suite.zip")
    write_bundle(path / "again.zip")
    assert (path / "suite.zip").read_bytes() == (path / "again.zip").read_bytes()
    with zipfile.ZipFile(path / "suite.zip") as archive:
        archive.extractall(path)
    return path / f"fcpts-vectors-{suite_version()}"


def test_the_bundle_holds_every_case_inline(folder):
    suite = json.loads((folder / "cases" / "suite.json").read_text())
    groups = [json.loads((folder / "cases" / name).read_text()) for name in suite["files"]]
    ids = [case["id"] for group in groups for case in group["cases"]]
    assert ids == [case.id for case in CASES]
    assert '"dataset"' not in json.dumps(groups)
    assert suite["version"] == suite_version() in (folder / "CHANGES.md").read_text()


def test_the_groups_follow_the_schema(folder):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((folder / "schema.json").read_text())
    for path in (folder / "cases").glob("eq*.json"):
        jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text()))


def lines(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(out):
    assert f"{len(CASES)} cases, {LOSSES} of total_loss pass" in out


@pytest.mark.parametrize("name", ["read.py", "read.c", "read.js"])
def test_the_readers_are_short(folder, name):
    text = (folder / name).read_text()
    code = [line for line in text.splitlines() if line.strip() and not line.startswith(('"""', "//", "/*", "#include", "import", "from"))]  # fmt: skip  # noqa: E501
    assert len(code) <= 30


def test_the_reader_in_python(folder):
    check(lines(sys.executable, folder / "read.py", folder))


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_reader_in_javascript(folder):
    check(lines("node", folder / "read.js", folder))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_reader_in_c(folder, tmp_path):
    lines("cc", "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "read", folder / "read.c", "-lm")
    check(lines(tmp_path / "read", folder / "cases.txt"))
