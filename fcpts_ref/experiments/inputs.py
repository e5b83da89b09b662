"""What a job reads: its network, its data, and the calibration images it draws."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.locations import home_folder
from fcpts_ref.data.sources import find_dataset
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.checkpoints import import_checkpoint
from fcpts_ref.interchange.importing import strip_endings
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.network_files import read_network


@dataclass(frozen=True)
class Inputs:
    """A network and data that fit each other, and the calibration images (n, C, H, W)."""

    network: Network
    dataset: Dataset
    images: NDArray[Any]


def find_inputs(job: Job) -> Inputs:
    """Read what a job names.  Raises InputError for what is absent or does not fit."""
    network, dataset = find_sources(job)
    count, available = job.calibration, len(dataset.train)
    if count is None:
        count = min(available, job.make_method().calibration_images)
    chosen = draw_calibration(available, count, np.random.default_rng(job.seed))
    return Inputs(network, dataset, dataset.as_floats(dataset.train.images[chosen], network.dtype))


def find_sources(job: Job) -> tuple[Network, Dataset]:
    """Read the network and the data of a job.  Raises InputError if they do not fit."""
    dataset = find_dataset(job.data, job.home)
    network = find_network(
        job.network,
        dataset,
        arch=job.arch,
        shortcut=job.shortcut,
        normalise=job.normalise,
        home=job.home,
    )
    return network, dataset


def draw_calibration(
    n: int, count: int | None, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the rising indices of ``count`` of n training images (default all), without repeats.

    Labels are never looked at.  Raises InputError for more images than there are, or none.
    """
    if count is None or count == n:
        return np.arange(n)
    if not 1 <= count <= n:
        raise InputError(f"{count} calibration images were asked for; there are {n}")
    return np.sort(generator.choice(n, size=count, replace=False))


def find_network(
    name: str,
    dataset: Dataset,
    *,
    arch: str | None = None,
    shortcut: str | None = None,
    normalise: str | None = None,
    home: str | None = None,
) -> Network:
    """Read the network of a name or a file, and check it against the data's shape and classes.

    arch, shortcut, normalise: of another program's checkpoint, where its names do not tell.
    Raises InputError if there is none or it does not fit.
    """
    if _is_foreign(name, arch, home):
        network = import_checkpoint(
            name,
            arch=arch,
            shortcut=shortcut,
            input_shape=dataset.image_shape,
            normalise=normalise,
        ).network
    else:
        network, _ = read_network(network_path(name, home))
    graph = network.graph
    if graph.input_shape != dataset.image_shape or graph.classes != len(dataset.label_names):
        raise InputError(
            f"network {name!r}, a {graph.name}, reads images {graph.input_shape} in "
            f"{graph.classes} classes; "
            f"data {dataset.name!r} has {dataset.image_shape} in {len(dataset.label_names)}: "
            "choose a network and data that match"
        )
    return network


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
    if known and not Path(name).exists():
        raise InputError(f"{name} is the name of a network of this program: omit --arch")
    return True


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
    folder = home_folder(home) / "models"
    for known in dict.fromkeys((name, strip_endings(name))):
        path = folder / f"{known}.h5"
        if path.is_file():
            return path
        with contextlib.suppress(InputError):
            return resource_path(f"{known}.h5")
    if strip_endings(name) != name:
        raise InputError(
            f"{name} is another program's checkpoint: import it by 'fcpts-ref models import {name}'"
        )
    raise InputError(
        f"there is no network {name!r} in the package or in {folder}; give the path of an .h5 file "
        "or import a checkpoint by 'fcpts-ref models import'"
    )
