"""The command line: ``fcpts-ref COMMAND``.

Exit codes: 0 success, 1 a check failed, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from fcpts_ref import __version__
from fcpts_ref.cli.common import add_common_options, reported
from fcpts_ref.cli.wording import check_words, with_options
from fcpts_ref.errors import InputError, printable
from fcpts_ref.storage.files import describe_failure

DESCRIPTION = """\
Fast and Controllable Post-training Sparsity: prune a trained network in
minutes, from unlabelled images, to an exact global rate; and check another
implementation against this one.
"""

MAX_MESSAGE = 2000  # characters; names in files and on the command line may be longer


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage, and whose options are whole words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        self.exit(_fail(f"{self.prog}: {message[: MAX_MESSAGE // 2]}; see {self.prog} --help", 2))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write the message; a failure to do so raises, which argparse would ignore."""
        (file or sys.stderr).write(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Report an unknown option in the name of the command whose help lists the known ones."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    from fcpts_ref.cli import (
        compare,
        completion,
        data,
        diverge,
        evaluate,
        inspect,
        models,
        predict,
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
    pruning = (sparsify, compare, report, train, evaluate, predict, inspect, data, models)
    for command in (*pruning, trace, diverge):
        command.add_parser(subparsers)
    oracle.add_parsers(subparsers)
    completion.add_parser(subparsers)
    add_common_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    warnings.filterwarnings("error", "Image size .* exceeds limit")  # Pillow's, of bombs
    if sys.stdout is None:
        return _fail("fcpts-ref: standard output is closed: redirect it, for instance to a file", 2)
    try:
        return _run(words)
    except KeyboardInterrupt:
        return _fail("fcpts-ref: stopped", 130)
    except BrokenPipeError:  # the reader of our output has ended, as in "| head"
        _discard_output()
        return 0
    except OSError as error:  # standard output, or a file that no command expected to fail
        _discard_output()
        if error.errno is None:  # a library that cannot be loaded, for instance
            return _fail(f"fcpts-ref: {' '.join(str(error).split())}", 2)
        name = error.filename
        what = "cannot write standard output" if name is None else f"cannot use {str(name)[:200]}"
        return _fail(f"fcpts-ref: {describe_failure(what, error)}", 2)


def _run(words: list[str]) -> int:
    parser = build_parser()
    try:
        check_words(words)
        arguments = parser.parse_args(words)
    except InputError as error:
        return _fail(f"fcpts-ref: {error}", 2)
    finally:
        sys.stdout.flush()  # of --help and --version
    try:
        # NumPy's warnings would precede the one-line message
        with (
            reported(arguments.command, verbose=arguments.verbose),
            _compile_notice(arguments),
            np.errstate(over="ignore", invalid="ignore"),
        ):
            code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        message = with_options(str(error), words, parser)
        return _fail(f"fcpts-ref {arguments.command}: {message}", 2)
    except MemoryError as error:
        reason = " ".join(str(error).split()) or "an allocation failed"
        advice = "use fewer images, or a machine with more"
        return _fail(f"fcpts-ref {arguments.command}: too little memory ({reason}); {advice}", 2)


def _prepare_streams() -> None:
    """Escape characters that the terminal lacks and names that are not UTF-8."""
    if sys.stderr is None:  # closed by the caller
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # standard error may be full as well
        print(printable(message[:MAX_MESSAGE]), file=sys.stderr, flush=True)
    return code


def _discard_output() -> None:
    """Redirect output that cannot be written to the null device, so that closing it succeeds."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # no descriptor: output was captured
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _compile_notice(
    arguments: argparse.Namespace,
) -> contextlib.AbstractContextManager[None]:
    """Report the compilation of the fast engine's kernels, for commands that use it."""
    if getattr(arguments, "engine", None) != "numba" or getattr(arguments, "quiet", False):
        return contextlib.nullcontext()
    from fcpts_ref.cli.progress import compile_notice

    return compile_notice()
