"""fcpts-ref sparsify: prune a trained network to a global rate, and show what that did."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref import runs
from fcpts_ref.allocation import ALLOCATIONS
from fcpts_ref.cli.options import add_engine_options, choices_of
from fcpts_ref.cli.progress import image_bar, step_bar
from fcpts_ref.cli.sources import add_source_options, find_dataset, find_network
from fcpts_ref.cli.tables import percent, points, table
from fcpts_ref.conventions import PROFILES, profile
from fcpts_ref.datasets.dataset import Dataset
from fcpts_ref.errors import InputError
from fcpts_ref.files import lock_folder
from fcpts_ref.methods import METHODS, sparsify
from fcpts_ref.networks import Engine, Network, global_rate, make_engine, sparsity_rates
from fcpts_ref.storage import write_arrays, write_network
from fcpts_ref.training import Accuracy, accuracy

Array = NDArray[Any]

EPILOG = """\
examples:
  fcpts-ref sparsify                          the embedded network on the embedded digits, 90 %
  fcpts-ref sparsify --sparsity 0.95 --profile released --epochs 20
  fcpts-ref sparsify --arch resnet32 --weights resnet32.th --data cifar10 --sparsity 0.9
  fcpts-ref sparsify --resume runs/resnet32-cifar10-fcpts-0.9-seed0

Labels are used to report accuracy on the test images, never to prune.  A pruned network has
zeros in place of weights: it takes fewer multiplications in an engine that skips zeros (this one
does), but its files and ordinary dense arithmetic are as large and as slow as before.
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
        help="the paper as read literally, or its authors' published code (default: paper)",
    )
    group.add_argument(
        "--allocation", choices=tuple(ALLOCATIONS), help="where the rates start (default: erk)"
    )
    group.add_argument(
        "--control",
        choices=("loss", "projection"),
        help="how the global rate is held: by the loss of Eq. 3, or exactly after every step",
    )
    group.add_argument("--epochs", type=int, help="passes over the calibration images")
    group.add_argument("--batch-size", type=int, help="images in a step (default: 64)")
    group.add_argument(
        "--augmentation",
        choices=("none", "crop", "crop-flip"),
        help="of the calibration images",
    )
    group.add_argument(
        "--fixed-rates", action="store_true", help="keep every layer at its initial rate"
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
    add_engine_options(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="FOLDER", help="the run's folder (default: runs/NAME)")
    group.add_argument("--resume", metavar="FOLDER", help="continue the run in this folder")
    group.add_argument("--json", action="store_true", help="print the summary as JSON, no tables")
    group.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prunes, writes the run's folder, prints the tables."""
    begun = time.perf_counter()
    folder, stored = _folder(arguments)
    with lock_folder(folder):
        dataset = find_dataset(arguments.data, arguments.home)
        network = find_network(arguments, dataset)
        images, settings = _settings(arguments, dataset, network)
        if stored is not None and stored != settings:
            raise InputError(
                f"{folder} was begun with other settings or inputs; repeat them, or choose a new "
                "folder with --out"
            )
        runs.write_settings(folder, settings)
        with step_bar(settings.method, quiet=arguments.quiet) as on_step:
            finished = runs.execute(
                settings, network, images, folder, threads=arguments.threads, on_step=on_step
            )
        if not finished.complete:
            _say(
                f"stopped after stage {finished.stages_done} of {finished.stages}; continue with: "
                f"fcpts-ref sparsify --resume {folder}"
            )
        rows = _rows(arguments, settings, dataset, network, images, finished)
        summary = _summary(settings, dataset, network, images, finished, rows)
        summary["seconds"] = round(time.perf_counter() - begun, 1)
        _write(folder, settings, finished, summary)
    _show(arguments, folder, summary)
    return 0 if finished.complete else 130


@dataclass(frozen=True)
class Row:
    """One line of the first table."""

    name: str
    requested: float | None
    achieved: float
    accuracy: Accuracy


def _folder(arguments: argparse.Namespace) -> tuple[Path, runs.RunSettings | None]:
    """The run's folder, and what is stored there if it is to be resumed."""
    if arguments.resume:
        folder = Path(arguments.resume)
        stored = runs.read_settings(folder)
        command = runs.read_json(folder / "command.json")
        for name, value in command.items():
            setattr(arguments, name, value)
        return folder, stored
    name = Path(arguments.weights).stem
    parts = (name, arguments.data, arguments.method, f"{arguments.sparsity:g}")
    default = Path("runs") / f"{'-'.join(Path(p).name for p in parts)}-seed{arguments.seed}"
    folder = Path(arguments.out) if arguments.out else _fresh(default)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} exists and is not empty; choose another --out, or continue it with --resume"
        )
    with lock_folder(folder):
        runs.write_json(folder / "command.json", _command(arguments))
    return folder, None


def _fresh(folder: Path) -> Path:
    """The folder itself, or the first of folder-2, folder-3, ... that does not exist."""
    number, fresh = 1, folder
    while fresh.exists():
        number += 1
        fresh = folder.with_name(f"{folder.name}-{number}")
    return fresh


