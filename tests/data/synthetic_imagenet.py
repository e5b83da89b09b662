"""A tiny ImageNet in its official layout: class folders, a flat validation folder, the devkit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from picture_files import Image, pixels

IDS = ("n01440764", "n01494475", "n01530575")


def save_jpeg(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (40 + seed % 9, 52 - seed % 11)
    Image.fromarray(pixels(seed, *size)).save(path, "jpeg")


def make_imagenet(root: Path, *, per_class: int = 3, validation: int = 6) -> Path:
    """Write it; the class of validation picture i is i % 3, under another number in the kit."""
    for number, name in enumerate(IDS):
        for k in range(per_class):
            save_jpeg(root / "train" / name / f"{name}_{k}.JPEG", 10 * number + k)
    for i in range(1, validation + 1):
        save_jpeg(root / "val" / f"ILSVRC2012_val_{i:08}.JPEG", 100 + i)
    write_devkit(root, [IDS[i % 3] for i in range(1, validation + 1)])
    return root


def write_devkit(root: Path, labels: list[str]) -> None:
    from scipy.io import savemat

    data = root / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True, exist_ok=True)
    numbers = {name: len(IDS) - place for place, name in enumerate(IDS)}
    truth = "".join(f"{numbers[name]}\n" for name in labels)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array([(numbers[name], name, "words") for name in IDS], dtype=fields)
    savemat(data / "meta.mat", {"synsets": synsets}, do_compression=True)
