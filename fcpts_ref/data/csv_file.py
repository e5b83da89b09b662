"""A CSV file of paths, perhaps with labels and splits."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.folder import TEST_NAMES, TRAIN_NAMES, labels_of, picture_data
from fcpts_ref.data.pictures import file_list, read_file
from fcpts_ref.data.split import NO_IMAGES, Split
from fcpts_ref.errors import InputError, counted

FILE = ("file", "path", "image", "filename")
LABEL = ("label", "class", "class_index", "target")
SPLIT = ("split", "set", "subset")
MAX_LABEL = 1 << 20
MAX_LINE = 1 << 16  # bytes


def read_csv(path: Path) -> Dataset:
    """Return the pictures that a CSV file with a heading lists.

    Columns, by any of their names above: a path, relative to the CSV file; perhaps a label, a
    number from 0 on or a text (classes are then in the order of the texts); perhaps a split, train
    or test (or val).  Without splits all pictures calibrate.  Other columns are ignored.
    Raises InputError, which names the line, for a picture that does not exist and a bad label.
    """
    rows = _rows(path)
    parts: dict[str, list[tuple[Path, str]]] = {"train": [], "test": []}
    for line, row in rows:
        picture = path.parent / row["file"]
        if not row["file"] or not picture.is_file():
            raise InputError(f"{path}: line {line}: there is no picture {row['file'][:80]!r}")
        split = row.get("split", "train").strip().lower()
        if split not in (*TRAIN_NAMES, *TEST_NAMES):
            raise InputError(f"{path}: line {line}: split {split[:80]!r}; expected train or test")
        parts["train" if split in TRAIN_NAMES else "test"].append((picture, row.get("label", "")))
    labels = [label for part in parts.values() for _, label in part]
    names = _names(path, labels)
    place = {name: number for number, name in enumerate(names)}
    splits = [_split(part, place) for part in parts.values()]
    return picture_data(path, splits[0], splits[1], names)


def _rows(path: Path) -> list[tuple[int, Mapping[str, str]]]:
    """Return the lines by number, each by the columns file, label and split."""
    try:
        table = csv.reader(_lines(path, read_file(path)), strict=True)
        heading = [name.strip().lower() for name in next(table, [])]
        columns = {
            name: heading.index(found)
            for name, names in (("file", FILE), ("label", LABEL), ("split", SPLIT))
            if (found := next((n for n in names if n in heading), None)) is not None
        }
        if "file" not in columns:
            raise InputError(f"{path}: its heading has none of the columns {', '.join(FILE)}")
        rows: list[tuple[int, Mapping[str, str]]] = []
        for row in table:
            if len(row) != len(heading) and row:
                raise InputError(
                    f"{path}: line {table.line_num} has {counted(len(row), 'column')}, the heading "
                    f"has {len(heading)}"
                )
            if row:
                rows.append((table.line_num, {name: row[c] for name, c in columns.items()}))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file in UTF-8 ({error})") from error
    if not rows:
        raise InputError(f"{path} lists no pictures; expected a line for each")
    return rows


def _lines(path: Path, content: bytes) -> Iterator[str]:
    """Yield the lines of a text in UTF-8.  Raises InputError for one that is too long."""
    file = io.BytesIO(content.removeprefix(codecs.BOM_UTF8))
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise InputError(f"{path} has a line of over {MAX_LINE:,} bytes; expected a CSV file")
        yield line.decode()


def _names(path: Path, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of these labels; none if all are empty."""
    given = [label.strip() for label in labels]
    if not any(given):
        return ()
    if not all(given):
        raise InputError(f"{path}: some pictures have a label and some have none")
    if all(label.isascii() and label.isdigit() for label in given):
        greatest = max(map(_digits, given), key=lambda digits: (len(digits), digits))
        if len(greatest) > len(str(MAX_LABEL)) or int(greatest) > MAX_LABEL:
            raise InputError(f"{path}: label {greatest[:80]} is above {MAX_LABEL}")
        return tuple(map(str, range(int(greatest) + 1)))
    return tuple(sorted(set(given)))


def _digits(label: str) -> str:
    """Return a number without the zeros in front of it: it may have more than ``int`` reads."""
    return label.lstrip("0") or "0"


def _split(part: Sequence[tuple[Path, str]], place: Mapping[str, int]) -> Split:
    if not part:
        return NO_IMAGES
    paths = [picture for picture, _ in part]
    if not place:
        return Split(file_list(paths))
    labels = [label.strip() for _, label in part]
    numbers = [place[name if name in place else _digits(name)] for name in labels]  # "007"
    return Split(file_list(paths), labels_of(len(paths), numbers))
