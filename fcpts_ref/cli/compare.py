"""fcpts-ref compare: networks x methods x rates x seeds, and the table of what came out."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcpts_ref.cli import sparsify
from fcpts_ref.cli.cells import run_cells
from fcpts_ref.cli.options import at_least_one, seed
from fcpts_ref.cli.progress import counting_bar
from fcpts_ref.cli.pruning import COMMAND
from fcpts_ref.cli.sources import find_dataset, find_network
from fcpts_ref.cli.tables import table
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import runs
from fcpts_ref.experiments.compare import (
    PRESETS,
    Cell,
    Flags,
    Grid,
    Line,
    grid_of,
    headed,
    lines_of,
    table_of,
)
from fcpts_ref.experiments.compare import outcomes as outcomes_of
from fcpts_ref.experiments.paper import SOURCE
from fcpts_ref.experiments.training import accuracy
from fcpts_ref.report.collect import DENSE, read_dense, summaries_in
from fcpts_ref.storage.files import describe_failure, lock_folder, write_atomically

EPILOG = f"""\
methods:
{textwrap.fill(", ".join(PRESETS), 78, initial_indent="  ", subsequent_indent="  ")}

examples:
  fcpts-ref compare --out digits --rates 0.8 0.9 --seeds 0
  fcpts-ref compare --networks resnet32 resnet56 --data cifar10 --out table2
  fcpts-ref compare --config grid.toml --out table2 --jobs 2

A cell is one run of sparsify in its own folder under --out.  The same command
again runs only what is missing, and continues what was stopped.  A
configuration file holds lists (networks, methods, rates, seeds), tables of
sparsify's options ([network.NAME], [method.NAME], the latter perhaps with
preset = "fcpts"), and [options] for every cell.
"""


def add_parser(subparsers: Any) -> None:
    """Mounts the command."""
    parser = subparsers.add_parser(
        "compare",
        help="prune by several methods, rates and seeds, and tabulate",
        description="Prune networks by several methods, at several rates, with several seeds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("grid")
    group.add_argument("--config", metavar="FILE", help="a TOML file; what is said here goes first")
    group.add_argument("--networks", nargs="+", metavar="NAME|FILE", help="as in --weights")
    group.add_argument("--methods", nargs="+", metavar="METHOD", help="default: fcpts and both POT")
    group.add_argument("--rates", nargs="+", type=float, help="default: 0.7 0.8 0.9")
    group.add_argument("--seeds", nargs="+", type=seed, help="default: 0 1 2")
    group = parser.add_argument_group("of every cell")
    for flag in ("--data", "--home", "--arch", "--engine"):
        group.add_argument(flag, help="as in sparsify")
    for flag in ("--calibration", "--epochs", "--steps"):
        group.add_argument(flag, type=int, help="as in sparsify")
    group.add_argument("--threads", type=at_least_one, help="as in sparsify")
    group.add_argument(
        "--batch-norm", action="store_true", help="as in sparsify: rows of their own"
    )
    group = parser.add_argument_group("running and output")
    group.add_argument("--out", metavar="FOLDER", required=True, help="where the cells lie")
    group.add_argument(
        "--jobs",
        type=at_least_one,
        default=1,
        help="cells at a time, fewer where cores or memory do not allow it (default: 1)",
    )
    group.add_argument("--json", action="store_true", help="print the table as JSON")
    group.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the cells that are missing, writes and prints the table."""
    grid = _grid(arguments)
    out = Path(arguments.out)
    cells = {cell: _parsed(cell) for cell in grid.cells}
    with lock_folder(out):
        for cell, options in cells.items():
            _check_unchanged(cell, options, out)
        threads = arguments.threads
        _measure_dense(cells, out, threads=threads, quiet=arguments.quiet)
        missing = [cell for cell in cells if not is_done(out / cell.folder)]
        missing.sort(key=lambda cell: grid.seeds.index(cell.seed))  # one seed's table, then more
        failures, stopped = run_cells(
            missing, out, jobs=arguments.jobs, threads=threads, quiet=arguments.quiet
        )
        folders = [out / cell.folder for cell in cells if is_done(out / cell.folder)]
        dense = read_dense(out)
        lines = lines_of(
            outcome for summary in summaries_in(folders) for outcome in outcomes_of(summary, dense)
        )
        _write(out, lines)
    _show(arguments, lines, out)
    for name, message in failures.items():
        print(f"fcpts-ref: {name}: {message}", file=sys.stderr)
    if stopped:
        left = len(cells) - len(folders)
        print(f"fcpts-ref: stopped, {left} cells left; run it again to go on", file=sys.stderr)
        return 130
    return 2 if failures else 0


