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

DESCRIPTION = """\
Fast and Controllable Post-training Sparsity: prune a trained network in
minutes, from unlabelled images, to an exact global rate; and check another
implementation against this one.
"""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

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
    """Runs one command and returns its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a letter that the terminal lacks ends nothing
    arguments = build_parser().parse_args(argv)
    try:
        # NumPy's warnings would stand before the one line that says what went wrong
        with _compile_notice(arguments), np.errstate(over="ignore", invalid="ignore"):
            code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"fcpts-ref {arguments.command}: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        reason = " ".join(str(error).split()) or "no more could be taken"
        print(
            f"fcpts-ref {arguments.command}: too little memory ({reason}); use fewer images, or a "
            "machine with more",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("fcpts-ref: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _compile_notice(
    arguments: argparse.Namespace,
) -> contextlib.AbstractContextManager[None]:
    """Says so while the fast engine's kernels are compiled, for commands that use it."""
    if getattr(arguments, "engine", None) != "numba" or getattr(arguments, "quiet", False):
        return contextlib.nullcontext()
    from fcpts_ref.cli.progress import compile_notice

    return compile_notice()
