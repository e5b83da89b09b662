"""Code under test can neither end the check nor write into its report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcpts_ref.oracle.contained import contained


def test_leaving_the_process_is_an_exception() -> None:
    before = os._exit
    with pytest.raises(SystemExit) as raised, contained():
        os._exit(3)
    assert raised.value.code == 3
    assert os._exit is before


@pytest.mark.parametrize("name", ["execv", "execl", "execvp", "execve"])
def test_the_process_cannot_be_replaced(name: str) -> None:
    arguments = {"execl": ("true",), "execve": (["true"], {})}.get(name, (["true"],))
    with pytest.raises(PermissionError, match="would replace the process"), contained():
        getattr(os, name)("/bin/true", *arguments)
    assert os.execv.__module__ == "posix"


def test_prints_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with contained():
        print("aside")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "aside\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="of processes that fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_ends_where_it_leaves() -> None:
    with contained():
        child = os.fork()
        if child == 0:
            try:
                os._exit(7)
            finally:  # reached only if the child goes on
                os.kill(os.getpid(), 9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_what_an_adapter_registers_for_the_end_does_not_change_the_exit_code(
    tmp_path: Path,
) -> None:
    adapter = tmp_path / "leaves_late.py"
    adapter.write_text(
        "import atexit, os\natexit.register(lambda: os._exit(0))\n"
        "def total_loss(**inputs):\n    atexit.register(print, 'the end')\n    return 0.0\n"
    )
    words = ["conform", "check", "--adapter", str(adapter), "--only", "eq05.0001"]
    done = subprocess.run(
        [sys.executable, "-m", "fcpts_ref", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "does not conform" in done.stdout
    assert "the end" not in done.stdout
    assert "the end" in done.stderr
