"""Files of a job that travel to another machine, and those that come back."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fcpts_ref import __version__
from fcpts_ref.data.dataset import write_dataset
from fcpts_ref.data.preprocessing import as_provenance
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.inputs import Inputs, find_inputs, find_sources
from fcpts_ref.experiments.job import Job
from fcpts_ref.storage.files import file_sha256, lock_folder, write_atomically
from fcpts_ref.storage.network_files import write_network

LAST = "summary.json"
"""Written last, because it marks a run as finished."""


@dataclass(frozen=True)
class Needed:
    """The SHA-256 of a job's network and data, as files of this program."""

    network: str
    data: str


def pack_inputs(job: Job) -> tuple[Needed, dict[str, bytes]]:
    """Return what a job reads, as files of this program's formats by SHA-256.

    Whatever format a network or a data set came in, it travels in one; equal ones travel once.
    Raises InputError for inputs that are absent or do not fit.
    """
    sources = find_sources(job)
    network, dataset = sources.network, replace(sources.dataset, test=sources.evaluated)
    provenance = as_provenance(sources.preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "network.h5"), Path(folder, "data.h5")
        write_network(paths[0], network, provenance)
        write_dataset(paths[1], dataset)
        contents = [path.read_bytes() for path in paths]
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    return Needed(*names), dict(zip(names, contents, strict=True))


def find_packed(job: Job, needed: Needed, folder: Path, **more: Any) -> Inputs:
    """Read the inputs of a job from a folder that holds them by SHA-256.

    more: arguments of ``find_inputs``.
    Raises InputError if one is not there, or its contents are not those that its name says.
    """
    paths = [packed_path(folder, sha256) for sha256 in (needed.network, needed.data)]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is absent; a shared folder must be the same on every worker")
        if file_sha256(path) != path.stem:
            raise InputError(f"{path} does not hold what its name says; remove it")
    network, data = map(str, paths)
    here = replace(job, network=network, data=f"h5:{data}", test_data=None, home=None)
    here = replace(here, arch=None, mean=None, std=None, preprocess=None)  # all in the files
    return find_inputs(here, **more)


def packed_path(folder: Path, sha256: str) -> Path:
    """Return the place of an input in a folder of inputs."""
    return folder / f"{sha256}.h5"


def put_inputs(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the inputs that a folder lacks.  Raises InputError if they cannot be written."""
    for sha256, content in contents.items():
        if not packed_path(folder, sha256).is_file():
            write_atomically(packed_path(folder, sha256), _writer(content))


def pack_run(folder: Path) -> dict[str, bytes]:
    """Return the files of a run by name, without locks and unfinished ones."""
    if not folder.is_dir():
        return {}
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: path.read_bytes() for path in files if not path.name.startswith(".")}


def unpack_run(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a run to its folder, each whole or not at all, its summary last.

    Raises InputError if they cannot be written, and for a name that is not one of a file.
    """
    for name in files:
        if Path(name).name != name or name.startswith("."):
            raise InputError(f"a run has no file {name[:80]!r}; refused")
    with lock_folder(folder):
        for name in sorted(files, key=lambda name: name == LAST):
            write_atomically(folder / name, _writer(files[name]))


def program_sha256() -> str:
    """Return the SHA-256 of this program's modules: two copies with the same one are equal."""
    package, digest = Path(__file__).parents[1], hashlib.sha256(__version__.encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _writer(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write
