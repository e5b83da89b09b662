"""Code under test can neither end the check nor write into its report."""

from __future__ import annotations

import os

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