def _command(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that a resumed run must repeat."""
    left_out = ("run", "command", "resume", "out", "json", "quiet", "threads")
    return {name: value for name, value in vars(arguments).items() if name not in left_out}


def _settings(
    arguments: argparse.Namespace, dataset: Dataset, network: Network
) -> tuple[Array, runs.RunSettings]:
    """The calibration images and the settings that pin them."""
    method_settings = _method_settings(arguments)
    available = len(dataset.train)
    count = arguments.calibration
    if count is None:
        count = min(available, profile(arguments.profile or "paper").calibration_images)
    chosen = runs.draw_calibration(available, count, np.random.default_rng(arguments.seed))
    images = dataset.as_floats(dataset.train.images[chosen], network.dtype)
    settings = runs.RunSettings(
        weights=arguments.weights,
        data=arguments.data,
        target=arguments.sparsity,
        method=arguments.method,
        method_settings=method_settings,
        calibration=count,
        seed=arguments.seed,
        engine=arguments.engine,
        network_sha256=runs.network_sha256(network),
        images_sha256=runs.array_sha256(images),
    )
    return images, settings


def _method_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Only what was said: everything else is the method's default."""
    said: dict[str, Any] = {
        "profile": arguments.profile,
        "allocation": arguments.allocation,
        "control": arguments.control,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "augmentation": arguments.augmentation,
        "learn_rates": False if arguments.fixed_rates else None,
        "choices": choices_of(arguments.choose) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _rows(
    arguments: argparse.Namespace,
    settings: runs.RunSettings,
    dataset: Dataset,
    network: Network,
    images: Array,
    finished: runs.Finished,
) -> list[Row]:
    """Dense, one-shot L2Norm, one-shot ERK, the method; and with --batch-norm each once more."""
    engine = make_engine(network.graph, settings.engine, threads=arguments.threads)
    target = settings.target
    candidates: list[tuple[str, float | None, Network]] = [("dense", None, network)]
    for allocation, label in (("l2norm", "L2Norm"), ("erk", "ERK")):
        one_shot = sparsify(
            network,
            images,
            target=target,
            method="one-shot",
            allocation=allocation,
            engine=settings.engine,
            threads=arguments.threads,
        ).network
        candidates.append((f"one-shot {label}", target, one_shot))
    if settings.method != "one-shot":
        candidates.append((_label(settings), target, finished.result.network))
    if arguments.batch_norm:
        candidates += [
            (f"{name} + batch norm", rate, runs.re_estimate_batch_norm(n, images, engine=engine))
            for name, rate, n in candidates[1:]
        ]
    total = len(candidates) * len(dataset.test)
    rows = []
    with image_bar("evaluating", total, quiet=arguments.quiet) as on_batch:
        for name, rate, candidate in candidates:
            result = _accuracy(candidate, dataset, engine, on_batch)
            rows.append(Row(name, rate, global_rate(candidate), result))
    return rows


def _accuracy(network: Network, dataset: Dataset, engine: Engine, on_batch: Any) -> Accuracy:
    images = dataset.as_floats(dataset.test.images, network.dtype)
    return accuracy(network, images, dataset.test.labels, engine=engine, on_batch=on_batch)


def _label(settings: runs.RunSettings) -> str:
    if settings.method != "fcpts":
        return settings.method.upper()
    return f"FCPTS ({settings.method_settings.get('profile', 'paper')})"


def _summary(
    settings: runs.RunSettings,
    dataset: Dataset,
    network: Network,
    images: Array,
    finished: runs.Finished,
    rows: list[Row],
) -> dict[str, Any]:
    result = finished.result
    after = sparsity_rates(result.network)
    dense = rows[0].accuracy
    return {
        "settings": vars(settings),
        "versions": runs.versions(),
        "network": network.graph.name,
        "data": dataset.name,
        "weights": sum(network.sizes.values()),
        "calibration_images": len(images),
        "evaluation_images": len(dataset.test),
        "stages_done": finished.stages_done,
        "stages": finished.stages,
        "rate_before_projection": result.rate_before_projection,
        "dense_layers": list(result.dense_layers),
        "rows": [
            {
                "name": row.name,
                "requested": row.requested,
                "achieved": row.achieved,
                "top1": row.accuracy.top1,
                "top5": row.accuracy.top5,
                "drop": dense.top1 - row.accuracy.top1,
            }
            for row in rows
        ],
        "layers": [
            {
                "name": name,
                "shape": list(network.parameters[name].shape),
                "weights": size,
                "rate_before": result.initial_rates[name],
                "rate_after": after[name],
                "threshold": result.thresholds[name],
            }
            for name, size in network.sizes.items()
        ],
    }


def _write(
    folder: Path, settings: runs.RunSettings, finished: runs.Finished, summary: Mapping[str, Any]
) -> None:
    provenance = {"made_by": "fcpts-ref sparsify", "settings": vars(settings)}
    write_network(folder / runs.NETWORK, finished.result.network, provenance)
    notes = {"layers": list(finished.result.rates)}
    write_arrays(folder / runs.HISTORY, finished.result.history, notes)
    runs.write_json(folder / runs.SUMMARY, summary)


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
    print()
    print(layer_table(summary["layers"]))
    print(
        f"\nglobal rate before the last projection: {percent(summary['rate_before_projection'])}"
        f"\nwritten to {folder} in {summary['seconds']} s"
    )
    if round(target * summary["weights"]) == 0:
        _say(f"NOTHING WAS PRUNED: at a target of {target} no weight is set to zero")


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
                "" if row["requested"] is None else points(-row["drop"]),
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
