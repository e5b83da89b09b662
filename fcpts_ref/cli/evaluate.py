"""fcpts-ref evaluate: the accuracy or precision of a network on the test images of a data set."""

from __future__ import annotations

import argparse
import json
from typing import Any, get_args

from fcpts_ref.cli.detection import add_drawing_options, evaluate_detector
from fcpts_ref.cli.options import add_engine_options
from fcpts_ref.cli.progress import Bars, counting_bar
from fcpts_ref.cli.sources import add_source_options, find_dataset, find_network
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.data.prepared import readable
from fcpts_ref.detection.mean_average_precision import Measure
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import networks
from fcpts_ref.experiments.inputs import evaluation_split
from fcpts_ref.experiments.training import accuracy
from fcpts_ref.graphs.network import global_rate


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure the accuracy of a network, or the mAP of a detector, dense or sparse",
        description="Measure top-1 and top-5 accuracy, or the mean average precision (mAP) of a "
        "detector, on the test images of a data set, or on all images of one without splits.",
    )
    add_source_options(parser)
    add_engine_options(parser)
    parser.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="leave out pictures that cannot be decoded, and name them",
    )
    parser.add_argument(
        "--measure",
        choices=get_args(Measure),
        help="of a detector: VOC's mean over 11 recalls, or the area under the curve "
        "(default: 11-point)",
    )
    add_drawing_options(parser, "the detector")
    parser.add_argument(
        "--draw-beside",
        metavar="NAME|FILE|RUN",
        help="another network of this program, such as the sparse one, whose boxes --draw adds",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate the network, print the result, and return the exit code."""
    dataset = find_dataset(arguments.data, arguments.home)
    network, preprocessing = find_network(arguments, dataset)
    split = evaluation_split(dataset)
    engine = make_engine(network.graph, arguments.engine, threads=arguments.threads)
    images = dataset.prepare(split, network.dtype, preprocessing, threads=arguments.threads)
    if arguments.skip_corrupt:
        images = readable(images, Bars(quiet=arguments.quiet).note)
    if network.graph.is_detector:
        beside = None
        if arguments.draw_beside is not None:
            beside, _ = networks.find_network(
                arguments.draw_beside,
                dataset,
                preprocess=arguments.preprocess,
                home=arguments.home,
            )
        return evaluate_detector(
            arguments, network, images, split.objects, engine=engine, beside=beside
        )
    if arguments.measure or arguments.draw or arguments.draw_beside:
        option = "measure" if arguments.measure else "draw" if arguments.draw else "draw-beside"
        raise InputError(f"--{option} is for detectors; {network.graph.name} classifies: omit it")
    labels = split.labels
    if labels is None:
        raise InputError(
            f"data {dataset.name!r} have no labels, which accuracy needs; 'fcpts-ref sparsify' "
            "compares networks by their outputs without labels"
        )
    labels = labels[images.chosen]
    with counting_bar("evaluate", len(images), quiet=arguments.quiet) as on_batch:
        result = accuracy(network, images, labels, engine=engine, on_batch=on_batch)
    if arguments.json:
        summary = {
            "network": network.graph.name,
            "weights": arguments.weights,
            "data": dataset.name,
            "images": len(images),
            "rate": global_rate(network),
            "correct": result.correct,
            "top1": result.top1,
            "top5": result.top5,
        }
        print(json.dumps(summary, indent=2))
        return 0
    row = (
        network.graph.name,
        dataset.name,
        f"{len(images):,}",
        percent(global_rate(network)),
        f"{result.correct:,}",
        percent(result.top1),
        percent(result.top5),
    )
    print(table(("network", "data", "images", "rate", "correct", "top-1", "top-5"), [row], left=2))
    return 0
