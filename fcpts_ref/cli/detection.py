"""What the command line shows of detectors: average precisions and pictures with boxes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from fcpts_ref.cli.options import at_least_one
from fcpts_ref.cli.progress import counting_bar
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.data.drawing import check_drawable, draw_side_by_side
from fcpts_ref.data.prepared import PreparedImages
from fcpts_ref.data.split import Annotations
from fcpts_ref.detection.boxes import Detections, Objects
from fcpts_ref.detection.mean_average_precision import Measure
from fcpts_ref.engines.base import Engine
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.detection import Precision, detections_of, objects_of, precision
from fcpts_ref.graphs.network import Network, global_rate

DRAWN = 8
"""Pictures that are drawn unless another number is given."""


def add_drawing_options(parser: argparse.ArgumentParser) -> None:
    """Add --draw and --draw-count."""
    parser.add_argument(
        "--draw",
        metavar="FOLDER",
        help="write the first pictures with a detector's boxes, beside the annotated ones",
    )
    parser.add_argument(
        "--draw-beside",
        metavar="NAME|FILE|RUN",
        help="another network of this program, such as the sparse one, whose boxes --draw adds",
    )
    parser.add_argument(
        "--draw-count",
        type=at_least_one,
        default=DRAWN,
        metavar="N",
        help=f"how many pictures --draw writes (default: {DRAWN})",
    )


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
        for place in range(len(first)):
            boxes = {name: some[place] for name, some in shown.items()}
            draw_side_by_side(arguments.draw, first, place, boxes, annotations.classes)
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
