"""The pictures of Pascal VOC in its own layout, without labels: a picture shows several classes.

JPEGImages holds the pictures and Annotations an XML file of each, under the same name.
"""

from __future__ import annotations

from pathlib import Path

from fcpts_ref.data.dataset import NO_IMAGES, Dataset, Split
from fcpts_ref.data.folder import picture_data, pictures_in
from fcpts_ref.data.pictures import file_list, read_file
from fcpts_ref.errors import InputError

PICTURES, ANNOTATIONS, LISTS = "JPEGImages", "Annotations", "ImageSets/Main"
TRAIN_LISTS, TEST_LISTS = ("trainval.txt", "train.txt"), ("test.txt", "val.txt")


def read_voc(path: Path) -> Dataset:
    """Return the pictures of a folder such as VOC2007.

    The lists in ImageSets/Main say which pictures calibrate (trainval, else train) and which
    evaluate (test, else val unless trainval is used); without lists, all pictures calibrate.
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
    splits = [Split(file_list(part)) if part else NO_IMAGES for part in (train, test)]
    return picture_data(path, splits[0], splits[1], ())


def annotation_of(picture: Path) -> Path:
    """Return the path of a picture's annotation."""
    return picture.parent.with_name(ANNOTATIONS) / f"{picture.stem}.xml"


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
