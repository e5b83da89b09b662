"""fcpts-ref compare: networks x methods x rates x seeds, and the table of their results."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import logging
import sys
import textwrap
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from fcpts_ref.bars import Bar, progress_bar
from fcpts_ref.cli.options import (
    add_number_options,
    at_least_one,
    given_changes,
    not_negative,
    seed,
)
from fcpts_ref.cli.plan import plan_of, show_plan
from fcpts_ref.cli.progress import Bars, compile_notice
from fcpts_ref.cli.tables import table
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.cluster import RETRIES, Cluster
from fcpts_ref.experiments.dense import measure_dense, read_dense
from fcpts_ref.experiments.executors import Here, Processes, allowed_jobs
from fcpts_ref.experiments.grid import Cell, Grid, cells_of, check_unchanged, grid_of
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.outcomes import Line, lines_of, outcomes
from fcpts_ref.experiments.paper import SOURCE
from fcpts_ref.experiments.run_grid import run_grid
from fcpts_ref.experiments.summary import is_complete, read_summary
from fcpts_ref.experiments.tables import headed, table_of
from fcpts_ref.pruning.registry import presets
from fcpts_ref.storage.files import lock_folder
from fcpts_ref.storage.json_files import write_text_file
from fcpts_ref.storage.toml_files import read_toml

SHOWN = 2
"""Running cells of a cluster that are named beside the bar."""

EPILOG = """\
methods:
{methods}

examples:
  fcpts-ref compare --out digits --rates 0.8 0.9 --seeds 0
  fcpts-ref compare --networks resnet32 resnet56 --data cifar10 --out table2
  fcpts-ref compare --config grid.toml --out table2 --jobs 2
  fcpts-ref compare --config grid.toml --out table2 --dask tcp://HOST:8786