def _grid(arguments: argparse.Namespace) -> Grid:
    data: dict[str, Any] = {}
    if arguments.config:
        try:
            data = tomllib.loads(Path(arguments.config).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(describe_failure(f"cannot read {arguments.config}", error)) from error
        except ValueError as error:  # of TOML, or not UTF-8
            raise InputError(f"{arguments.config} is not TOML ({error}); correct it") from error
    for name in ("networks", "methods", "rates", "seeds"):
        if getattr(arguments, name) is not None:
            data[name] = getattr(arguments, name)
            data.pop(name.removesuffix("s"), None)  # said here: instead of the file's
    if not data.get("networks") and not data.get("network"):
        data["networks"] = ["resnet8-digits"]
    if not data.get("methods") and not data.get("method"):
        data["methods"] = ["fcpts", "pot-l2norm", "pot-erk"]
    names = ("data", "home", "arch", "engine", "calibration", "epochs", "steps")
    said = {
        name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None
    }
    if arguments.batch_norm:
        said["batch-norm"] = True
    try:
        grid = grid_of(data)
    except InputError as error:
        raise InputError(f"{arguments.config or 'the grid'}: {error}") from error
    own = {"fcpts": "epochs", "pot": "steps"}  # options that one method has
    alone = {name: said.pop(name) for name in own.values() if name in said}
    networks = {label: _without(flags, said) for label, flags in grid.networks.items()}
    methods = {}
    for label, flags in grid.methods.items():
        name = own.get(flags.get("method", "fcpts"), "")
        mine = {name: alone[name]} if name in alone else {}
        methods[label] = {**_without(flags, said), **mine}
    options = {**grid.options, **said}
    return dataclasses.replace(grid, networks=networks, methods=methods, options=options)


def _without(flags: Flags, said: Flags) -> Flags:
    """The flags of a table in the file but for those that the command line says."""
    return {name: value for name, value in flags.items() if name not in said}


def _parsed(cell: Cell) -> argparse.Namespace:
    """The cell's options as ``sparsify`` understands them.  Raises InputError if it does not."""

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise InputError(f"{cell.name}: {message}")

    parsers = Parser().add_subparsers(dest="command")
    sparsify.add_parser(parsers)
    words = [*cell.arguments, "--no-baselines"]
    parsed: argparse.Namespace = parsers.choices["sparsify"].parse_args(words)
    return parsed


def is_done(folder: Path) -> bool:
    """Whether the run in the folder has ended with all its stages."""
    if not (folder / runs.SUMMARY).is_file():
        return False
    summary = runs.read_json(folder / runs.SUMMARY)
    return isinstance(summary, dict) and summary.get("stages_done") == summary.get("stages", -1)


def _check_unchanged(cell: Cell, options: argparse.Namespace, out: Path) -> None:
    """Raises InputError if the cell's folder was begun with other options, or other defaults."""
    folder = out / cell.folder
    if (folder / runs.SETTINGS).exists():
        stored = runs.read_settings(folder)
        if stored.resolved != runs.resolve(stored.method, stored.method_settings):
            raise InputError(
                f"{folder} was begun with other defaults, by another version; choose another "
                "--out, or remove it"
            )
    path = folder / COMMAND
    if path.exists() and runs.read_json(path) != runs.as_json(sparsify.command_of(options)):
        raise InputError(
            f"{path.parent} was begun with other options; choose another --out, or remove it"
        )


def _measure_dense(
    cells: dict[Cell, argparse.Namespace], out: Path, *, threads: int | None, quiet: bool
) -> None:
    """Evaluates every dense network that is not in the folder's list yet."""
    known = read_dense(out)
    entries = [{"data": d, "sha256": s, "top1": a, "top5": b} for (d, s), (a, b) in known.items()]
    by_source = {(o.weights, o.arch, o.data, o.normalise, o.shortcut): o for o in cells.values()}
    for options in by_source.values():
        dataset = find_dataset(options.data, options.home)
        network = find_network(options, dataset)
        sha256 = runs.network_sha256(network)
        if (dataset.name, sha256) in known:
            continue
        engine = make_engine(network.graph, options.engine, threads=threads)
        test = dataset.as_floats(dataset.test.images, network.dtype)
        with counting_bar(f"dense {network.graph.name}", len(test), quiet=quiet) as on_batch:
            result = accuracy(network, test, dataset.test.labels, engine=engine, on_batch=on_batch)
        entries.append(
            {"data": dataset.name, "sha256": sha256, "top1": result.top1, "top5": result.top5}
        )
        runs.write_json(out / DENSE, entries)


def _write(out: Path, lines: Sequence[Line]) -> None:
    """table.md, table.csv, table.json."""
    records = [dataclasses.asdict(line) for line in lines]
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [field.name for field in dataclasses.fields(Line)], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(records)
    contents = {
        "table.md": markdown(lines),
        "table.csv": text.getvalue(),
        "table.json": json.dumps(records, indent=2) + "\n",
    }
    for name, content in contents.items():
        write_atomically(out / name, lambda p, c=content: _write_text(p, c))  # type: ignore[misc]


def _write_text(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def _show(arguments: argparse.Namespace, lines: Sequence[Line], out: Path) -> None:
    if arguments.json:
        print(json.dumps([dataclasses.asdict(line) for line in lines], indent=2))
        return
    for heading, own in headed(lines):
        print(f"{heading}\n\n{table(*table_of(own))}\n")
    print("rate, top-1, drop in percent; n: seeds; ±: their standard deviation")
    print("time: pruning alone, one run")
    if any(line.paper_top1 is not None for line in lines):
        print(f"paper's: {SOURCE}; its drop: against its own dense network")
    print(f"written to {out}: table.md, table.csv, table.json")


def markdown(lines: Sequence[Line]) -> str:
    """The table as Markdown, a section for every network."""
    parts = []
    for heading, own in headed(lines):
        header, cells = table_of(own)
        rows = [header, ("---", *("---:" for _ in header[1:])), *cells]
        parts.append(f"### {heading}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"
