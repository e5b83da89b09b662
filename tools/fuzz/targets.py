"""The targets: each reads one file of a stranger, and may only succeed or raise InputError."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from fcpts_ref.data.archive import read_archive
from fcpts_ref.data.cifar_pickle import read_cifar_pickle
from fcpts_ref.data.csv_file import read_csv
from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.data.imagenet_labels import TRUTH, read_labels
from fcpts_ref.data.npz import read_npz
from fcpts_ref.data.pictures import decode
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.grid import cells_of, grid_of
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.pinned import PinnedJob
from fcpts_ref.experiments.summary import Summary
from fcpts_ref.interchange.importing import read_checkpoint
from fcpts_ref.interchange.onnx.importing import import_onnx
from fcpts_ref.oracle.trace_file import read_trace
from fcpts_ref.oracle.vectors import FORMAT, load_cases
from fcpts_ref.storage.json_files import read_json
from fcpts_ref.storage.network_files import graph_from_json, read_arrays, read_network
from fcpts_ref.storage.records import record_from_json
from fcpts_ref.storage.toml_files import read_toml

Target = Callable[[bytes, Path], object]
"""Reads the bytes; the folder is for files, and one target uses it at a time."""

STORAGES = (72, 8, 8, 16, 8, 8, 8, 4)
"""Bytes of the arrays in the seed of a checkpoint's pickle."""
MEMBERS = {"data_batch_1": 4096, "test_batch": 4096, "batches.meta": 4096}


def _reader(read: Callable[[Path], object], name: str) -> Target:
    """Return a target that writes the bytes to a file of this name and reads it."""

    def target(content: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(content)
        return read(path)

    return target


def _torch_pickle(content: bytes, folder: Path) -> object:
    """Read the pickle of a checkpoint: in its zip, whose checksums mutations would break."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, size in enumerate(STORAGES):
            archive.writestr(f"archive/data/{key}", bytes(size))
        archive.writestr("archive/version", b"3\n")
    return _reader(read_checkpoint, "x.pt")(buffer.getvalue(), folder)


def _npz_array(content: bytes, folder: Path) -> object:
    """Read an array of an .npz file: in its zip, whose checksums mutations would break."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("images", "labels", "test_images", "test_labels"):
            archive.writestr(f"{name}.npy", content)
    return _reader(read_npz, "x.npz")(buffer.getvalue(), folder)


def _records(path: Path) -> None:
    """Read a file of JSON as everything that a run stores in JSON."""
    data = read_json(path)
    for read in (
        lambda: record_from_json(PinnedJob, data, "x"),
        lambda: record_from_json(Summary, data, "x"),
        lambda: Job.from_json(data),
        lambda: graph_from_json(data),
        lambda: cells_of(grid_of(data if isinstance(data, dict) else {})),
    ):
        try:
            read()
        except InputError:
            continue


def _vectors(content: bytes, folder: Path) -> object:
    """Read a group of conformance vectors, which may name the HDF5 file beside it."""
    suite = {"format": FORMAT, "files": {"group.json": {}}}
    (folder / "suite.json").write_text(json.dumps(suite))
    (folder / "group.json").write_bytes(content)
    return load_cases(folder)


def _vectors_hdf5(content: bytes, folder: Path) -> object:
    """Read the arrays of conformance vectors in HDF5."""
    array = {"dtype": "float64", "shape": [2, 2], "file": "group.h5", "dataset": "a"}
    case = {
        "id": "a.0001",
        "operation": "a",
        "comment": "c",
        "inputs": {"x": array},
        "outputs": {"y": {"value": array, "rule": "r"}},
    }
    rule = {"compare": "exact", "reason": "r"}
    group = {"format": FORMAT, "group": "a", "source": "s", "rules": {"r": rule}, "notes": {}}
    (folder / "group.h5").write_bytes(content)
    return _vectors(json.dumps({**group, "cases": [case]}).encode(), folder)


def _picture_list(content: bytes, folder: Path) -> object:
    """Read a CSV file of pictures, one of which exists."""
    (folder / "x.png").write_bytes(b"")
    return _reader(read_csv, "x.csv")(content, folder)


def _meta_mat(content: bytes, folder: Path) -> object:
    """Read the labels of ImageNet's development kit, whose classes are in a MATLAB file."""
    kit = folder / "data"
    kit.mkdir(exist_ok=True)
    (kit / TRUTH).write_text("1\n2\n")
    (kit / "meta.mat").write_bytes(content)
    return read_labels(folder, [Path("a.JPEG"), Path("b.JPEG")])


TARGETS: dict[str, Target] = {
    "network": _reader(read_network, "x.h5"),
    "dataset": _reader(read_dataset, "x.h5"),
    "arrays": _reader(read_arrays, "x.h5"),
    "trace": _reader(read_trace, "x.h5"),
    "vectors-hdf5": _vectors_hdf5,
    "vectors-json": _vectors,
    "checkpoint": _reader(read_checkpoint, "x.pt"),
    "torch-pickle": _torch_pickle,
    "cifar-pickle": lambda content, folder: read_cifar_pickle(content),
    "tar": _reader(lambda path: read_archive(path, MEMBERS), "x.tar"),
    "npz": _reader(read_npz, "x.npz"),
    "npz-array": _npz_array,
    "safetensors": _reader(read_checkpoint, "x.safetensors"),
    "json": _reader(_records, "x.json"),
    "toml": _reader(lambda path: cells_of(grid_of(read_toml(path))), "x.toml"),
    "onnx": _reader(import_onnx, "x.onnx"),
    "picture": _reader(decode, "x.png"),
    "picture-list": _picture_list,
    "meta-mat": _meta_mat,
}
"""By name."""
