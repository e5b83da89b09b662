"""Networks by a name or a file, ours or another program's, and how they read images."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.locations import NoHomeError, home_folder
from fcpts_ref.data.preprocessing import (
    PRESETS,
    Preprocessing,
    preprocessing,
    stored_preprocessing,
    with_numbers,
)
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.checkpoints import Imported, import_checkpoint
from fcpts_ref.interchange.importing import strip_endings
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.network_files import read_network


def find_network(
    name: str,
    dataset: Dataset,
    *,
    arch: str | None = None,
    shortcut: str | None = None,
    normalise: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    preprocess: str | None = None,
    home: str | None = None,
) -> tuple[Network, Preprocessing | None]:
    """Read the network of a name or a file, and check it against the data's shape and classes.

    arch, shortcut, normalise, mean, std: of another program's checkpoint, where its names do not
    tell.  preprocess: of pictures; the default is the one stored with the network.
    Returns also the preprocessing, None if the data have the network's size.
    Raises InputError if there is no such network or it does not fit.
    """
    chosen = None if preprocess is None else preprocessing(preprocess)
    if _is_foreign(name, arch, home):
        imported = import_checkpoint(
            name,
            arch=arch,
            shortcut=shortcut,
            input_shape=dataset.image_shape if chosen is None else chosen.shape,
            normalise=input_constants(normalise, mean, std, chosen),
            channel_order=order_of_channels(chosen),
        )
        network, chosen = imported.network, preprocessing_of(imported, chosen)
    else:
        network, provenance = read_network(network_path(name, home))
        _refuse_foreign_options(name, mean=mean, std=std, shortcut=shortcut, normalise=normalise)
        chosen = chosen or stored_preprocessing(provenance)
    if preprocess is None and dataset.image_shape == network.graph.input_shape:
        chosen = None
    check_fit(name, network, dataset, chosen)
    return network, chosen


def check_fit(
    name: str, network: Network, dataset: Dataset, preprocessing: Preprocessing | None
) -> None:
    """Raise InputError unless the data have the network's shape, once prepared, and its classes."""
    graph, shape = network.graph, dataset.image_shape
    if preprocessing is not None:
        C = 3 if shape is None else shape[0]
        shape = (C, preprocessing.crop, preprocessing.crop)
    if shape is None:
        raise InputError(
            f"data {dataset.name!r} are pictures of any size; say how network {name!r} reads them: "
            f"--preprocess with one of {', '.join(PRESETS)}, or numbers such as 256/224/bilinear"
        )
    classes = _classes_of(dataset, graph.is_detector)
    fewer = dataset.numbered and not graph.is_detector and classes < graph.classes
    if graph.input_shape != shape or not (not classes or classes == graph.classes or fewer):
        found = f"{shape} in {classes}" if classes else f"{shape}"
        raise InputError(
            f"network {name!r}, a {graph.name}, reads images {graph.input_shape} in "
            f"{counted(graph.classes, 'class', 'classes')}; data {dataset.name!r} has {found}: "
            "choose a network, data and preprocessing that match"
        )


def _classes_of(dataset: Dataset, detected: bool) -> int:
    """Return the number of classes that a network for the data has, 0 if it is not known.

    Those of objects, if they are detected, and the background.
    """
    if not detected:
        return len(dataset.label_names)
    return len(dataset.object_classes) + 1 if dataset.object_classes else 0


def _refuse_foreign_options(name: str, **options: str | None) -> None:
    """Raise InputError for options that a file of this program would ignore."""
    for option, value in options.items():
        if value is not None:
            raise InputError(
                f"--{option} {value} is for foreign checkpoints; {name} is a network of this "
                "program, which holds its own: omit it"
            )


def _is_foreign(name: str, arch: str | None, home: str | None) -> bool:
    """Whether a network is another program's checkpoint.

    Raises InputError if an architecture is given for one of this program's, which need none.
    """
    own_file = name.lower().endswith((".h5", ".hdf5"))
    known = own_file or _is_known(name, home)
    if arch is None:
        return not known and Path(name).is_file()
    if own_file:
        raise InputError(
            f"--arch {arch} is for foreign checkpoints; {name} is a file of "
            "this program: omit --arch"
        )
    if not known and not Path(name).exists():
        raise InputError(
            f"there is no checkpoint {name!r}: give the path of the file with the trained weights; "
            f"--arch {arch} names their architecture only"
        )
    if known and not Path(name).exists():
        raise InputError(f"{name} is the name of a network of this program: omit --arch")
    return True


def input_constants(
    normalise: str | None, mean: str | None, std: str | None, chosen: Preprocessing | None
) -> str | None:
    """Return the normalisation of a checkpoint's input as ``normalisation`` reads it.

    It is that of the numbers, if given; else the one that is named; else that of the preprocessing,
    for inputs in [0, 1], or None.  Raises InputError for numbers of one kind without the other.
    """
    if mean is None and std is None and (normalise is not None or chosen is None):
        return normalise
    if chosen is None and (mean is None) != (std is None):
        given, absent = ("mean", "std") if std is None else ("std", "mean")
        raise InputError(f"--{given} without --{absent}; give both")
    if chosen is None:
        chosen = Preprocessing(None, 1)
    numbers = with_numbers(replace(chosen, order="RGB"), mean, std).constants
    return "/".join(",".join(map(repr, part)) for part in numbers)


def order_of_channels(chosen: Preprocessing | None) -> Literal["BGR"] | None:
    """Return the order that a preprocessing asks for; RGB, the usual one, is left to the names.

    A checkpoint of pycls reads BGR whether its pictures are described as 256/224 or by a preset.
    """
    return "BGR" if chosen is not None and chosen.order == "BGR" else None


def preprocessing_of(imported: Imported, chosen: Preprocessing | None) -> Preprocessing | None:
    """Return the preprocessing of an imported network: the chosen one, or that of its source.

    The network itself turns RGB into BGR, if it has to.  None if its source has none, or has one
    for images of another size.
    """
    if chosen is None and imported.preprocess is not None:
        preset = PRESETS[imported.preprocess]
        chosen = preset if preset.shape == imported.network.graph.input_shape else None
    return chosen and replace(chosen, order="RGB")


def _is_known(name: str, home: str | None) -> bool:
    try:
        network_path(name, home)
    except InputError:
        return False
    return True


def network_path(name: str, home: str | None) -> Path:
    """The file of a network: its path, a run's folder, or a name in the package or in --home.

    A network that was imported from model.pth.tar is found by that name, too.
    """
    if name.lower().endswith((".h5", ".hdf5")):
        return Path(name)
    if (Path(name) / "network.h5").is_file():
        return Path(name) / "network.h5"
    try:
        folder = home_folder(home) / "models"
    except NoHomeError:
        with contextlib.suppress(InputError):
            return resource_path(f"{name}.h5")
        raise
    for known in dict.fromkeys((name, strip_endings(name))):
        path = folder / f"{known}.h5"
        if path.is_file():
            return path
        with contextlib.suppress(InputError):
            return resource_path(f"{known}.h5")
    if strip_endings(name) != name and not Path(name).exists():
        raise InputError(f"there is no file {name}; give the path of a checkpoint or an .h5 file")
    if strip_endings(name) != name or Path(name).is_file():
        raise InputError(
            f"{name} is another program's checkpoint: import it by 'fcpts-ref models import {name}'"
        )
    raise InputError(
        f"there is no network {name!r} in the package or in {folder}; give the path of an .h5 file "
        "or import a checkpoint by 'fcpts-ref models import'"
    )
