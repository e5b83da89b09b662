"""Plot rate and loss over the steps of several methods: ``python -m tools.search.figure``.

It reads the runs of a comparison (``fcpts-ref compare --out FOLDER``) at one rate and seed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.figures import COLOURS, figure, literal, require_plot, save
from fcpts_ref.experiments.run import HISTORY
from fcpts_ref.experiments.summary import SUMMARY, read_summary
from fcpts_ref.storage.network_files import read_arrays

AVERAGED = 10
"""Steps over which losses are averaged."""


def main(words: Sequence[str] | None = None) -> int:
    """Write the figure and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.search.figure", description=__doc__)
    parser.add_argument("runs", metavar="FOLDER", help="of a comparison")
    parser.add_argument("--rate", type=float, default=0.8, help="default: 0.8")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--out", metavar="FOLDER", default=".", help="for the figure")
    parser.add_argument("--name", default="rate-and-loss", help="of its files")
    arguments = parser.parse_args(words)
    try:
        require_plot()
        found = histories(Path(arguments.runs), arguments.rate, arguments.seed)
        title = f"{100 * arguments.rate:g} % of the weights to be pruned"
        for path in plot(Path(arguments.out), arguments.name, found, title):
            print(path)
    except InputError as error:
        print(f"figure: {error}", file=sys.stderr)
        return 2
    return 0


def histories(folder: Path, rate: float, seed: int) -> dict[str, Mapping[str, Any]]:
    """Return the histories of the runs that have a global rate in every step, by method.

    Raises InputError if there are none.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(folder.rglob(SUMMARY)):
        summary = read_summary(path.parent)
        job = summary.pinned.job
        if (job.target, job.seed) == (rate, seed):
            history, _ = read_arrays(path.parent / HISTORY)
            if "global_rate" in history:
                found[summary.method] = history
    if not found:
        raise InputError(
            f"{folder} holds no run at rate {rate} with seed {seed} whose method has a rate in "
            "every step; expected the folder of a comparison"
        )
    return found


def plot(folder: Path, name: str, found: Mapping[str, Mapping[str, Any]], title: str) -> list[Path]:
    """Plot global rate and reconstruction loss over the steps, one line a method."""
    with figure(7, 5.6, rows=2) as (made, (top, bottom)):
        for i, (method, history) in enumerate(found.items()):
            style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "label": literal(method)}
            steps = np.arange(1, len(history["global_rate"]) + 1)
            top.plot(steps, 100 * np.asarray(history["global_rate"]), **style)
            bottom.plot(steps, averaged(np.asarray(history["reconstruction_loss"])), **style)
        top.set(ylabel="weights pruned, %", title=literal(title))
        bottom.set_yscale("log")
        bottom.set(xlabel="step", ylabel=f"loss (mean of {AVERAGED} steps)")
        made.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return save(made, folder, name)


def averaged(values: Any) -> Any:
    """Return the mean of each value and those before it, at most ``AVERAGED`` together."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - AVERAGED, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


if __name__ == "__main__":
    sys.exit(main())
