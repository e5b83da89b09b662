"""fcpts-ref predict: the class and its probability for every image, and how fast that is."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.cli.options import add_threads_option, at_least_one
from fcpts_ref.cli.progress import Bars, counting_bar
from fcpts_ref.cli.sources import (
    add_arch_options,
    add_data_option,
    add_home_option,
    add_preprocess_option,
    find_dataset,
    find_network,
)
from fcpts_ref.cli.tables import percent, table
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.prepared import batches_of, readable
from fcpts_ref.data.preprocessing import Preprocessing, preprocessing
from fcpts_ref.engines.predict import batch_of
from fcpts_ref.engines.predictor import Predictor
from fcpts_ref.errors import counted, printable
from fcpts_ref.experiments.inputs import evaluation_split
from fcpts_ref.experiments.networks import check_fit
from fcpts_ref.graphs.network import Network, global_rate

Array = NDArray[Any]
BATCHES = (1, 16, 64)  # of the benchmark


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "predict",
        help="classify images with a network, or measure how fast it does",
        description="Print the most probable class of every test image of a data set, or of all "
        "images of one without splits.",
    )
    parser.add_argument(
        "weights", metavar="FILE", help="a network's name, .h5 file or run folder, or a checkpoint"
    )
    group = parser.add_argument_group("network and data")
    add_arch_options(group)
    add_data_option(group)
    add_preprocess_option(group)
    add_home_option(group)
    computing = parser.add_argument_group("computing")
    add_threads_option(computing)
    computing.add_argument(
        "--benchmark",
        action="store_true",
        help="print no classes, but the time of batches of 1, 16 and 64 of the images",
    )
    computing.add_argument(
        "--rounds",
        type=at_least_one,
        default=25,
        metavar="N",
        help="with --benchmark: passes of which the median is shown (default: 25)",
    )
    parser.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="leave out pictures that cannot be decoded, and name them",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run, engine="numba")


def run(arguments: argparse.Namespace) -> int:
    """Classify the images or measure, print the result, and return the exit code."""
    dataset = find_dataset(arguments.data, arguments.home)
    network, prepare = _read_network(arguments, dataset)
    split = evaluation_split(dataset)
    images = dataset.prepare(split, network.dtype, prepare, threads=arguments.threads)
    if arguments.skip_corrupt:
        images = readable(images, Bars(quiet=arguments.quiet).note)
    predictor = Predictor(network, threads=arguments.threads)
    summary = {
        "network": network.graph.name,
        "weights": arguments.weights,
        "data": dataset.name,
        "rate": global_rate(network),
        "threads": predictor.threads,
        "compiled": predictor.compiled,
    }
    if arguments.benchmark:
        _show_times(summary, measure(predictor, images, arguments.rounds), arguments.json)
        return 0
    with counting_bar("predict", len(images), quiet=arguments.quiet) as on_batch:
        classes, shares = classify(predictor, images, on_batch)
    names = dict(enumerate(dataset.label_names))
    rows = [
        {
            "image": int(i),
            "class": int(k),
            "name": names.get(int(k), str(k)),
            "probability": float(p),
        }
        for i, k, p in zip(images.chosen, classes, shares, strict=True)
    ]
    _show_classes(summary, rows, arguments.json)
    return 0


def _read_network(
    arguments: argparse.Namespace, dataset: Dataset
) -> tuple[Network, Preprocessing | None]:
    """Return the network, of an ONNX file too, and the preprocessing of its pictures."""
    if Path(arguments.weights).suffix.lower() != ".onnx":
        return find_network(arguments, dataset)
    chosen = None if arguments.preprocess is None else preprocessing(arguments.preprocess)
    from fcpts_ref.interchange.onnx.importing import import_onnx  # needs the extra

    shape = dataset.image_shape if chosen is None else chosen.shape
    network = import_onnx(
        arguments.weights, normalise=arguments.normalise, input_shape=shape
    ).network
    check_fit(arguments.weights, network, dataset, chosen)
    return network, chosen


def classify(predictor: Predictor, images: Any, on_batch: Any) -> tuple[Array, Array]:
    """Return the most probable class of every image, and its probability; reads them in batches."""
    size = batch_of(predictor.network.graph)
    classes, shares = [], []
    slices = (slice(start, start + size) for start in range(0, len(images), size))
    for batch in batches_of(images, slices):
        probabilities = predictor.probabilities(batch)
        classes.append(probabilities.argmax(axis=1))
        shares.append(probabilities.max(axis=1))
        on_batch(len(batch))
    return np.concatenate(classes), np.concatenate(shares)


def measure(predictor: Predictor, images: Any, rounds: int) -> list[dict[str, float]]:
    """Return the median milliseconds of each batch size; images are repeated if there are few."""
    some = images[: max(BATCHES)]
    some = np.concatenate([some] * -(-max(BATCHES) // len(some)))
    results = []
    for size in BATCHES:
        batch, times = some[:size], []
        for _ in range(rounds + 2):  # the first two warm the caches up
            start = time.perf_counter()
            predictor.logits(batch)
            times.append(time.perf_counter() - start)
        milliseconds = 1e3 * statistics.median(times[2:])
        results.append(
            {"batch": size, "ms": milliseconds, "images_per_second": 1e3 * size / milliseconds}
        )
    return results


def _show_classes(summary: dict[str, Any], rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary | {"images": rows}, indent=2))
        return
    header = "image", "class", "probability"
    cells = [(str(row["image"]), row["name"], percent(row["probability"])) for row in rows]
    print(table(header, cells, left=2))


def _show_times(summary: dict[str, Any], rows: list[dict[str, float]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary | {"times": rows}, indent=2))
        return
    print(
        f"{printable(summary['network'])}, {percent(summary['rate'])} pruned, "
        f"{counted(summary['threads'], 'thread')}, "
        f"{'one compiled call' if summary['compiled'] else 'with steps in Python'}\n"
    )
    cells = [
        (f"{row['batch']}", f"{row['ms']:.3f}", f"{row['images_per_second']:,.0f}") for row in rows
    ]
    print(table(("batch", "ms, median", "images/s"), cells, left=0))
