"""Small valid files of every format, from which mutations start."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from fcpts_ref.data.dataset import Dataset, write_dataset
from fcpts_ref.data.split import Split
from fcpts_ref.experiments.job import Job
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import export_network
from fcpts_ref.oracle.trace import record_run
from fcpts_ref.oracle.trace_file import write_trace
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.json_files import as_json
from fcpts_ref.storage.network_files import graph_to_json, write_arrays, write_network
from tools.fuzz.foreign_seeds import foreign_seeds

CORPUS = Path(__file__).parent / "corpus"
"""Committed inputs: those that once failed, in a folder for each target."""


def small_network() -> Network:
    """Return a network of a convolution, batch norm and a linear layer, with a mask."""
    nodes = (
        Node(
            "conv", "convolution", ("images",), {"in_channels": 1, "out_channels": 2, "kernel": 3}
        ),
        Node("bn", "batch_norm", ("conv",), {"channels": 2}),
        Node("pool", "global_average_pool", ("bn",), {}),
        Node("fc", "linear", ("pool",), {"in_features": 2, "out_features": 2}),
    )
    graph = Graph("small", {"images": (1, 4, 4)}, nodes, {"logits": "fc"})
    parameters = {n: np.ones(s, np.float32) for n, s in graph.parameter_shapes.items()}
    buffers = {n: np.ones(s, np.float32) for n, s in graph.buffer_shapes.items()}
    mask = {"fc.weight": np.array([[True, False], [True, True]])}
    parameters["fc.weight"] = np.where(mask["fc.weight"], parameters["fc.weight"], np.float32(0))
    return Network(graph, parameters, buffers, mask)


def seeds() -> dict[str, list[bytes]]:
    """Return valid files by target."""
    network, generator = small_network(), np.random.default_rng(0)
    split = Split(generator.integers(0, 255, (2, 1, 4, 4), np.uint8), np.array([0, 1]))
    data = Dataset("small", split, split, ("a", "b"), 255, "made here", "none", "none")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_network(folder / "network.h5", network, {"made_by": "seeds"})
        write_dataset(folder / "data.h5", data)
        write_arrays(folder / "arrays.h5", {"a/b": np.ones(3), "c": np.arange(2)}, {"x": [1]})
        export_network(folder / "x.pt", network)
        export_network(folder / "x.safetensors", network)
        assert split.labels is not None
        np.savez(
            folder / "x.npz",
            images=split.images,
            labels=split.labels,
            test_images=split.images,
            test_labels=split.labels,
        )
        images = data.as_floats(split.images, np.float64)
        method = FCPTS(profile="paper", epochs=1, batch_size=2)
        weights = {n: generator.standard_normal(a.shape) for n, a in network.parameters.items()}
        doubles = {n: a.astype(np.float64) for n, a in network.buffers.items()}
        dense = Network(network.graph, weights, doubles)
        trace = record_run(dense, images, target=0.5, steps=[0], method=method, seed=0)
        write_trace(folder / "trace.h5", trace)
        read = {path.name: path.read_bytes() for path in folder.iterdir()}
    array = io.BytesIO()
    np.save(array, split.images)
    return {
        "network": [read["network.h5"]],
        "dataset": [read["data.h5"]],
        "arrays": [read["arrays.h5"]],
        "trace": [read["trace.h5"]],
        "vectors-hdf5": [_old_hdf5()],
        "vectors-json": [_vectors()],
        "checkpoint": [read["x.pt"], _legacy()],
        "torch-pickle": [_pickle_of(read["x.pt"])],
        "cifar-pickle": [_cifar()],
        "tar": [_tar()],
        "npz": [read["x.npz"]],
        "npz-array": [array.getvalue()],
        "safetensors": [read["x.safetensors"]],
        "json": [
            json.dumps(as_json(asdict(Job()))).encode(),
            json.dumps(graph_to_json(network.graph)).encode(),
        ],
        "toml": [b'networks = ["a"]\nrates = [0.5]\n[method.m]\npreset = "fcpts"\nepochs = 1\n'],
        **foreign_seeds(network),
    }


def corpus(target: str) -> list[bytes]:
    """Return the committed inputs of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]


def _old_hdf5() -> bytes:
    """Return an HDF5 file in the oldest format, whose metadata carry no checksums."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="earliest") as file:
        file["a"] = np.ones((2, 2))
    return buffer.getvalue()


def _vectors() -> bytes:
    """Return a group of vectors with its first two cases."""
    group = json.loads(resource_path("vectors/add.json").read_text(encoding="utf-8"))
    group["cases"] = group["cases"][:2]
    return json.dumps(group).encode()


def _pickle_of(checkpoint: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as archive:
        return archive.read("archive/data.pkl")


def _legacy() -> bytes:
    """Return the beginning of a checkpoint in PyTorch's format before the zip files."""
    magic, protocol = 0x1950A86A20F9469CFC6C, 1001
    parts: tuple[object, ...] = (magic, protocol, {"little_endian": True}, {}, [])
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def _cifar() -> bytes:
    """Return a batch of one image, as Python 3 would write it."""
    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [3], b"batch_label": b"x"}
    return pickle.dumps(batch, protocol=2)


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("cifar/data_batch_1", "cifar/" + "long" * 40 + "/test_batch"):
            entry = tarfile.TarInfo(name)
            entry.size = 10
            archive.addfile(entry, io.BytesIO(bytes(10)))
    return buffer.getvalue()
