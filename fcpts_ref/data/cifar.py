"""CIFAR-10 and CIFAR-100 from the official archives, binary version and Python version.

Layouts: https://www.cs.toronto.edu/~kriz/cifar.html.  An image is 3,072 bytes: the red, green
and blue planes of 32 x 32, each row by row.  A binary record is the label (CIFAR-100: coarse,
then fine), one byte each, then the image.  The names of the files distinguish the versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.archive import read_archive
from fcpts_ref.data.cifar_pickle import read_cifar_pickle, read_labels, read_names
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.official import OFFICIAL_ARCHIVES
from fcpts_ref.data.split import Split
from fcpts_ref.errors import InputError, counted
from fcpts_ref.storage.files import check_regular_file, describe_failure, file_sha256

IMAGE_SHAPE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32
TRAIN_IMAGES = 50_000  # in the official archives; others may have fewer, as subsets do
TEST_IMAGES = 10_000
MAX_NAMES_FILE = 1 << 20
LICENCE = (
    "none stated by its authors, who ask to cite Alex Krizhevsky, Learning Multiple Layers of "
    "Features from Tiny Images, 2009"
)


@dataclass(frozen=True)
class LabelKind:
    """One kind of label: its key in the pickles and where its names are stored."""

    key: str
    classes: int
    names_file: str  # binary version
    names_key: str  # Python version


@dataclass(frozen=True)
class Layout:
    """The files of a data set in one version."""

    dataset: Literal["cifar10", "cifar100"]
    version: Literal["binary", "python"]
    train_files: tuple[str, ...]
    test_file: str
    meta_files: tuple[str, ...]
    labels: tuple[LabelKind, ...]  # in the order of a record's bytes; the last one is the finest

    def records(self, file: str) -> int:
        """Return the number of records that ``file`` has in the official archive."""
        return TEST_IMAGES if file == self.test_file else TRAIN_IMAGES // len(self.train_files)

    def limits(self) -> dict[str, int]:
        """Return the largest size in bytes of each file; of binary files, the official size."""
        label_bytes = len(self.labels) if self.version == "binary" else 200  # names, integers
        return {
            file: self.records(file) * (IMAGE_BYTES + label_bytes)
            + (0 if self.version == "binary" else MAX_NAMES_FILE)
            for file in (*self.train_files, self.test_file)
        } | dict.fromkeys(self.meta_files, MAX_NAMES_FILE)


_TEN = (LabelKind("labels", 10, "batches.meta.txt", "label_names"),)
_HUNDRED = (
    LabelKind("coarse_labels", 20, "coarse_label_names.txt", "coarse_label_names"),
    LabelKind("fine_labels", 100, "fine_label_names.txt", "fine_label_names"),
)
_BATCHES = tuple(f"data_batch_{n}" for n in range(1, 6))
LAYOUTS = (
    Layout(
        "cifar10",
        "binary",
        tuple(f"{batch}.bin" for batch in _BATCHES),
        "test_batch.bin",
        tuple(kind.names_file for kind in _TEN),
        _TEN,
    ),
    Layout("cifar10", "python", _BATCHES, "test_batch", ("batches.meta",), _TEN),
    Layout(
        "cifar100",
        "binary",
        ("train.bin",),
        "test.bin",
        tuple(kind.names_file for kind in _HUNDRED),
        _HUNDRED,
    ),
    Layout("cifar100", "python", ("train",), "test", ("meta",), _HUNDRED),
)


@dataclass(frozen=True)
class CifarArchive:
    """The contents of an archive; of CIFAR-100, ``labels[0]`` are coarse, ``labels[-1]`` fine."""

    dataset: Literal["cifar10", "cifar100"]
    version: Literal["binary", "python"]
    train_images: NDArray[np.uint8]  # (N, 3, 32, 32), official N = 50,000
    test_images: NDArray[np.uint8]  # (M, 3, 32, 32), official M = 10,000
    train_labels: tuple[NDArray[np.int64], ...]  # (N,) for each kind of label
    test_labels: tuple[NDArray[np.int64], ...]  # (M,)
    label_names: tuple[tuple[str, ...], ...]
    source: str  # file or folder name
    official: bool  # whether the archive's SHA-256 is that of the official one
    checksums: dict[str, str]  # SHA-256 by file name, the archive's own included


def to_dataset(archive: CifarArchive, labels: Literal["fine", "coarse"] = "fine") -> Dataset:
    """Return the archive as a data set with one kind of label (CIFAR-10 has only one)."""
    coarse = labels == "coarse"
    if coarse and len(archive.label_names) == 1:
        raise InputError(f"{archive.dataset} has no coarse labels: leave them out")
    kind = 0 if coarse else -1
    official = "the official archive" if archive.official else "not the official archive itself"
    checksums = ", ".join(f"{name} {digest}" for name, digest in archive.checksums.items())
    return Dataset(
        name=archive.dataset + ("-coarse" if coarse else ""),
        train=Split(archive.train_images, archive.train_labels[kind]),
        test=Split(archive.test_images, archive.test_labels[kind]),
        label_names=archive.label_names[kind],
        scale=255,
        provenance=(
            f"{archive.source} ({archive.version} version, {official}); SHA-256: {checksums}"
        ),
        licence=LICENCE,
        augmentation="crop-flip",
    )


def read_cifar_archive(path: Path | str, *, sha256: str | None = None) -> CifarArchive:
    """Read CIFAR-10 or CIFAR-100 from a .tar.gz archive or its unpacked folder.

    The files determine the data set and the version.  ``sha256``, if given, is the SHA-256 that the
    archive must have.  Official archives are recognised by their SHA-256; others of the same
    layout, with as many records or fewer, are read as well, with ``official`` False.

    Raises InputError, one line, for a path that cannot be read, another checksum, a truncated
    or damaged archive, a missing file, no records, too many or incomplete ones, labels out of
    range, and pickles with other contents than CIFAR's (nothing in them is executed).
    """
    path = Path(path)
    if path.is_dir() and sha256 is not None:
        raise InputError(f"{path} is a folder, expected the archive whose SHA-256 is to be checked")
    checksums = {} if path.is_dir() else {path.name: _checked_sha256(path, sha256)}
    limits = {file: limit for layout in LAYOUTS for file, limit in layout.limits().items()}
    contents = read_archive(path, limits)
    try:
        layout = _detect(contents)
        checksums |= {f: hashlib.sha256(contents[f]).hexdigest() for f in sorted(contents)}
        names = _read_all_names(layout, contents)
        test = _read_files(layout, (layout.test_file,), contents)
        train = _read_files(layout, layout.train_files, contents)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return CifarArchive(
        dataset=layout.dataset,
        version=layout.version,
        train_images=train[0],
        test_images=test[0],
        train_labels=train[1],
        test_labels=test[1],
        label_names=names,
        source=path.resolve().name,
        official=checksums.get(path.name) in {official.sha256 for official in OFFICIAL_ARCHIVES},
        checksums=checksums,
    )


def _checked_sha256(path: Path, expected: str | None) -> str:
    check_regular_file(path)
    try:
        found = file_sha256(path)
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    if expected is not None and found != expected.lower():
        raise InputError(f"{path} has SHA-256 {found}, expected {expected}: get it again")
    return found


def _detect(contents: Mapping[str, bytes]) -> Layout:
    """Return the only layout whose files are present; all of them must be."""
    present = [
        layout
        for layout in LAYOUTS
        if any(file in contents for file in (*layout.train_files, layout.test_file))
    ]
    if not present:
        raise InputError("no CIFAR files found, expected an official archive or its folder")
    if len(present) > 1:
        raise InputError("files of more than one CIFAR version: give the path of one of them")
    layout = present[0]
    missing = [
        file
        for file in (*layout.train_files, layout.test_file, *layout.meta_files)
        if file not in contents
    ]
    if missing:
        raise InputError(f"{', '.join(missing)} missing: get the archive again")
    return layout


# Images and labels


def _read_files(
    layout: Layout, files: tuple[str, ...], contents: dict[str, bytes]
) -> tuple[NDArray[np.uint8], tuple[NDArray[np.int64], ...]]:
    """Return the images and, for each kind of label, the labels of some files, joined.

    Contents are dropped from ``contents`` as soon as they have been read.
    """
    images: list[np.ndarray] = []
    labels: list[list[np.ndarray]] = []
    read_records = _read_binary if layout.version == "binary" else _read_python
    for file in files:
        try:
            flat, columns = read_records(layout, contents.pop(file))
            _check_count(len(flat), layout.records(file))
            for kind, column in zip(layout.labels, columns, strict=True):
                _check_labels(kind, column, len(flat))
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        images.append(flat)
        labels.append(columns)
    joined = np.concatenate(images).reshape(-1, *IMAGE_SHAPE)
    return joined, tuple(np.concatenate(column) for column in zip(*labels, strict=True))


def _check_count(records: int, official: int) -> None:
    if not 1 <= records <= official:
        raise InputError(
            f"{counted(records, 'record')}, expected 1 to {official:,}, as in the official archive"
        )


def _read_binary(layout: Layout, content: bytes) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return images (N, 3072) and labels of a binary file."""
    L = len(layout.labels)
    length = L + IMAGE_BYTES
    if len(content) % length:
        raise InputError(
            f"{counted(len(content), 'byte')}, expected whole records of {length}: "
            "truncated or damaged: get it again"
        )
    table = np.frombuffer(content, np.uint8).reshape(-1, length)
    return table[:, L:], [table[:, column].astype(np.int64) for column in range(L)]


