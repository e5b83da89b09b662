"""The suite's own options, ``--slow`` and ``--remaining``, tried on a suite of three tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import os
import pytest

def test_passes():
    pass

def test_fails_at_first():
    assert "MENDED" in os.environ

@pytest.mark.slow
def test_slow():
    pass
"""
SETTINGS = "[pytest]\nmarkers = slow\naddopts = -p no:fcpts -p no:randomly\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_three.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    return tmp_path


def pytest_in(suite: Path, *options: str, mended: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=suite,
        env={"MENDED": ""} if mended else {},
        capture_output=True,
        text=True,
        check=False,
    )


def run(suite: Path, *options: str, mended: bool = False) -> dict[str, int]:
    """How many tests passed, failed, were skipped or deselected."""
    done = pytest_in(suite, *options, mended=mended)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {kind: int(n) for n, kind in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}


def test_slow_tests_need_the_option(suite: Path) -> None:
    assert run(suite, mended=True).items() >= {"passed": 2, "skipped": 1}.items()
    assert run(suite, "--slow", mended=True)["passed"] == 3


def test_remaining_skips_passed_tests(suite: Path) -> None:
    """Failed and skipped tests remain; runs of the remaining tests accumulate."""
    run(suite)
    assert (
        run(suite, "--remaining", "--slow").items()
        >= {
            "deselected": 1,
            "failed": 1,
            "passed": 1,
        }.items()
    )
    assert (
        run(suite, "--remaining", "--slow", mended=True).items()
        >= {
            "deselected": 2,
            "passed": 1,
        }.items()
    )


def test_remaining_without_a_run_before_it_is_everything(suite: Path) -> None:
    assert run(suite, "--remaining", "--slow", mended=True)["passed"] == 3


def test_remaining_needs_the_cache(suite: Path) -> None:
    assert run(suite, "-p", "no:cacheprovider", mended=True)["passed"] == 2
    done = pytest_in(suite, "-p", "no:cacheprovider", "--remaining")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "needs pytest's cache" in done.stderr
