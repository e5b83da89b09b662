"""Small made-up archives in the official CIFAR layouts."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np

N = 4  # records in a test file; a CIFAR-100 train file has 5 N
TEN = [f"class {n}" for n in range(10)]
TWENTY = [f"coarse {n}" for n in range(20)]
HUNDRED = [f"fine {n}" for n in range(100)]


def draw_records(count: int, kinds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (count, 3072) and labels (kinds, count)."""
    draw = np.random.default_rng(seed)
    classes = [[10], [20, 100]][kinds - 1]
    labels = np.stack([draw.integers(0, k, count) for k in classes])
    return draw.integers(0, 256, (count, 3072), dtype=np.uint8), labels


def cifar10_files() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    return {name: draw_records(N, 1, seed) for seed, name in enumerate(names)}


def cifar100_files() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"train": draw_records(5 * N, 2, 1), "test": draw_records(N, 2, 2)}


def binary_records(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels.T.astype(np.uint8), images], axis=1).tobytes()


def binary_version(dataset: str) -> dict[str, bytes]:
    files = cifar10_files() if dataset == "cifar10" else cifar100_files()
    contents = {f"{name}.bin": binary_records(*records) for name, records in files.items()}
    if dataset == "cifar10":
        return contents | {"batches.meta.txt": ("\n".join(TEN) + "\n\n").encode()}
    return contents | {
        "coarse_label_names.txt": ("\n".join(TWENTY) + "\n").encode(),
        "fine_label_names.txt": ("\n".join(HUNDRED) + "\n").encode(),
    }


def python_version(dataset: str, dump) -> dict[str, bytes]:
    """``dump`` is one of the writers of pickles below."""
    if dataset == "cifar10":
        meta = {"num_cases_per_batch": N, "label_names": TEN, "num_vis": 3072}
        files = {
            name: dump({"batch_label": name, "labels": labels[0].tolist(), "data": images})
            for name, (images, labels) in cifar10_files().items()
        }
        return files | {"batches.meta": dump(meta)}
    files = {
        name: dump(
            {
                "filenames": [f"{n}.png" for n in range(len(images))],
                "coarse_labels": labels[0].tolist(),
                "fine_labels": labels[1].tolist(),
                "data": images,
            }
        )
        for name, (images, labels) in cifar100_files().items()
    }
    return files | {"meta": dump({"fine_label_names": HUNDRED, "coarse_label_names": TWENTY})}


def dump_python2(value) -> bytes:
    """Pickle as Python 2 with protocol 2 did: byte strings, NumPy's old module names."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str | bytes):
        content = value.encode() if isinstance(value, str) else value
        return b"T" + struct.pack("<i", len(content)) + content
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + 2 * _python2(-1) + b"K\x00tb"
    shape = b"(" + b"".join(map(_python2, value.shape)) + b"t"
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01" + shape + dtype + b"\x89" + _python2(value.tobytes()) + b"tb"
    )


def dump_python3(value) -> bytes:
    return pickle.dumps(value, protocol=4)


def dump_python3_old_protocol(value) -> bytes:
    return pickle.dumps(value, protocol=2)


def dump_python3_new_protocol(value) -> bytes:
    return pickle.dumps(value, protocol=5)


def write_folder(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, contents: dict[str, bytes], folder: str = "cifar/") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