def _read_python(layout: Layout, content: bytes) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return images (N, 3072) and labels of a pickled file."""
    batch = read_cifar_pickle(content)
    images = batch.get("data")
    if not isinstance(images, np.ndarray) or images.shape[1:] != (IMAGE_BYTES,):
        found = images.shape if isinstance(images, np.ndarray) else "nothing"
        raise InputError(f"data are {found}, expected (N, {IMAGE_BYTES})")
    return images, [read_labels(batch.get(kind.key)) for kind in layout.labels]


def _check_labels(kind: LabelKind, labels: np.ndarray, records: int) -> None:
    if labels.shape != (records,):
        raise InputError(f"{len(labels)} {kind.key}, expected {records}: corrupt")
    wrong = np.flatnonzero((labels < 0) | (labels >= kind.classes))
    if wrong.size:
        raise InputError(
            f"record {wrong[0]} has {kind.key} {labels[wrong[0]]}, expected 0 to "
            f"{kind.classes - 1}: corrupt"
        )


# Names of the labels


def _read_all_names(layout: Layout, contents: Mapping[str, bytes]) -> tuple[tuple[str, ...], ...]:
    if layout.version == "binary":
        names = [_read_lines(contents[kind.names_file]) for kind in layout.labels]
    else:
        meta = read_cifar_pickle(contents[layout.meta_files[0]])
        names = [read_names(meta.get(kind.names_key)) for kind in layout.labels]
    for kind, found in zip(layout.labels, names, strict=True):
        if len(found) != kind.classes or any(not n or not n.isprintable() for n in found):
            raise InputError(
                f"{counted(len(found), 'name')} for {kind.key}, expected {kind.classes}"
            )
    return tuple(names)


def _read_lines(content: bytes) -> tuple[str, ...]:
    lines = (line.strip() for line in content.decode("latin-1").splitlines())
    return tuple(line for line in lines if line)
