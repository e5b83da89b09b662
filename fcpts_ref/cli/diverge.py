"""fcpts-ref diverge: the first quantity in which an implementation differs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fcpts_ref.cli.progress import counting_bar
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.diverge_report import format_divergence, make_json
from fcpts_ref.oracle.record import read_any_trace

EPILOG = """\
examples:
  fcpts-ref diverge mine.h5                the reference repeats mine.h5's steps
                                           from its inputs
  fcpts-ref diverge mine.h5 reference.h5   two traces of the same steps

An .npz file of arrays by the same names serves as a trace, too.

Exit codes: 0 everything compared agrees, 1 something differs or nothing could
be compared, 2 bad input.  docs/oracle.md describes the file and the names.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "diverge",
        help="find the first quantity in which an implementation differs",
        description="Find the first quantity, in the order of computation, in which a trace of\n"
        "another implementation differs from the reference.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("mine", type=Path, metavar="MINE.h5", help="its trace; or .npz")
    parser.add_argument(
        "reference",
        type=Path,
        nargs="?",
        metavar="REFERENCE.h5",
        help="another trace (default: the reference, computed from MINE.h5's own inputs)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32"),
        default="auto",
        help="dtype that MINE.h5 was computed in; auto: that of its arrays (default: auto)",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="FACTOR", help="on all tolerances (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print the report, and return the exit code."""

    mine = read_any_trace(arguments.mine)
    reference = None if arguments.reference is None else read_any_trace(arguments.reference)
    with counting_bar("steps", len(mine.steps), unit="step", quiet=arguments.quiet) as on_step:
        result = diverge(
            mine,
            reference,
            scale=arguments.scale,
            single=arguments.precision == "float32",
            on_step=on_step,
        )
    against = "the reference" if arguments.reference is None else str(arguments.reference)
    make = make_json if arguments.json else format_divergence
    print(make(result, str(arguments.mine), against))
    return 0 if result.ok else 1
