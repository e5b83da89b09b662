"""Pascal VOC in its own layout: pictures without labels, and the objects that they show.

JPEGImages holds the pictures and Annotations an XML file of each, under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.folder import picture_data, pictures_in
from fcpts_ref.data.pictures import file_list, read_file, read_limited, size_of
from fcpts_ref.data.split import NO_IMAGES, Split
from fcpts_ref.data.voc_annotation import read_annotation
from fcpts_ref.detection.boxes import Objects
from fcpts_ref.errors import InputError

PICTURES, ANNOTATIONS, LISTS = "JPEGImages", "Annotations", "ImageSets/Main"
CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""VOC's own classes, labelled from 1."""
CLASS_LIST, CLASS_LIST_BYTES = "labels.txt", 1 << 16
"""A file in the folder that names other classes, one a line, and its largest size."""
TRAIN_LISTS, TEST_LISTS = ("trainval.txt", "train.txt"), ("test.txt", "val.txt")


def read_voc(path: Path) -> Dataset:
    """Return the pictures of a folder such as VOC2007, with their objects if it has Annotations.

    The lists in ImageSets/Main say which pictures calibrate (trainval, else train) and which
    evaluate (test, else val unless trainval is used); without lists, all pictures calibrate.
    Classes are VOC's, or those in labels.txt.  Annotations are read when they are needed.
    Raises InputError for another layout and a listed picture that is absent.
    """
    if not (path / PICTURES).is_dir():
        raise InputError(f"{path} holds no {PICTURES}; expected a folder such as VOCdevkit/VOC2007")
    pictures = {picture.stem: picture for picture in pictures_in(path / PICTURES)}
    train, test = (_listed(path, names, pictures) for names in (TRAIN_LISTS, TEST_LISTS))
    if train is None and test is None:
        train = list(pictures.values())
    train, test = (
        train or [],
        [picture for picture in test or [] if picture not in set(train or [])],
    )
    classes = _classes(path) if (path / ANNOTATIONS).is_dir() else None
    splits = [_split(part, classes) if part else NO_IMAGES for part in (train, test)]
    return picture_data(path, splits[0], splits[1], ())


@dataclass(frozen=True)
class AnnotationFiles:
    """The annotations of pictures, one XML file each.

    paths, pictures: of the same number.
    """

    paths: tuple[Path, ...]
    pictures: tuple[Path, ...]
    classes: tuple[str, ...] = CLASSES

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Objects:
        """Return the objects of a picture, as ``read_annotation`` does, whose size it checks."""
        return read_annotation(self.paths[index], self.classes, size_of(self.pictures[index]))


def annotation_of(picture: Path) -> Path:
    """Return the path of a picture's annotation."""
    return picture.parent.with_name(ANNOTATIONS) / f"{picture.stem}.xml"


def _split(pictures: list[Path], classes: tuple[str, ...] | None) -> Split:
    if classes is None:
        return Split(file_list(pictures))
    annotations = AnnotationFiles(tuple(map(annotation_of, pictures)), tuple(pictures), classes)
    return Split(file_list(pictures), objects=annotations)


def _classes(path: Path) -> tuple[str, ...]:
    """Return VOC's classes, or those of labels.txt.  Raises InputError for bad or equal names."""
    if not (path / CLASS_LIST).is_file():
        return CLASSES
    text = read_limited(path / CLASS_LIST, CLASS_LIST_BYTES).decode(errors="replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names or len(set(names)) < len(names) or not all(map(str.isprintable, names)):
        raise InputError(f"{path / CLASS_LIST} should name every class once, one a line")
    return names


def _listed(path: Path, names: tuple[str, ...], pictures: dict[str, Path]) -> list[Path] | None:
    """Return the pictures of the first of these lists, None if there is none."""
    for name in names:
        if (path / LISTS / name).is_file():
            lines = read_file(path / LISTS / name).decode(errors="replace").splitlines()
            listed = [line.split()[0] for line in lines if line.strip()]
            missing = [one for one in listed if one not in pictures]
            if missing:
                raise InputError(f"{path / LISTS / name}: {missing[0][:80]} is not in {PICTURES}")
            return [pictures[one] for one in listed]
    return None
