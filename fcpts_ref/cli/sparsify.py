"""fcpts-ref sparsify: prune a trained network to a global rate and show the result."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcpts_ref.cli.detection import add_drawing_options, check_drawing, draw_run
from fcpts_ref.cli.options import add_job_options, add_threads_option, given_changes
from fcpts_ref.cli.progress import Bars, compile_notice
from fcpts_ref.cli.tables import percent, points, table
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments import run as experiments
from fcpts_ref.experiments.evaluate import Row
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.options import Changes
from fcpts_ref.experiments.pinned import read_pinned
from fcpts_ref.experiments.summary import Layer, Summary
from fcpts_ref.pruning.names import NEW_STATISTICS
from fcpts_ref.spec.budget import budget

FAR_OFF = 0.01
"""The distance from the target, before the last projection, that is worth a warning."""

EPILOG = """\
examples:
  fcpts-ref sparsify         the embedded network on the embedded digits, 90 %
  fcpts-ref sparsify --sparsity 0.95 --profile released --epochs 20
  fcpts-ref sparsify --arch resnet32 --weights resnet32.th --data cifar10
  fcpts-ref sparsify --resume runs/resnet32-cifar10-fcpts-0.9-seed0

Labels are used to report accuracy on the test images; only dsa, slimming, ssl,
morphnet and channels prune with them, unless --objective outputs.  A pruned
network has zeros in place of weights: it takes fewer multiplications in an
engine that skips zeros (this one does) and a smaller file, but ordinary dense
arithmetic is as slow as before.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "sparsify",
        help="prune a trained network to a global sparsity rate",
        description="Prune a trained network to a global sparsity rate from unlabelled images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_job_options(parser)
    group = parser.add_argument_group("running and output")
    add_threads_option(group)
    group.add_argument("--out", metavar="FOLDER", help="the run's folder (default: runs/NAME)")
    group.add_argument("--resume", metavar="FOLDER", help="continue the run in this folder")
    add_drawing_options(group, "the dense and the sparse detector")
    group.add_argument(
        "--json", action="store_true", help="print the summary as JSON instead of tables"
    )
    group.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the job or resume it, print the tables, and return the exit code."""
    changes = given_changes(arguments)
    threads, progress = arguments.threads, Bars(quiet=arguments.quiet)
    if arguments.resume is not None:
        folder = _resumed_folder(arguments)
        job = read_pinned(folder).job
        _check_same(changes, job, folder)
        check_drawing(arguments.draw, job)
        with compile_notice(quiet=arguments.quiet or job.engine != "numba"):
            summary = experiments.resume(folder, threads=threads, progress=progress)
    else:
        job = changes.job()
        check_drawing(arguments.draw, job)
        folder = Path(arguments.out) if arguments.out else _fresh(_default_folder(job))
        with compile_notice(quiet=arguments.quiet or job.engine != "numba"):
            summary = experiments.run(job, folder, threads=threads, progress=progress)
    drawn = 0
    if arguments.draw is not None and summary.complete:
        drawn = draw_run(arguments, job, folder, summary.method)
    _show(arguments, folder, summary)
    if drawn and not arguments.json:
        print(f"{counted(drawn, 'picture')} drawn in {arguments.draw}")
    return 0 if summary.complete else 130


def _resumed_folder(arguments: argparse.Namespace) -> Path:
    if arguments.out:
        raise InputError("--out with --resume: a run continues in its own folder; omit --out")
    return Path(arguments.resume)


def _check_same(changes: Changes, job: Job, folder: Path) -> None:
    """Raise InputError for an option that contradicts the job to resume."""
    for option, value, before in changes.against(job):
        started = "without it" if before is None else f"with {before}"
        raise InputError(
            f"--{option} {value}: {folder} was started {started}; omit it to continue, or start "
            "again in a new folder with --out"
        )


def _default_folder(job: Job) -> Path:
    """Return runs/NETWORK-DATA-METHOD-RATE-seedN."""
    parts = (Path(job.network).stem, Path(job.data).name, job.method, f"{job.target:g}")
    return Path("runs") / f"{'-'.join(parts)}-seed{job.seed}"


def _fresh(folder: Path) -> Path:
    """Return the folder, or the first of folder-2, folder-3, ... that does not exist."""
    number, fresh = 1, folder
    while fresh.exists():
        number += 1
        fresh = folder.with_name(f"{folder.name}-{number}")
    return fresh


def _show(arguments: argparse.Namespace, folder: Path, summary: Summary) -> None:
    if not summary.complete:
        _say(f"{_progress_of(summary)}; continue with: fcpts-ref sparsify --resume {folder}")
    if arguments.json:
        shares = {
            "requested": summary.pinned.job.target,
            "achieved_all_weights": summary.achieved(all_layers=True),
            "achieved_pruned_layers": summary.achieved(all_layers=False),
        }
        shown = {**summary.to_json(), **shares, "folder": str(folder)}
        if arguments.draw is not None and summary.complete:
            shown["pictures"] = arguments.draw
        print(json.dumps(shown, indent=2, default=str))
    else:
        print(run_tables(summary))
        print(f"written to {folder} in {summary.seconds} s")
    target = summary.pinned.job.target
    missed = summary.rate_before_projection - target
    if summary.complete and not arguments.json:
        if _had_more_zeros(summary):
            _say(
                f"{percent(summary.achieved(all_layers=False))} of the weights were 0 before, more "
                f"than the target of {percent(target)}; no weight comes back"
            )
        elif abs(missed) > FAR_OFF:
            _say(_missed(summary, missed))
    if budget(target, summary.weights) == 0:
        _say(f"NOTHING WAS PRUNED: at a target of {target} no weight is set to zero")


def _had_more_zeros(summary: Summary) -> bool:
    """Return whether more weights are 0 than the target asks for, which only the input explains."""
    job = summary.pinned.job
    if job.cost != "weights" or job.granularity != "weight" or not job.make_method().projects:
        return False
    return summary.achieved(all_layers=False) - job.target > FAR_OFF


def _missed(summary: Summary, missed: float) -> str:
    """Return what a rate that is off by so much means."""
    if not summary.pinned.make_method().projects:
        return (
            f"whole channels are coarse here: {points(missed)} points beyond the target, which is "
            "met from above"
        )
    return (
        f"the method MISSED the target by {points(missed)} points before the last projection, "
        f"which meets it{_advice(summary)}"
    )


def _advice(summary: Summary) -> str:
    """Return how to miss the target by less, for a method that has the settings."""
    if summary.pinned.settings.get("control") != "loss":
        return ""
    return "; try --control projection, or a lower --choose threshold_learning_rate=RATE"


def _progress_of(summary: Summary) -> str:
    return f"stopped after stage {summary.stages_done} of {summary.stages}"


def run_tables(summary: Summary) -> str:
    """Return the text of a run: inputs, accuracy of every network, rates by layer."""
    method = summary.pinned.make_method()
    labels = "with" if method.reads_labels else "without"
    of_cost = "" if summary.pinned.job.cost == "weights" else " of the multiplications"
    heading = (
        f"{summary.network} on {summary.data}: {counted(summary.weights, 'weight')}, "
        f"{percent(summary.pinned.job.target)}{of_cost} to be pruned\n"
        f"calibration: {summary.pinned.calibration:,} of the training images, {labels} labels\n"
        f"evaluation:  {_evaluation(summary)}"
    )
    if summary.pinned.job.granularity != "weight":
        heading += f"\nunits:       {summary.pinned.job.granularity}"
    if not summary.complete:
        heading += f"\nUNFINISHED:  {_progress_of(summary)}, which the tables show"
    if summary.left_out:
        names = ", ".join(name.removesuffix(".weight") for name in summary.left_out)
        heading += f"\nleft out:    {names}; the target counts the other layers"
    accuracies = accuracy_table(summary.rows)
    if any(row.name.endswith(NEW_STATISTICS) for row in summary.rows):
        accuracies += "\nBN: batch norm's statistics re-estimated on the calibration images"
    if any(row.agreement is not None for row in summary.rows):
        accuracies += "\nagree: share of the dense network's predictions; KL: divergence from its "
        accuracies += "outputs"
    layers = layer_table(summary.layers, summary.left_out)
    before = percent(summary.rate_before_projection)
    reached = f"global rate before the last projection: {before}\n" if method.projects else ""
    last = (
        f"{reached}"
        f"achieved: {percent(summary.achieved(all_layers=False))} of the weights of pruned layers, "
        f"{percent(summary.achieved(all_layers=True))} of all"
    )
    return f"{heading}\n\n{accuracies}\n\n{layers}\n\n{last}"


def _evaluation(summary: Summary) -> str:
    if not summary.evaluation_images:
        return "none, as there are no test images; name some by --test-data"
    return f"the {counted(summary.evaluation_images, 'test image')}"


def accuracy_table(rows: Sequence[Row]) -> str:
    """Return the table of every network's rates, and of the numbers that were measured."""
    header = ("network", "requested", "achieved", "top-1", "top-5", "mAP", "change", "agree", "KL")
    cells = [
        (
            row.name,
            "" if row.requested is None else percent(row.requested),
            percent(row.achieved),
            *(
                "" if share is None else percent(share)
                for share in (row.top1, row.top5, row.mean_precision)
            ),
            "" if row.requested is None or row.drop is None else points(-row.drop),
            "" if row.agreement is None else percent(row.agreement),
            "" if row.divergence is None else f"{row.divergence:.3f}",
        )
        for row in rows
    ]
    always = ("network", "requested", "achieved")
    measured = [row.top1 is not None or row.mean_precision is not None for row in rows]
    used = [
        i
        for i, name in enumerate(header)
        if name in always or any(row[i] for row in cells) or (name == "change" and any(measured))
    ]
    return table([header[i] for i in used], [[row[i] for i in used] for row in cells])


def layer_table(layers: Sequence[Layer], left_out: Sequence[str] = ()) -> str:
    """Return the table of every layer's shape, size and rates: initial and final."""
    return table(
        ("layer", "shape", "weights", "before", "after", "change"),
        [
            (
                layer.name.removesuffix(".weight"),
                "x".join(map(str, layer.shape)),
                f"{layer.weights:,}",
                "left out" if layer.name in left_out else percent(layer.rate_before),
                percent(layer.rate_after),
                points(layer.rate_after - layer.rate_before),
            )
            for layer in layers
        ],
        left=2,
    )


def _say(message: str) -> None:
    print(f"fcpts-ref: {message}", file=sys.stderr)
