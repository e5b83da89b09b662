"""ImageNet (ILSVRC 2012) in the folders in which it is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.folder import labels_of, picture_data, pictures_by_class
from fcpts_ref.data.imagenet_labels import Label, read_labels
from fcpts_ref.data.pictures import file_list
from fcpts_ref.data.split import NO_IMAGES, Split
from fcpts_ref.errors import InputError, counted

NAME = "imagenet"
TRAIN = ("train", "ILSVRC2012_img_train", "Data/CLS-LOC/train")
VALIDATION = ("val", "validation", "ILSVRC2012_img_val", "Data/CLS-LOC/val")


def read_imagenet(path: Path) -> Dataset:
    """Return the training and the validation pictures of ImageNet.

    Class folders, called by WordNet ids, lie in one of TRAIN and of VALIDATION.  Validation
    pictures may also lie flat in their folder, with their labels beside it (``imagenet_labels``).
    Either split may be absent.  Classes are numbered in the order of their ids, as in all public
    networks.
    Raises InputError for other layouts and for labels that do not fit.
    """
    train, test = (_first(path, names) for names in (TRAIN, VALIDATION))
    if train is None and test is None:
        raise InputError(
            f"{path} holds neither {TRAIN[0]} nor {VALIDATION[0]}; expected ImageNet's folders, or "
            "give other pictures as folder:PATH"
        )
    trained = pictures_by_class(train) if train else {}
    tested = pictures_by_class(test) if test else {}
    if "" in trained:
        raise InputError(f"{train} holds pictures; expected a folder for each class")
    flat = tested.pop("", [])
    labels: Sequence[Label] = (
        read_labels(path, flat) if flat else [n for n, paths in tested.items() for _ in paths]
    )
    pictures = flat or [picture for paths in tested.values() for picture in paths]
    ids = _class_ids(trained, labels)
    place = {name: number for number, name in enumerate(ids)}
    paths = [picture for group in trained.values() for picture in group]
    own = [place[name] for name, group in trained.items() for _ in group]
    return picture_data(
        path,
        Split(file_list(paths), labels_of(len(paths), own)) if paths else NO_IMAGES,
        Split(file_list(pictures), _numbers(path, labels, place)) if pictures else NO_IMAGES,
        ids,
        NAME,
    )


def _class_ids(trained: Mapping[str, Sequence[Path]], labels: Sequence[Label]) -> tuple[str, ...]:
    """Return the classes: the training folders, else those of the validation labels."""
    if trained:
        return tuple(sorted(trained))
    numbers = [label for label in labels if isinstance(label, int)]
    if numbers:
        return tuple(map(str, range(max(numbers) + 1)))
    return tuple(sorted({str(label) for label in labels}))


def _numbers(path: Path, labels: Sequence[Label], place: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the labels as numbers.  Raises InputError for one that is no class."""
    numbers = [place.get(label, -1) if isinstance(label, str) else label for label in labels]
    for label, number in zip(labels, numbers, strict=True):
        if not 0 <= number < len(place):
            raise InputError(
                f"{path}: the validation label {label} is not among the "
                f"{counted(len(place), 'class', 'classes')}"
            )
    return labels_of(len(labels), numbers)


def _first(path: Path, names: Sequence[str]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)