A cell is one run of sparsify, in its own folder under --out.  Running the same
command again runs the cells that are missing and continues those that were
stopped.  A configuration file holds the lists networks, methods, rates and
seeds; tables of sparsify's options, [network.NAME] and [method.NAME], the
latter optionally with preset = METHOD; and the table [options] for every cell.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "compare",
        help="prune at several rates by several methods, and tabulate the results",
        description="Prune networks by several methods, at several rates, with several seeds.",
        epilog=EPILOG.format(methods=_listed(presets())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("grid")
    group.add_argument("--config", metavar="FILE", help="a TOML file; options override it")
    group.add_argument("--networks", nargs="+", metavar="NAME|FILE", help="default: resnet8-digits")
    group.add_argument(
        "--methods", nargs="+", metavar="METHOD", help="default: fcpts pot-l2norm pot-erk"
    )
    group.add_argument(
        "--rates", nargs="+", type=float, metavar="RATE", help="default: 0.7 0.8 0.9"
    )
    group.add_argument("--seeds", nargs="+", type=seed, metavar="SEED", help="default: 0 1 2")
    group = parser.add_argument_group("settings of every cell")
    for flag, metavar in (
        ("--data", "NAME|PATH"),
        ("--home", "FOLDER"),
        ("--arch", "NAME"),
        ("--preprocess", "NAME|NUMBERS"),
        ("--mean", "NUMBERS"),
        ("--std", "NUMBERS"),
        ("--test-data", "NAME|PATH"),
        ("--engine", "NAME"),
    ):
        group.add_argument(flag, metavar=metavar, help="as in sparsify")
    group.add_argument("--calibration", type=int, metavar="N", help="as in sparsify")
    add_number_options(group)
    group.add_argument("--threads", type=at_least_one, metavar="N", help="as in sparsify")
    for flag in ("--batch-norm", "--agreement", "--skip-corrupt"):
        group.add_argument(flag, action="store_const", const=True, help="as in sparsify")
    group = parser.add_argument_group("running and output")
    group.add_argument("--out", metavar="FOLDER", required=True, help="for the cells and the table")
    group.add_argument(
        "--jobs",
        type=at_least_one,
        default=1,
        metavar="N",
        help="cells that run at a time, fewer if cores or memory do not allow it (default: 1)",
    )
    group.add_argument(
        "--plan",
        action="store_true",
        help="run nothing: list the cells, and how long the missing ones may take by those that "
        "are finished",
    )
    group.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="run the cells on a Dask cluster: its scheduler's address, as tcp://HOST:8786, or "
        "scheduler file",
    )
    group.add_argument(
        "--shared",
        metavar="FOLDER",
        help="with --dask: a folder that all machines see under one path, for networks and data, "
        "which otherwise are sent",
    )
    group.add_argument(
        "--retries",
        type=not_negative,
        default=RETRIES,
        metavar="N",
        help=f"with --dask: run a cell whose worker died again this often (default: {RETRIES})",
    )
    group.add_argument("--json", action="store_true", help="print the table as JSON")
    group.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    return textwrap.fill(
        ", ".join(names),
        78,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the cells that are missing, write and print the table; return the exit code."""
    grid, out = _grid(arguments), Path(arguments.out)
    cells = cells_of(grid)
    progress = Bars(quiet=arguments.quiet)
    if arguments.plan:
        show_plan(plan_of(cells, out), arguments.jobs, as_json=arguments.json)
        return 0
    fast = any(cell.job.engine == "numba" for cell in cells)
    with lock_folder(out), compile_notice(quiet=arguments.quiet or not fast):
        for cell in cells:
            check_unchanged(cell, out)
        jobs = (cell.job for cell in cells)
        measure_dense(jobs, out, threads=arguments.threads, progress=progress)
        missing = [cell for cell in cells if not is_complete(out / cell.folder)]
        missing.sort(
            key=lambda cell: grid.seeds.index(cell.job.seed)
        )  # one seed's table, then more
        failures, stopped = _run(missing, out, arguments, progress)
        folders = [out / cell.folder for cell in cells if is_complete(out / cell.folder)]
        dense = read_dense(out)
        lines = lines_of(
            outcome for folder in folders for outcome in outcomes(read_summary(folder), dense)
        )
        _write(out, lines)
    if lines or arguments.json or not failures:
        _show(arguments, lines, out)
    for message in dict.fromkeys(failures.values()):
        names = [name for name, own in failures.items() if own == message]
        others = f" and {counted(len(names) - 1, 'other cell')}" if len(names) > 1 else ""
        print(f"fcpts-ref: {names[0]}{others}: {message}", file=sys.stderr)
    if stopped:
        left = len(cells) - len(folders)
        print(
            f"fcpts-ref: stopped, {counted(left, 'cell')} left; run the command again to continue",
            file=sys.stderr,
        )
        return 130
    return 2 if failures else 0


def _grid(arguments: argparse.Namespace) -> Grid:
    """Return the grid of the configuration file, if any, and of the options, which override it."""
    data: dict[str, Any] = {}
    if arguments.config:
        data = read_toml(arguments.config)
    for name in ("networks", "methods", "rates", "seeds"):
        if getattr(arguments, name) is not None:
            data[name] = getattr(arguments, name)
            data.pop(name.removesuffix("s"), None)  # the option replaces the table
    overrides = given_changes(arguments)
    try:
        return grid_of(data, overrides)
    except InputError as error:
        raise InputError(f"{arguments.config or 'the grid'}: {error}") from error


def _run(
    cells: Sequence[Cell], out: Path, arguments: argparse.Namespace, progress: Bars
) -> tuple[dict[str, str], bool]:
    """Run the cells in this process, with --jobs in several, or with --dask on a cluster."""
    with (
        progress_bar("cells", len(cells), "cell", quiet=arguments.quiet or not cells) as bar,
        _executor(arguments, progress, bar) if cells else Here() as executor,
    ):
        return run_grid(
            cells, out, executor, threads=arguments.threads, on_done=lambda: bar.update(1)
        )


def _executor(arguments: argparse.Namespace, progress: Bars, bar: Bar) -> Executor:
    """Return what runs the cells."""
    if arguments.dask is None:
        if arguments.shared is not None:
            raise InputError("--shared is of --dask: give its ADDRESS too, or omit --shared")
        jobs = allowed_jobs(arguments.jobs, progress.note)
        return Processes(jobs, arguments.threads) if jobs > 1 else Here(progress=progress)
    if arguments.jobs > 1:
        raise InputError("--jobs and --dask: the cluster has one cell for each worker; omit --jobs")
    shares = Shares(bar)
    cluster = Cluster(
        arguments.dask,
        shared=arguments.shared,
        retries=arguments.retries,
        on_share=shares.show,
    )
    if not arguments.verbose:
        _silence_dask()
    if cluster.workers() == 0:
        progress.note(f"no worker has joined {arguments.dask} yet: waiting for the first")
    return cluster


def _silence_dask() -> None:
    """Log nothing of Dask's: the command says in one line what Dask logs with tracebacks."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


class Shares:
    """Shows beside a bar how far the running cells are, by method, rate and seed."""

    def __init__(self, bar: Bar) -> None:
        self._bar, self._shares = bar, dict[str, float]()

    def show(self, job: Job, share: float) -> None:
        """Show the share of a cell, and those of the last few that reported and still run."""
        name = f"{job.label} {100 * job.target:g} % seed {job.seed}"
        self._shares.pop(name, None)
        if share < 1:
            self._shares[name] = share
        last = list(self._shares.items())[-SHOWN:]
        text = ", ".join(f"{name}: {100 * share:.0f} % done" for name, share in last)
        self._bar.set_postfix_str(text)


def _write(out: Path, lines: Sequence[Line]) -> None:
    """Write table.md, table.csv and table.json."""
    records = [dataclasses.asdict(line) for line in lines]
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(Line)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_text_file(out / "table.md", markdown(lines))
    write_text_file(out / "table.csv", text.getvalue())
    write_text_file(out / "table.json", json.dumps(records, indent=2) + "\n")


def _show(arguments: argparse.Namespace, lines: Sequence[Line], out: Path) -> None:
    if arguments.json:
        print(json.dumps([dataclasses.asdict(line) for line in lines], indent=2))
        return
    for heading, own in headed(lines):
        print(f"{heading}\n\n{table(*table_of(own))}\n")
    measures = list(dict.fromkeys(line.measure for line in lines))
    print(
        f"rate, {', '.join(measures)}, drop: in percent; n: seeds; ±: standard deviation over seeds"
    )
    print("time: of pruning alone, per run")
    if "mAP" in measures:
        print("mAP: mean average precision of a detector, VOC's mean over 11 recalls")
    if any(line.agreement is not None for line in lines):
        print("agree: share of the dense network's predictions, in percent; KL: divergence from it")
    if any(line.paper_top1 is not None for line in lines):
        print(f"paper's: {SOURCE}; its drop: against its own dense network")
    print(f"written to {out}: table.md, table.csv, table.json")


def markdown(lines: Sequence[Line]) -> str:
    """Return the table as Markdown, one section per network."""
    parts = []
    for heading, own in headed(lines):
        header, cells = table_of(own)
        rows = [header, ("---", *("---:" for _ in header[1:])), *cells]
        parts.append(f"### {heading}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"
