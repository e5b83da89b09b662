"""Kinds of data sets that can be named: ``KIND:PATH``, or a path whose ending says the kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fcpts_ref.data.csv_file import read_csv
from fcpts_ref.data.dataset import Dataset, read_dataset
from fcpts_ref.data.folder import read_folder
from fcpts_ref.data.hdf5_arrays import read_hdf5
from fcpts_ref.data.imagenet import read_imagenet
from fcpts_ref.data.locations import home_folder
from fcpts_ref.data.npz import read_npy, read_npz
from fcpts_ref.data.voc import read_voc
from fcpts_ref.errors import InputError
from fcpts_ref.resources import resource_path

EMBEDDED = "digits"


@dataclass(frozen=True)
class Source:
    """A way to read a data set.

    read(path) returns it, checked, or raises InputError.  endings: those of its files, in lower
    case.  description: for the help.
    """

    read: Callable[[Path], Dataset]
    endings: tuple[str, ...]
    description: str


SOURCES: dict[str, Source] = {
    "h5": Source(read_hdf5, (".h5", ".hdf5"), "an HDF5 file of this program or with npz's arrays"),
    "npz": Source(read_npz, (".npz",), "NumPy arrays: images, labels, test_images, test_labels"),
    "npy": Source(read_npy, (".npy",), "one NumPy array of images, without labels"),
    "csv": Source(read_csv, (".csv",), "pictures by columns file, label and split"),
    "folder": Source(
        read_folder, (), "pictures in a folder for each class, perhaps in train and val"
    ),
    "imagenet": Source(read_imagenet, (), "ImageNet's folders"),
    "voc": Source(read_voc, (), "Pascal VOC's folders, with objects"),
}
"""By kind."""


def find_dataset(name: str, home: str | None) -> Dataset:
    """Read the data set of a name or a path.

    name: KIND:PATH, a path with a known ending, "digits", or the name of a data set in ``home``.
    Raises InputError if there is none.
    """
    kind, colon, path = name.partition(":")
    if colon and kind in SOURCES:
        return SOURCES[kind].read(Path(path))
    for source in SOURCES.values():
        if source.endings and name.lower().endswith(source.endings):
            return source.read(Path(name))
    if name == EMBEDDED:
        return read_dataset(resource_path(f"{name}.h5"))
    kinds = ", ".join(f"{kind}:PATH" for kind in SOURCES)
    if Path(name).name != name or Path(name).exists():
        raise InputError(f"{name} is a path of unknown kind; give it as one of {kinds}")
    stored = home_folder(home) / "data" / f"{name}.h5"
    if not stored.is_file():
        raise InputError(
            f"there is no data set {name!r} in {stored.parent}; make cifar10 or cifar100 with "
            f"'fcpts-ref data prepare NAME --from ARCHIVE', or name its path: {kinds}"
        )
    return read_dataset(stored)
