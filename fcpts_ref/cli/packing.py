"""fcpts-ref data prepare folder: pack pictures into one HDF5 file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fcpts_ref.cli.options import add_threads_option
from fcpts_ref.cli.progress import Bars
from fcpts_ref.data.packing import pack
from fcpts_ref.data.sources import SOURCES
from fcpts_ref.errors import InputError, counted
from fcpts_ref.storage.files import check_writable

PICTURES = ("folder", "imagenet", "voc", "csv")
"""The kinds of data whose pictures can be packed."""


def add_packing_options(parser: argparse.ArgumentParser) -> None:
    """Add the paths and the options of packing pictures."""
    group = parser.add_argument_group("pictures")
    group.add_argument("path", nargs="?", metavar="PATH", help="the folder, or the CSV file")
    group.add_argument("packed", nargs="?", metavar="OUT.h5", help="the file to write")
    group.add_argument(
        "--size",
        type=int,
        metavar="N",
        help="pixels of a side: the shorter side is resized to it, the square at the centre kept",
    )
    group.add_argument(
        "--filter", choices=("bilinear", "bicubic"), default="bilinear", help="default: bilinear"
    )
    group.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="leave out pictures that cannot be decoded, and name them",
    )
    add_threads_option(group)
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def prepare_pictures(arguments: argparse.Namespace) -> int:
    """Pack the pictures, print their number, and return the exit code."""
    path, out = _paths(arguments)
    dataset = SOURCES[arguments.name].read(path)
    bars = Bars(quiet=arguments.quiet)
    with bars.count("packing", len(dataset.train) + len(dataset.test)) as on_image:
        report = pack(
            out,
            dataset,
            arguments.size,
            filter=arguments.filter,
            skip_corrupt=arguments.skip_corrupt,
            threads=arguments.threads,
            on_image=on_image,
        )
    for message in report.skipped:
        bars.note(f"left out: {message}")
    summary: dict[str, Any] = {
        "data": dataset.name,
        **{f"{split}_images": report.images.get(split, 0) for split in ("train", "test")},
        "classes": len(dataset.label_names),
        "skipped": len(report.skipped),
        "size": arguments.size,
        "file": str(out),
    }
    if arguments.json:
        print(json.dumps(summary, indent=2))
        return 0
    print(
        f"{dataset.name}: {summary['train_images']:,} training and "
        f"{counted(len(dataset.test), 'test image')} of {arguments.size}x{arguments.size}, "
        f"{counted(len(dataset.label_names), 'class', 'classes')}, {len(report.skipped)} left "
        f"out\nwritten to {out}"
    )
    return 0


def _paths(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Return the pictures and the file to write.  Raises InputError unless both are given."""
    if arguments.path is None or arguments.packed is None or arguments.size is None:
        raise InputError(
            f"prepare {arguments.name} needs the pictures, the file to write and --size: prepare "
            f"{arguments.name} PATH OUT.h5 --size 256"
        )
    if arguments.size < 1:
        raise InputError(f"--size is {arguments.size}; expected 1 pixel or more")
    out = Path(arguments.packed)
    if not out.name.lower().endswith((".h5", ".hdf5")):
        raise InputError(f"{out} has another ending than .h5, by which --data finds it")
    check_writable(out)
    return Path(arguments.path), out
