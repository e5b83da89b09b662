"""A folder of pictures: one folder for each class, or no classes; with or without splits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.augmentation import RESIZED
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.pictures import ENDINGS, file_list
from fcpts_ref.data.split import NO_IMAGES, Split
from fcpts_ref.errors import InputError, counted
from fcpts_ref.storage.files import describe_failure

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("val", "valid", "validation", "test")


def read_folder(path: Path) -> Dataset:
    """Return the pictures of a folder; they are decoded when they are needed.

    PATH/CLASS/PICTURE, or PATH/PICTURE without labels; PATH/train and PATH/val (or test) are the
    splits if they exist, otherwise all pictures are for calibration.  Classes are in the order of
    their names, as in torchvision's ImageFolder.
    Raises InputError for a folder that does not exist, a class folder without pictures, and a class
    of the test split that the training split lacks.
    """
    train, test = (_split_folder(path, names) for names in (TRAIN_NAMES, TEST_NAMES))
    parts = [pictures_by_class(part) if part else {} for part in (train, test)]
    if train is None and test is None:
        parts[0] = pictures_by_class(path)
    return dataset_of(path, *parts)


def dataset_of(
    path: Path, train: Mapping[str, Sequence[Path]], test: Mapping[str, Sequence[Path]]
) -> Dataset:
    """Return the data set of pictures by class; the class "" is that of pictures without labels."""
    classes = sorted({*train, *test} - {""})
    known = sorted(set(train) - {""}) or classes
    unknown = [name for name in test if name and name not in known]
    if unknown:
        raise InputError(
            f"{path}: the test class {unknown[0]!r} is not among the "
            f"{counted(len(known), 'training class', 'training classes')}"
        )
    splits = [_split(part, {name: i for i, name in enumerate(known)}) for part in (train, test)]
    return picture_data(path, splits[0], splits[1], tuple(known))


def picture_data(
    path: Path, train: Split, test: Split, label_names: tuple[str, ...], name: str | None = None
) -> Dataset:
    """Return a data set of picture files, called as its folder or file unless named."""
    return Dataset(
        name=name or path.resolve().stem,
        train=train,
        test=test,
        label_names=label_names,
        scale=255,
        provenance=f"{path.resolve().name}: {len(train):,} training, "
        f"{counted(len(test), 'test picture')}",
        licence="not stated",
        augmentation=RESIZED,
    )


def pictures_by_class(path: Path) -> dict[str, list[Path]]:
    """Return the pictures of each folder in ``path``, or under "" those in it if it has no folders.

    Raises InputError for a class folder, or a folder without folders, that holds no pictures.
    """
    folders, files = _listed(path)
    if not folders:
        return {"": _some_pictures(path, files)}
    return {folder.name: _some_pictures(folder, _listed(folder)[1]) for folder in folders}


def pictures_in(path: Path) -> list[Path]:
    """Return the pictures that lie directly in a folder, by name.  Raises InputError for none."""
    return _some_pictures(path, _listed(path)[1])


def labels_of(count: int, labels: Sequence[int]) -> NDArray[np.int64]:
    """Return the labels as an array.  Raises InputError unless there are ``count``."""
    if len(labels) != count:
        raise InputError(
            f"{counted(len(labels), 'label')} for {counted(count, 'picture')}; expected one for "
            "each"
        )
    return np.array(labels, np.int64)


def _split_folder(path: Path, names: Sequence[str]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)


def _split(part: Mapping[str, Sequence[Path]], index: Mapping[str, int]) -> Split:
    if not part:
        return NO_IMAGES
    paths = [picture for pictures in part.values() for picture in pictures]
    if "" in part:
        return Split(file_list(paths))
    labels = [index[name] for name, pictures in part.items() for _ in pictures]
    return Split(file_list(paths), labels_of(len(paths), labels))


def _listed(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files in a folder by name, without hidden ones."""
    try:
        with os.scandir(path) as entries:
            found = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
            folders = [Path(entry.path) for entry in found if entry.is_dir()]
            return folders, [Path(entry.path) for entry in found if not entry.is_dir()]
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error


def _some_pictures(folder: Path, files: Sequence[Path]) -> list[Path]:
    pictures = [file for file in files if file.name.lower().endswith(ENDINGS)]
    if not pictures:
        raise InputError(
            f"{folder} holds no pictures ({', '.join(ENDINGS)}); add some or remove the folder"
        )
    return pictures
