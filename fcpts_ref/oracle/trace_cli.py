"""The commands ``trace`` and ``diverge``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError

LARGE = 256 << 20  # bytes from which a trace is worth a warning

TRACE_EPILOG = """\
examples:
  fcpts-ref trace                             the first step on the embedded digits, 90 %
  fcpts-ref trace --steps 0-2,15 --profile released --out released.h5
  fcpts-ref trace --arch resnet20 --weights resnet20.th --data cifar10 --calibration 640 \\
      --batch-size 16 --without activation --without dactivation

The trace holds the inputs of every step (images, drawn samples, the state before it), so that
another implementation can make the same step, and 'fcpts-ref diverge' can repeat it.
"""

DIVERGE_EPILOG = """\
examples:
  fcpts-ref diverge mine.h5                   the reference repeats mine.h5's steps from its inputs
  fcpts-ref diverge mine.h5 reference.h5      two traces of the same steps

Exit codes: 0 everything compared agrees, 1 something differs or nothing could be compared,
2 a file that cannot be used.  docs/oracle.md describes the file and the names.
"""


def add_parsers(subparsers: Any) -> None:
    """Mounts both commands."""
    _add_trace(subparsers)
    _add_diverge(subparsers)


def _add_trace(subparsers: Any) -> None:
    from fcpts_ref.allocation import ALLOCATIONS
    from fcpts_ref.cli.sources import add_source_options
    from fcpts_ref.conventions import PROFILES

    parser = subparsers.add_parser(
        "trace",
        help="record every quantity of chosen steps, to compare another implementation with",
        description="Run FCPTS in NumPy and float64 and record chosen steps as HDF5.",
        epilog=TRACE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_options(parser)
    group = parser.add_argument_group("the run")
    group.add_argument("--sparsity", type=float, default=0.9, metavar="RATE", help="default: 0.9")
    group.add_argument("--profile", choices=tuple(PROFILES), default="paper", help="default: paper")
    group.add_argument(
        "--choose", action="append", default=[], metavar="NAME=VALUE", help="replace a convention"
    )
    group.add_argument("--allocation", choices=tuple(ALLOCATIONS), help="where the rates start")
    group.add_argument("--control", choices=("loss", "projection"), default="loss")
    group.add_argument("--fixed-rates", action="store_true", help="keep the initial rates")
    group.add_argument("--epochs", type=int, default=10, help="default: 10")
    group.add_argument("--batch-size", type=int, help="images in a step (default: 64)")
    group.add_argument("--calibration", type=int, metavar="N", help="calibration images")
    group.add_argument("--augmentation", choices=("none", "crop", "crop-flip"), default="none")
    group.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    group = parser.add_argument_group("the trace")
    group.add_argument("--steps", default="0", metavar="LIST", help="such as 0,1,2 or 0-3,15")
    group.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="a quantity to leave out, such as activation, or a pattern (may be repeated)",
    )
    group.add_argument("--out", type=Path, default=Path("trace.h5"), help="default: trace.h5")
    parser.set_defaults(run=run_trace)


def _add_diverge(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "diverge",
        help="find the first quantity in which an implementation leaves the reference",
        description="Find the first quantity, in the order of computation, that differs.",
        epilog=DIVERGE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("mine", type=Path, metavar="MINE.h5", help="the implementation's trace")
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
        help="what was computed in; auto looks at the arrays (default)",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="on all tolerances (default: 1)")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.set_defaults(run=run_diverge)


def run_trace(arguments: argparse.Namespace) -> int:
    """``trace``"""
    import numpy as np

    from fcpts_ref.cli.options import choices_of
    from fcpts_ref.cli.sources import find_dataset, find_network
    from fcpts_ref.methods.fcpts import FCPTS
    from fcpts_ref.oracle.trace import record_run, trace_bytes
    from fcpts_ref.oracle.trace_file import write_trace
    from fcpts_ref.runs import draw_calibration

    steps = parse_steps(arguments.steps)
    method = FCPTS(
        profile=arguments.profile,
        choices=choices_of(arguments.choose)
        | ({"initial_allocation": arguments.allocation} if arguments.allocation else {}),
        control=arguments.control,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learn_rates=not arguments.fixed_rates,
        augmentation=arguments.augmentation,
    )
    dataset = find_dataset(arguments.data, arguments.home)
    network = find_network(arguments, dataset)
    available = len(dataset.train)
    count = arguments.calibration or min(available, method.conventions.calibration_images)
    chosen = draw_calibration(available, count, np.random.default_rng(arguments.seed))
    trace = record_run(
        network,
        dataset.as_floats(dataset.train.images[chosen], np.float64),
        target=arguments.sparsity,
        steps=steps,
        method=method,
        seed=arguments.seed,
        without=arguments.without,
    )
    size = trace_bytes(trace.steps)
    if size > LARGE:
        print(
            f"fcpts-ref trace: {size / 2**20:,.0f} MiB; fewer --steps, a smaller --batch-size or "
            "--without activation --without dactivation make it smaller",
            file=sys.stderr,
        )
    write_trace(arguments.out, trace)
    quantities = sum(len(step.quantities) for step in trace.steps.values())
    print(
        f"{arguments.out}: {quantities} quantities of step "
        f"{', '.join(map(str, trace.steps))}, {size / 2**20:.1f} MiB"
    )
    return 0


def run_diverge(arguments: argparse.Namespace) -> int:
    """``diverge``"""
    from fcpts_ref.oracle.diverge import diverge
    from fcpts_ref.oracle.diverge_report import format_divergence, make_json
    from fcpts_ref.oracle.trace_file import read_trace

    mine = read_trace(arguments.mine)
    reference = None if arguments.reference is None else read_trace(arguments.reference)
    result = diverge(
        mine, reference, scale=arguments.scale, single=arguments.precision == "float32"
    )
    against = "the reference" if arguments.reference is None else str(arguments.reference)
    make = make_json if arguments.json else format_divergence
    print(make(result, str(arguments.mine), against))
    return 0 if result.ok else 1


def parse_steps(text: str) -> list[int]:
    """ "0,2-4" as [0, 2, 3, 4].  Raises InputError for anything else, or more than 10,000 steps."""
    steps: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdigit() and (last.isdigit() or not dash) and len(part) < 20):
            raise InputError(f"--steps {text}: expected numbers and ranges, such as 0,1,2 or 0-3")
        begin, end = int(first), int(last or first)
        if end < begin or end - begin >= 10_000:
            raise InputError(f"--steps {text}: the range {part} is empty or too long")
        steps.update(range(begin, end + 1))
    return sorted(steps)
