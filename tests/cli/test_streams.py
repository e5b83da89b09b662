"""Standard output that is full, closed or ASCII only: one line and the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import one_line

from fcpts_ref.cli import main

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="devices and redirections are POSIX"
)


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell; "fcpts" in it is this program."""
    program = f"{sys.executable} -m fcpts_ref"
    return subprocess.run(
        line.replace("fcpts", program),
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


COMMANDS = ("conform list", "inspect resnet8-digits", "--help", "inspect --help", "--version")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_a_redirect(command: str, unbuffered: str) -> None:
    done = shell(f"fcpts {command} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert "cannot write standard output: no space left" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_output(command: str) -> None:
    done = shell(f"fcpts {command} >&-")
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert "standard output is closed" in done.stderr


def test_a_closed_standard_error() -> None:
    done = shell("fcpts inspect absent 2>&-")
    assert (done.returncode, done.stdout) == (2, "")
    done = shell("fcpts inspect resnet8-digits 2>&-")
    assert done.returncode == 0
    assert "resnet8" in done.stdout


def test_both_full() -> None:
    assert shell("fcpts inspect resnet8-digits >/dev/full 2>/dev/full").returncode == 2


def test_a_reader_that_has_gone() -> None:
    done = shell("fcpts conform list | head -n 1")
    assert done.stderr == ""


def test_a_terminal_that_knows_ascii_only() -> None:
    done = shell("fcpts inspect größe", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "gr\\xf6\\xdfe" in done.stderr
    assert one_line(done.stderr)


def test_a_failure_without_a_number_is_not_taken_for_that_of_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a shared library cannot be loaded for want of memory."""

    def fail(*arguments: object) -> None:
        raise OSError("Could not load 'libllvmlite.so'\nfrom here")

    monkeypatch.setattr("fcpts_ref.oracle.vectors.load_cases", fail)
    assert main(["conform", "list"]) == 2
    assert capsys.readouterr().err == "fcpts-ref: Could not load 'libllvmlite.so' from here\n"
