"""The command line: ``fcpts-ref COMMAND``.

Exit codes: 0 success, 1 a check failed, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from fcpts_ref import __version__
from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import describe_failure

DESCRIPTION = """\
Fast and Controllable Post-training Sparsity: prune a trained network in
minutes, from unlabelled images, to an exact global rate; and check another
implementation against this one.
"""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Let a failure to write be noticed; argparse passes it over."""
        (file or sys.stderr).write(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A command says itself that it does not know an option: its own help lists them."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    from fcpts_ref.cli import (
        compare,
        data,
        diverge,
        evaluate,
        inspect,
        models,
        report,
        sparsify,
        trace,
        train,
    )
    from fcpts_ref.oracle import cli as oracle

    parser = _Parser(
        prog="fcpts-ref",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fcpts-ref {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    pruning = (sparsify, compare, report, train, evaluate, inspect, data, models)
    for command in (*pruning, trace, diverge):
        command.add_parser(subparsers)
    oracle.add_parsers(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    if sys.stdout is None:
        return _fail("fcpts-ref: standard output is closed: redirect it, for instance to a file", 2)
    try:
        return _run(words)
    except KeyboardInterrupt:
        return _fail("fcpts-ref: stopped", 130)
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        _discard_output()
        return 0
    except OSError as error:  # standard output, or a file that no command expected to fail
        _discard_output()
        name = error.filename
        what = "cannot write standard output" if name is None else f"cannot use {name}"
        return _fail(f"fcpts-ref: {describe_failure(what, error)}", 2)


def _run(words: list[str]) -> int:
    try:
        arguments = build_parser().parse_args(words)
    finally:
        sys.stdout.flush()  # of --help and --version
    arguments.words = words[words.index(arguments.command) + 1 :]  # as given, for --resume
    try:
        # NumPy's warnings would stand before the one line that says what went wrong
        with _compile_notice(arguments), np.errstate(over="ignore", invalid="ignore"):
            code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        return _fail(f"fcpts-ref {arguments.command}: {error}", 2)


def _prepare_streams() -> None:
    """Let characters that the terminal lacks, and names that are no UTF-8, be written escaped."""
    if sys.stderr is None:  # closed by the caller
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # standard error may be full as well
        print(message, file=sys.stderr, flush=True)
    return code


def _discard_output() -> None:
    """Let output that cannot be written go nowhere, so that closing it at the end does not fail."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # no descriptor: output was captured
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _compile_notice(
    arguments: argparse.Namespace,
) -> contextlib.AbstractContextManager[None]:
    """Says so while the fast engine's kernels are compiled, for commands that use it."""
    if getattr(arguments, "engine", None) != "numba" or getattr(arguments, "quiet", False):
        return contextlib.nullcontext()
    from fcpts_ref.cli.progress import compile_notice

    return compile_notice()
