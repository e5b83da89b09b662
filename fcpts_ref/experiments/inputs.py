"""What a job reads: its network, its data, and the calibration images it draws."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.locations import home_folder
from fcpts_ref.data.sources import find_dataset
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import import_network, normalisation, strip_endings
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
    shortcut: str = "A",
    normalise: str = "imagenet",
    home: str | None = None,
) -> Network:
    """Read the network of a name or a file, and check it against the data's shape and classes.

    arch, shortcut, normalise: how another program's checkpoint is read.
    Raises InputError if there is none or it does not fit.
    """
    network = _read_network(name, dataset, arch, shortcut, normalise, home)
    graph = network.graph
    if graph.input_shape != dataset.image_shape or graph.classes != len(dataset.label_names):
        raise InputError(
            f"network {name!r}, a {graph.name}, reads images {graph.input_shape} in "
            f"{graph.classes} classes; "
            f"data {dataset.name!r} has {dataset.image_shape} in {len(dataset.label_names)}: "
            "choose a network and data that match"
        )
    return network


def _read_network(
    name: str, dataset: Dataset, arch: str | None, shortcut: str, normalise: str, home: str | None
) -> Network:
    if arch is None:
        return read_network(network_path(name, home, has_arch_option=True))[0]
    if name.lower().endswith((".h5", ".hdf5")):
        raise InputError(
            f"--arch {arch} is for foreign checkpoints; {name} is a file of "
            "this program: omit --arch"
        )
    if not Path(name).exists() and _is_known(name, home):
        raise InputError(f"{name} is the name of a network of this program: omit --arch")
    graph = architecture(
        arch, classes=len(dataset.label_names), input_shape=dataset.image_shape, shortcut=shortcut
    )
    mean, std = normalisation(normalise)
    return import_network(name, graph, mean=mean, std=std)[0]


def _is_known(name: str, home: str | None) -> bool:
    try:
        network_path(name, home)
    except InputError:
        return False
    return True


def network_path(name: str, home: str | None, *, has_arch_option: bool = False) -> Path:
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
        remedy = f"import it by 'fcpts-ref models import {name} --arch ARCHITECTURE'"
        if has_arch_option:
            remedy = f"say what it holds with --arch, or {remedy}"
        raise InputError(f"{name} is another program's checkpoint: {remedy}")
    raise InputError(
        f"there is no network {name!r} in the package or in {folder}; give the path of an .h5 file "
        "or import a checkpoint by 'fcpts-ref models import'"
    )
