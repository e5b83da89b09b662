"""Search settings on held-out training images: ``python -m tools.search FILE --out FOLDER``.

FILE holds a grid of runs as ``fcpts-ref compare --config`` reads it.  Every cell calibrates on some
training images and is evaluated on others, the last of them; test images are never used.  Running
the same command again runs the cells that are missing and continues those that were stopped.  The
results of all cells are written to results.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from fcpts_ref.cli.progress import Bars
from fcpts_ref.cli.tables import table
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.executors import Here
from fcpts_ref.experiments.grid import cells_of, check_unchanged, grid_of
from fcpts_ref.experiments.options import Changes
from fcpts_ref.experiments.run_grid import run_grid
from fcpts_ref.experiments.summary import is_complete, read_summary
from fcpts_ref.storage.files import lock_folder
from fcpts_ref.storage.json_files import write_json
from fcpts_ref.storage.toml_files import read_toml
from tools.search.held_out import find_held_out
from tools.search.trials import Mean, means, trial

RESULTS = "results.json"


def main(words: Sequence[str] | None = None) -> int:
    """Run the cells that are missing, write and print the results; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.search", description=__doc__)
    parser.add_argument("config", metavar="FILE", help="a TOML file with the grid")
    parser.add_argument("--out", metavar="FOLDER", required=True, help="for cells and results")
    parser.add_argument(
        "--held-out", type=int, default=5_000, metavar="N", help="images to judge by (default 5000)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of each run (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    arguments = parser.parse_args(words)
    try:
        return search(arguments)
    except InputError as error:
        print(f"search: {error}", file=sys.stderr)
        return 2


def search(arguments: argparse.Namespace) -> int:
    """Run the search of the command line."""
    grid = grid_of(read_toml(arguments.config), Changes({"agreement": True}))
    cells, out = cells_of(grid), Path(arguments.out)
    progress = Bars(quiet=arguments.quiet)
    here = Here(progress=progress, find=partial(find_held_out, count=arguments.held_out))
    with lock_folder(out):
        for cell in cells:
            check_unchanged(cell, out)
        missing = [cell for cell in cells if not is_complete(out / cell.folder)]
        missing.sort(key=lambda cell: cell.job.seed)  # one seed of all settings, then the next
        failures, stopped = run_grid(missing, out, here, threads=arguments.threads)
        done = [cell for cell in cells if is_complete(out / cell.folder)]
        trials = [trial(cell, read_summary(out / cell.folder)) for cell in done]
        write_json(out / RESULTS, [asdict(one) for one in trials])
    print(listing(means(trials)))
    print("rate, top-1: in percent, on held-out training images; ±: deviation over n seeds")
    for name, message in failures.items():
        print(f"search: {name}: {message}", file=sys.stderr)
    if stopped:
        print(f"search: stopped, {len(cells) - len(done)} runs left", file=sys.stderr)
        return 130
    return 2 if failures else 0


def listing(found: Sequence[Mean]) -> str:
    """Return the table of the means, the best settings of every method first."""
    header = ("settings", "rate", "top-1", "±", "KL", "reached", "n", "time")
    rows = [
        (
            one.name,
            f"{100 * one.rate:g}",
            f"{100 * one.top1:.2f}",
            "" if one.spread is None else f"{100 * one.spread:.2f}",
            "" if one.divergence is None else f"{one.divergence:.3f}",
            f"{100 * one.reached:.1f}",
            str(one.seeds),
            f"{one.seconds:.0f} s",
        )
        for one in found
    ]
    return table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
