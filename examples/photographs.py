"""Prepare a small collection of photographs and a TensorFlow Lite network for photographs.toml.

    python examples/photographs.py pictures IMAGES LABELS.csv photographs.csv
    python examples/photographs.py network mobilenet_v2_1.0_224.npz mobilenet_v2.safetensors

LABELS.csv has the columns file and class_index; every second picture, in its order, is for
calibration and the others are for evaluation.  The .npz file holds the weights of a network of
TensorFlow Lite by their names, convolutions as (out, in, rows, columns), and 1,001 classes, whose
first one, the background, is left out.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

CLASSES = 1001


def list_pictures(folder: Path, labels: Path, out: Path) -> None:
    """Write a CSV file of all pictures with their labels and splits."""
    with open(labels, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(out, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file", "label", "split"))
        for number, row in enumerate(rows):
            picture = (folder / row["file"]).resolve()
            table.writerow((picture, row["class_index"], ("train", "test")[number % 2]))


def convert_network(source: Path, out: Path) -> None:
    """Write the arrays of an .npz file as safetensors, without the background class."""
    arrays = {}
    with np.load(source, allow_pickle=False) as stored:
        for name in stored.files:
            array = stored[name]
            if array.shape[0] == CLASSES:
                array = array[1:].reshape(CLASSES - 1, -1) if array.ndim > 1 else array[1:]
            arrays[name] = np.ascontiguousarray(array)
    save_file(arrays, out)


def main(words: list[str]) -> int:
    """Run one of the two commands and return the exit code."""
    paths = [Path(word) for word in words[1:]]
    if words[:1] == ["pictures"] and len(paths) == 3:
        list_pictures(*paths)
    elif words[:1] == ["network"] and len(paths) == 2:
        convert_network(*paths)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
