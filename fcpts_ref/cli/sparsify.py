"""fcpts-ref sparsify: prune a trained network to a global rate, and show what that did."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from fcpts_ref.cli.options import add_engine_options
from fcpts_ref.cli.pruning import COMMAND, prune
from fcpts_ref.cli.sources import add_source_options
from fcpts_ref.cli.tables import percent, points, table
from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import runs
from fcpts_ref.pruning.fcpts.method import PROFILE_SETTINGS
from fcpts_ref.pruning.names import NEW_STATISTICS
from fcpts_ref.pruning.registry import METHODS
from fcpts_ref.spec.allocation import ALLOCATIONS
from fcpts_ref.spec.budget import budget
from fcpts_ref.spec.conventions import PROFILES
from fcpts_ref.storage.files import LOCK_NAME, lock_folder

FAR_OFF = 0.01
"""A miss of the target, before the last projection, that is worth a warning."""

EPILOG = """\
examples:
  fcpts-ref sparsify         the embedded network on the embedded digits, 90 %
  fcpts-ref sparsify --sparsity 0.95 --profile released --epochs 20
  fcpts-ref sparsify --arch resnet32 --weights resnet32.th --data cifar10
  fcpts-ref sparsify --resume runs/resnet32-cifar10-fcpts-0.9-seed0

Labels are used to report accuracy on the test images, never to prune.  A pruned
network has zeros in place of weights: it takes fewer multiplications in an
engine that skips zeros (this one does), but its files and ordinary dense
arithmetic are as large and as slow as before.
"""


def add_parser(subparsers: Any) -> None:
    """Mounts the command."""
    parser = subparsers.add_parser(
        "sparsify",
        help="prune a trained network to a global sparsity rate",
        description="Prune a trained network to a global sparsity rate from unlabelled images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_options(parser)
    group = parser.add_argument_group("pruning")
    group.add_argument(
        "--sparsity",
        type=float,
        default=0.9,
        metavar="RATE",
        help="share of all convolution and linear weights set to zero (default: %(default)s)",
    )
    group.add_argument("--method", choices=tuple(METHODS), default="fcpts", help="default: fcpts")
    group.add_argument(
        "--profile",
        choices=tuple(PROFILES),
        help="the paper as read literally, its authors' published code, or what does best "
        "(default: extended)",
    )
    group.add_argument("--allocation", choices=tuple(ALLOCATIONS), help="where the rates start")
    group.add_argument(
        "--control",
        choices=("loss", "projection"),
        help="how the global rate is held: by the loss of Eq. 3, or exactly after every step",
    )
    group.add_argument(
        "--epochs",
        type=int,
        help="passes over the calibration images "
        f"(default: {PROFILE_SETTINGS['extended']['epochs']}, "
        f"other profiles {PROFILE_SETTINGS['paper']['epochs']})",
    )
    group.add_argument("--batch-size", type=int, help="images in a step (default: 64)")
    group.add_argument("--steps", type=int, help="of POT, for each layer")
    for kind in ("weight", "bias"):
        group.add_argument(
            f"--{kind}-learning-rate", type=float, metavar="RATE", help="of POT's Adam"
        )
    group.add_argument(
        "--unit",
        choices=("layer", "independent"),
        help="what POT tunes at a time: a layer with what follows it, or alone (default: layer)",
    )
    group.add_argument(
        "--sparse-inputs",
        action="store_true",
        help="POT tunes on what the layers before, already pruned, give (default: the dense ones)",
    )
    group.add_argument(
        "--augmentation",
        choices=AUGMENTATIONS,
        help="of the calibration images (default: none; extended profile: what suits the data)",
    )
    group.add_argument(
        "--views",
        type=int,
        metavar="N",
        help="augmented views of each image, which take turns (0: new ones at every epoch)",
    )
    group.add_argument(
        "--ramp",
        type=float,
        metavar="SHARE",
        help="share of the steps over which the rate grows from 50 %% to the target",
    )
    group.add_argument(
        "--fixed-rates",
        action="store_true",
        help="keep every layer at its initial rate (with a ramp: of each step's target)",
    )
    group.add_argument(
        "--choose",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replace one convention of the profile, such as temperature=4 or bandwidth=absolute; "
        "may be repeated",
    )
    group.add_argument(
        "--calibration",
        type=int,
        metavar="N",
        help="calibration images, drawn from the training images without their labels "
        "(default: all, at most what the profile says)",
    )
    group.add_argument(
        "--batch-norm",
        action="store_true",
        help="add rows with batch norm's statistics measured anew after pruning",
    )
    group.add_argument("--label", help="what tables and figures call the method")
    group.add_argument(
        "--no-baselines",
        action="store_true",
        help="only the method's own row: no dense and one-shot networks beside it",
    )
    add_engine_options(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="FOLDER", help="the run's folder (default: runs/NAME)")
    group.add_argument("--resume", metavar="FOLDER", help="continue the run in this folder")
    group.add_argument("--json", action="store_true", help="print the summary as JSON, no tables")
    group.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prunes, writes the run's folder, prints the tables."""
    folder, stored = _folder(arguments)
    try:
        summary = prune(arguments, folder, stored)
    except InputError:
        if not arguments.resume:
            _abandon(folder)
        raise
    complete = summary["stages_done"] == summary["stages"]
    if not complete:
        _say(
            f"stopped after stage {summary['stages_done']} of {summary['stages']}; continue with: "
            f"fcpts-ref sparsify --resume {folder}"
        )
    _show(arguments, folder, summary)
    target = summary["settings"]["target"]
    if budget(target, summary["weights"]) == 0:
        _say(f"NOTHING WAS PRUNED: at a target of {target} no weight is set to zero")
    return 0 if complete else 130


