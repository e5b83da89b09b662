"""What the command line shows of detectors: average precisions and pictures with boxes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.cli.options import at_least_one
from fcpts_ref.cli.progress import counting_bar
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.data.drawing import check_drawable, draw_side_by_side
from fcpts_ref.data.prepared import PreparedImages, readable
from fcpts_ref.data.split import Annotations
from fcpts_ref.detection.boxes import Detections, Objects
from fcpts_ref.detection.mean_average_precision import Measure
from fcpts_ref.engines.base import Engine
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.detection import Precision, detections_of, objects_of, precision
from fcpts_ref.experiments.inputs import find_sources
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import NETWORK
from fcpts_ref.graphs.network import Network, global_rate
from fcpts_ref.storage.network_files import read_network

DRAWN = 8
"""Pictures that are drawn unless another number is given."""


def add_drawing_options(group: Any, networks: str) -> None:
    """Add --draw and --draw-count.  networks: those whose boxes are drawn."""
    group.add_argument(
        "--draw",
        metavar="FOLDER",
        help=f"write the first test pictures with the boxes of {networks}, side by side with the "
        "annotated ones",
    )
    group.add_argument(
        "--draw-count",
        type=at_least_one,
        default=DRAWN,
        metavar="N",
        help=f"how many pictures --draw writes (default: {DRAWN})",
    )


def draw_pictures(
    folder: str,
    images: PreparedImages,
    boxes: Mapping[str, Sequence[Detections | Objects]],
    classes: Sequence[str],
) -> None:
    """Write the pictures side by side, once for each set of boxes, which the key names."""
    for place in range(len(images)):
        own = {name: some[place] for name, some in boxes.items()}
        draw_side_by_side(folder, images, place, own, classes)


def check_drawing(folder: str | None, job: Job) -> None:
    """Raise InputError if a folder of pictures is asked for and cannot be drawn for a job."""
    if folder is None:
        return
    graph = find_sources(job).network.graph
    if not graph.is_detector:
        raise InputError(f"--draw is for detectors; {graph.name} classifies: omit it")
    check_drawable(folder)


def draw_run(arguments: argparse.Namespace, job: Job, run: Path, name: str) -> int:
    """Draw the boxes of a finished run's dense and sparse network; return the number of pictures.

    The pictures are the first to evaluate on, or to calibrate with if there are none.
    run: the run's folder.  name: of the method, written above its boxes.
    """
    sources = find_sources(job)
    data, split = sources.tested, sources.evaluated
    if not len(split):
        data, split = sources.dataset, sources.dataset.train
    dense = sources.network
    images = data.prepare(split, dense.dtype, sources.preprocessing, threads=arguments.threads)
    if job.skip_corrupt:
        images = readable(images)
    images = images.subset(np.arange(min(arguments.draw_count, len(images))))
    sparse, _ = read_network(run / NETWORK)
    shown: dict[str, Sequence[Detections | Objects]] = {}
    if split.objects is not None:
        shown["annotated"] = [split.objects.read(int(index)) for index in images.chosen]
    for title, network in (("dense", dense), (f"{name}, {percent(job.target)} pruned", sparse)):
        engine = make_engine(network.graph, job.engine, threads=arguments.threads)
        shown[title] = detections_of(network, images, engine=engine)
    classes = data.object_classes or tuple(map(str, range(1, dense.graph.classes)))
    draw_pictures(arguments.draw, images, shown, classes)
    return len(images)


def evaluate_detector(
    arguments: argparse.Namespace,
    network: Network,
    images: PreparedImages,
    annotations: Annotations | None,
    *,
    engine: Engine,
    beside: Network | None = None,
) -> int:
    """Measure a detector, print the result, draw pictures if asked, and return the exit code.

    beside: another network whose boxes are drawn.
    """
    objects = objects_of(annotations, images)
    assert annotations is not None  # ``objects_of`` has checked it
    others: dict[str, Network] = {} if beside is None else {arguments.draw_beside: beside}
    if others and arguments.draw is None:
        raise InputError("--draw-beside without --draw; give the folder of the pictures")
    if arguments.draw is not None:
        check_drawable(arguments.draw)
    with counting_bar("evaluate", len(images), quiet=arguments.quiet) as on_batch:
        found = detections_of(network, images, engine=engine, on_batch=on_batch)
    measure: Measure = arguments.measure or "11-point"
    result = precision(found, objects, annotations.classes, measure=measure)
    if arguments.draw is not None:
        shown: dict[str, Sequence[Detections | Objects]] = {
            "annotated": objects,
            arguments.weights: found,
        }
        first = images.subset(np.arange(min(arguments.draw_count, len(images))))
        for name, network_ in others.items():
            other = make_engine(network_.graph, arguments.engine, threads=arguments.threads)
            shown[name] = detections_of(network_, first, engine=other)
        draw_pictures(arguments.draw, first, shown, annotations.classes)
    if arguments.json:
        summary = {
            "network": network.graph.name,
            "weights": arguments.weights,
            "data": arguments.data,
            "images": len(images),
            "rate": global_rate(network),
            "measure": measure,
            "mean_average_precision": result.mean,
            "average_precision": dict(result.classes),
        }
        print(json.dumps(summary, indent=2))
    else:
        print(precision_table(result, objects, measure))
        pruned = percent(global_rate(network))
        print(f"\n{network.graph.name}, {pruned} pruned, on {counted(len(images), 'image')}")
    return 0


def precision_table(result: Precision, objects: list[Objects], measure: str) -> str:
    """Return the table of average precisions by class, and their mean."""
    rows = []
    for label, (name, value) in enumerate(result.classes.items(), start=1):
        count = sum(int(((o.labels == label) & ~o.difficult).sum()) for o in objects)
        rows.append((name, f"{count:,}", "" if value is None else percent(value)))
    total = sum(int((~o.difficult).sum()) for o in objects)
    rows.append(("mean", f"{total:,}", percent(result.mean)))
    return table(("class", "objects", f"AP ({measure})"), rows)
