"""fcpts-ref trace: record every quantity of chosen steps of a run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.cli.options import add_seed_option, choices_of
from fcpts_ref.cli.progress import counting_bar
from fcpts_ref.cli.sources import add_source_options, find_dataset, find_network
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.inputs import draw_calibration
from fcpts_ref.oracle.trace import record_run, trace_bytes
from fcpts_ref.oracle.trace_file import write_trace
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.spec.allocation import ALLOCATIONS
from fcpts_ref.storage.files import check_writable

LARGE = 256 << 20  # bytes from which a trace is worth a warning

EPILOG = """\
examples:
  fcpts-ref trace            the first step on the embedded digits, 90 %
  fcpts-ref trace --steps 0-2,15 --profile released --out released.h5
  fcpts-ref trace --arch resnet20 --weights resnet20.th --data cifar10 \\
      --calibration 640 --batch-size 16 \\
      --without activation --without dactivation

The trace holds the inputs of every step (images, drawn samples, the state
before it), so that another implementation and 'fcpts-ref diverge' can repeat
the step.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""

    parser = subparsers.add_parser(
        "trace",
        help="record every quantity of chosen steps, for comparison",
        description="Run FCPTS in NumPy and float64 and record chosen steps as HDF5.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_options(parser)
    group = parser.add_argument_group("the run")
    group.add_argument(
        "--sparsity", type=float, default=0.9, metavar="RATE", help="target (default: 0.9)"
    )
    group.add_argument(
        "--profile",
        choices=("paper", "released"),
        default="paper",
        help="conventions (default: paper)",
    )
    group.add_argument(
        "--choose", action="append", default=[], metavar="NAME=VALUE", help="as in sparsify"
    )
    group.add_argument("--allocation", choices=tuple(ALLOCATIONS), help="as in sparsify")
    group.add_argument(
        "--control", choices=("loss", "projection"), default="loss", help="default: loss"
    )
    group.add_argument(
        "--fixed-rates", action="store_true", help="keep every layer at its initial rate"
    )
    group.add_argument("--epochs", type=int, default=10, metavar="N", help="default: 10")
    group.add_argument("--batch-size", type=int, metavar="N", help="images in a step (default: 64)")
    group.add_argument("--calibration", type=int, metavar="N", help="as in sparsify")
    group.add_argument(
        "--augmentation",
        choices=("none", "crop", "crop-flip"),
        default="none",
        help="default: none",
    )
    add_seed_option(group)
    group = parser.add_argument_group("the trace")
    group.add_argument(
        "--steps", default="0", metavar="LIST", help="such as 0,1,2 or 0-3,15 (default: 0)"
    )
    group.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="omit a quantity, such as activation, or a pattern of names; may be repeated",
    )
    group.add_argument(
        "--out", type=Path, default=Path("trace.h5"), metavar="FILE", help="default: trace.h5"
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")
    group.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Record the trace and return the exit code."""

    check_writable(arguments.out)
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
    network, preprocessing = find_network(arguments, dataset)
    available = len(dataset.train)
    count = arguments.calibration
    if count is None:
        count = min(available, method.conventions.calibration_images)
    chosen = draw_calibration(available, count, np.random.default_rng(arguments.seed))
    with counting_bar("steps", max(steps) + 1, unit="step", quiet=arguments.quiet) as on_step:
        trace = record_run(
            network,
            dataset.prepare(dataset.train, np.float64, preprocessing, chosen=chosen),
            target=arguments.sparsity,
            steps=steps,
            method=method,
            seed=arguments.seed,
            without=arguments.without,
            on_step=on_step,
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
    summary = {
        "steps": list(trace.steps),
        "quantities": quantities,
        "bytes": size,
        "file": str(arguments.out),
    }
    text = (
        f"{arguments.out}: {counted(quantities, 'quantity', 'quantities')} of step "
        f"{', '.join(map(str, trace.steps))}, {size / 2**20:.1f} MiB"
    )
    print(json.dumps(summary, indent=2) if arguments.json else text)
    return 0


def parse_steps(text: str) -> list[int]:
    """Parse "0,2-4" as [0, 2, 3, 4].  Raises InputError for anything else or over 10,000 steps."""
    steps: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = first.isdigit() and (last.isdigit() or not dash) and part.isascii()
        if not numbers or len(part) >= 20:
            raise InputError(f"--steps {text}: expected numbers and ranges, such as 0,1,2 or 0-3")
        begin, end = int(first), int(last or first)
        if end < begin or end - begin >= 10_000:
            raise InputError(f"--steps {text}: the range {part} is empty or too long")
        steps.update(range(begin, end + 1))
    return sorted(steps)