def _folder(arguments: argparse.Namespace) -> tuple[Path, runs.RunSettings | None]:
    """The run's folder, and what is stored there if it is to be resumed."""
    if arguments.resume:
        if arguments.out:
            raise InputError("--out beside --resume: a run goes on where it is; leave one out")
        folder = Path(arguments.resume)
        return folder, recall(arguments, folder)
    name = Path(arguments.weights).stem
    parts = (name, arguments.data, arguments.method, f"{arguments.sparsity:g}")
    default = Path("runs") / f"{'-'.join(Path(p).name for p in parts)}-seed{arguments.seed}"
    folder = Path(arguments.out) if arguments.out else _fresh(default)
    begin(arguments, folder)
    return folder, None


def begin(arguments: argparse.Namespace, folder: Path) -> None:
    """Makes the run's folder and notes the command there.  Raises InputError if it is taken."""
    if folder.exists() and (not folder.is_dir() or _visible(folder)):
        raise InputError(
            f"{folder} exists and is not empty; choose another --out, or continue it with --resume"
        )
    with lock_folder(folder):
        runs.write_json(folder / COMMAND, command_of(arguments))


def _abandon(folder: Path) -> None:
    """Removes the folder of a run that was refused before its first stage, and nothing else."""
    begun = (COMMAND, runs.SETTINGS, LOCK_NAME)
    with contextlib.suppress(OSError, InputError), lock_folder(folder):
        if all(path.name in begun for path in folder.iterdir()):
            for name in begun:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def recall(arguments: argparse.Namespace, folder: Path) -> runs.RunSettings | None:
    """Puts the options of an earlier command in place; its settings, if it came that far."""
    command = runs.read_json(folder / COMMAND)
    if not isinstance(command, dict) or set(command) - set(command_of(arguments)):
        raise InputError(f"{folder / COMMAND} is not of a run; give a run's folder")
    for name, value in command_of(_said(arguments)).items():
        if value != command.get(name, value):
            before = "without it" if command[name] is None else f"with {command[name]}"
            raise InputError(
                f"--{name.replace('_', '-')} {value}: {folder} was begun {before}; --resume goes "
                "on as begun, a new --out begins anew"
            )
    for name, value in command.items():
        setattr(arguments, name, value)
    return runs.read_settings(folder) if (folder / runs.SETTINGS).exists() else None


def _said(arguments: argparse.Namespace) -> argparse.Namespace:
    """The options that the command line says, without those it leaves at their defaults."""
    parsers = argparse.ArgumentParser().add_subparsers()
    add_parser(parsers)
    parser = parsers.choices["sparsify"]
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return parser.parse_args(arguments.words)


def _visible(folder: Path) -> list[Path]:
    """What is there besides locks and files that were being written when a process was killed."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _fresh(folder: Path) -> Path:
    """The folder itself, or the first of folder-2, folder-3, ... that does not exist."""
    number, fresh = 1, folder
    while fresh.exists():
        number += 1
        fresh = folder.with_name(f"{folder.name}-{number}")
    return fresh


def command_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that a resumed run must repeat."""
    left_out = ("run", "command", "words", "resume", "out", "json", "quiet", "threads")
    return {name: value for name, value in vars(arguments).items() if name not in left_out}


def _show(arguments: argparse.Namespace, folder: Path, summary: dict[str, Any]) -> None:
    if arguments.json:
        print(json.dumps({**summary, "folder": str(folder)}, indent=2, default=str))
        return
    target = summary["settings"]["target"]
    print(
        f"{summary['network']} on {summary['data']}: {summary['weights']:,} weights, "
        f"{percent(target)} to be pruned\n"
        f"calibration: {summary['calibration_images']:,} of the training images, without labels\n"
        f"evaluation:  the {summary['evaluation_images']:,} test images\n"
    )
    print(accuracy_table(summary["rows"]))
    if any(row["name"].endswith(NEW_STATISTICS) for row in summary["rows"]):
        print("BN: batch norm's statistics measured anew on the calibration images")
    print()
    print(layer_table(summary["layers"]))
    complete = summary["stages_done"] == summary["stages"]
    missed = summary["rate_before_projection"] - target if complete else 0.0
    print(
        f"\nglobal rate before the last projection: {percent(summary['rate_before_projection'])}"
        f"\nwritten to {folder} in {summary['seconds']} s"
    )
    if abs(missed) > FAR_OFF:
        _say(
            f"the method itself MISSED the target by {points(missed)} points, which the last "
            "projection made up for; try a lower threshold_learning_rate or --control projection"
        )


def accuracy_table(rows: list[dict[str, Any]]) -> str:
    """Requested and achieved rate, and accuracy, of every network."""
    return table(
        ("network", "requested", "achieved", "top-1", "top-5", "change"),
        [
            (
                row["name"],
                "" if row["requested"] is None else percent(row["requested"]),
                percent(row["achieved"]),
                percent(row["top1"]),
                percent(row["top5"]),
                "" if row["requested"] is None or row["drop"] is None else points(-row["drop"]),
            )
            for row in rows
        ],
    )


def layer_table(layers: list[dict[str, Any]]) -> str:
    """Shape, size and rate of every layer, before (the initial allocation) and after."""
    return table(
        ("layer", "shape", "weights", "before", "after", "change"),
        [
            (
                layer["name"].removesuffix(".weight"),
                "x".join(map(str, layer["shape"])),
                f"{layer['weights']:,}",
                percent(layer["rate_before"]),
                percent(layer["rate_after"]),
                points(layer["rate_after"] - layer["rate_before"]),
            )
            for layer in layers
        ],
        left=2,
    )


def _say(message: str) -> None:
    print(f"fcpts-ref: {message}", file=sys.stderr)
