"""Labels of ImageNet's flat validation folder, in the files in which they are published."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fcpts_ref.data.pictures import read_file
from fcpts_ref.errors import InputError, counted
from fcpts_ref.storage.mat_file import read_structures

MAX_BYTES = 64 << 20  # of a label file
TRUTH = "ILSVRC2012_validation_ground_truth.txt"

Label = str | int
"""A WordNet id, or a number in the order of the ids."""


def read_labels(path: Path, pictures: Sequence[Path]) -> list[Label]:
    """Return the label of every validation picture, from the first of LABEL_FILES in ``path``.

    Raises InputError if there is none, or if its labels are not those of the pictures.
    """
    for name, read in LABEL_FILES.items():
        if (path / name).is_file():
            try:
                return read(path / name, pictures)
            except InputError as error:
                raise InputError(f"{path / name}: {error}") from error
    raise InputError(
        f"{path}: the validation pictures lie in one folder, and no labels lie beside it; expected "
        f"one of {', '.join(LABEL_FILES)}, or a folder for each class"
    )


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise InputError("is larger than any list of labels; expected a line for each picture")
    try:
        return read_file(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not text ({error.reason}); expected a line for each picture"
        ) from error


def _pairs(path: Path, pictures: Sequence[Path]) -> list[Label]:
    """Read "NAME LABEL" lines; the label is a WordNet id or a number."""
    lines = [line.split() for line in _text(path).splitlines() if line.strip()]
    return _by_name({Path(words[0]).stem: words[-1] for words in lines}, pictures)


def _solution(path: Path, pictures: Sequence[Path]) -> list[Label]:
    """Read "NAME,ID x y x y ..." lines with a heading, as Kaggle has them."""
    rows = csv.reader(io.StringIO(_text(path)))
    next(rows, None)
    labels = {row[0]: row[1].split()[0] for row in rows if len(row) > 1 and row[1].strip()}
    return _by_name(labels, pictures)


def _by_name(labels: dict[str, str], pictures: Sequence[Path]) -> list[Label]:
    missing = [picture.name for picture in pictures if picture.stem not in labels]
    if missing:
        raise InputError(f"has no label for {missing[0]}; expected one for each picture")
    return [_label(labels[picture.stem]) for picture in pictures]


def _label(text: str) -> Label:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _lines(path: Path, pictures: Sequence[Path]) -> list[Label]:
    """Read one label per line, in the order of the pictures' names."""
    labels = [_label(line.strip()) for line in _text(path).splitlines() if line.strip()]
    if len(labels) != len(pictures):
        raise InputError(
            f"{counted(len(labels), 'label')} for {counted(len(pictures), 'picture')}; expected as "
            "many"
        )
    return labels


def _devkit(path: Path, pictures: Sequence[Path]) -> list[Label]:
    """Read the official development kit: numbers of its own, whose WordNet ids are in meta.mat."""
    ids = _read_meta(path.parent / "meta.mat")
    numbers = _lines(path, pictures)
    unknown = [number for number in numbers if number not in ids]
    if unknown:
        raise InputError(f"label {unknown[0]} is not an ILSVRC2012_ID of meta.mat")
    return [ids[number] for number in numbers]


def _read_meta(path: Path) -> dict[Any, str]:
    """Return the WordNet ids of meta.mat by ILSVRC2012_ID."""
    try:
        synsets = read_structures(read_file(path))["synsets"]
        return {int(row["ILSVRC2012_ID"][0]): str(row["WNID"]) for row in synsets}
    except InputError as error:
        raise InputError(f"{path.name} {error}; get the kit again") from error
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(
            f"{path.name} does not hold synsets with ILSVRC2012_ID and WNID; get the kit again"
        ) from error


LABEL_FILES: dict[str, Callable[[Path, Sequence[Path]], list[Label]]] = {
    "val.txt": _pairs,
    "LOC_val_solution.csv": _solution,
    "imagenet_2012_validation_synset_labels.txt": _lines,
    f"ILSVRC2012_devkit_t12/data/{TRUTH}": _devkit,
    f"data/{TRUTH}": _devkit,
}
"""How each label file is read, by its path beside the validation folder."""
