"""Code under test runs here: it can neither end the check nor write into its report."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import NoReturn, TextIO


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Send standard output to standard error, and let os._exit raise SystemExit, in a block."""
    with _standard_error() as aside, contextlib.redirect_stdout(aside), _no_exit():
        yield


def _standard_error() -> TextIO:
    """Return a stream of its own to standard error, which may be closed."""
    try:
        return open(os.dup(sys.stderr.fileno()), "w", errors="backslashreplace")
    except (OSError, ValueError):  # closed, or no file, as in a notebook
        return io.StringIO()


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    before, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:  # a child after a fork, which must end here
            before(status)
        raise SystemExit(status)

    setattr(os, "_exit", refuse)  # noqa: B010
    try:
        yield
    finally:
        setattr(os, "_exit", before)  # noqa: B010
