"""fcpts-ref report: figures and one HTML page from finished runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcpts_ref.errors import counted
from fcpts_ref.experiments.dense import read_dense
from fcpts_ref.experiments.figures import require_plot
from fcpts_ref.experiments.outcomes import Dense, Scores, scores_of
from fcpts_ref.experiments.summary import Summary
from fcpts_ref.report.build import write_report
from fcpts_ref.report.collect import run_folders, summaries_in
from fcpts_ref.storage.files import lock_folder

EPILOG = """\
examples:
  fcpts-ref report runs/resnet8-digits-digits-fcpts-0.9-seed0
  fcpts-ref report table2 --out table2-report   the --out of fcpts-ref compare
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "report",
        help="make figures and an HTML page from finished runs",
        description="Make figures (PNG and SVG) and a self-contained HTML page from finished\n"
        "runs.  Needs matplotlib (the extra 'plot').",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="the folder of a run, or a folder that contains runs"
    )
    parser.add_argument(
        "--out", default="report", metavar="FOLDER", help="for the files (default: report)"
    )
    parser.add_argument("--json", action="store_true", help="print the names of the files as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the runs, write the report, and return the exit code."""
    require_plot()
    places = [Path(name) for name in arguments.runs]
    folders = run_folders(places)
    summaries = summaries_in(folders)
    out = Path(arguments.out)
    with lock_folder(out):
        written = write_report(out, folders, summaries, _dense(places, summaries))
    if arguments.json:
        print(json.dumps([str(path) for path in written], indent=2))
    else:
        print(f"{counted(len(written) - 1, 'file')} of figures and the page {written[-1]}")
    return 0


def _dense(places: Sequence[Path], summaries: Sequence[Summary]) -> Dense:
    """Return the scores of the dense networks, from comparisons and from runs."""
    dense: dict[tuple[str, str], Scores] = {}
    for place in places:
        dense |= read_dense(place)
    for summary in summaries:
        for row in summary.rows:
            scores = scores_of(row)
            if row.requested is None and scores is not None:
                dense[summary.data, summary.pinned.network_sha256] = scores
    return dense
