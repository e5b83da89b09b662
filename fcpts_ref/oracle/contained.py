"""Code under test runs here: it can neither end the check nor write into its report."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Send standard output to standard error in a block, in which the process cannot be left.

    os._exit raises SystemExit there, and os.execv and os.execve PermissionError; what is registered
    there to run when Python ends does so in such a block, too.
    """
    with _standard_error() as aside, contextlib.redirect_stdout(aside), _no_exit(), _at_exit():
        yield


@contextlib.contextmanager
def _at_exit() -> Iterator[None]:
    """Contain what atexit runs later: os._exit(0) would turn a failed check into a success."""
    before = atexit.register

    def register(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        def run() -> None:
            with contained(), contextlib.suppress(SystemExit):
                function(*arguments, **named)

        before(run)
        return function

    atexit.register = register  # type: ignore[assignment]
    try:
        yield
    finally:
        atexit.register = before


def _standard_error() -> TextIO:
    """Return a stream of its own to standard error, which may be closed."""
    try:
        return open(os.dup(sys.stderr.fileno()), "w", errors="backslashreplace")
    except (OSError, ValueError):  # closed, or no file, as in a notebook
        return io.StringIO()


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    process = os.getpid()
    before = {name: getattr(os, name) for name in ("_exit", "execv", "execve")}

    def leave(status: int) -> NoReturn:
        if os.getpid() != process:  # a child after a fork, which must end here
            before["_exit"](status)
        raise SystemExit(status)

    def replace(name: str) -> Callable[..., NoReturn]:
        def execute(path: Any, *arguments: Any) -> NoReturn:
            if os.getpid() != process:
                before[name](path, *arguments)
            raise PermissionError(f"os.{name} would replace the process of the check")

        return execute

    own = {"_exit": leave, "execv": replace("execv"), "execve": replace("execve")}
    for name, function in own.items():
        setattr(os, name, function)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(os, name, function)
