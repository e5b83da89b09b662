"""Calibration pictures at 224 pixels: memory and speed of one pass over a folder of 10,240.

The pass is that of an epoch of FCPTS: random resized crops in a random order, in batches of 64,
decoded in the background.  The folder holds 64 JPEG pictures of 500x375 pixels under 10,240
names.  Memory is counted above what stands before the pass.  Linux only, as ``bench.memory``.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench.memory import _status
from fcpts_ref.data.augmentation import draw_views
from fcpts_ref.data.folder import read_folder
from fcpts_ref.data.prepared import PreparedImages
from fcpts_ref.data.preprocessing import PRESETS

COUNT, DIFFERENT, SIZE = 10_240, 64, (500, 375)
BATCH = 64


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Measure and print; MiB and images a second."""
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), arguments.seed)
        data = read_folder(Path(folder))
        images = data.prepare(data.train, preprocessing=PRESETS["fcpts"], threads=arguments.threads)
        peak, seconds = measured(images, arguments.seed)
    results = {
        "images": len(images),
        "peak_mib": peak,
        "as_floats_mib": 4 * float(np.prod(images.shape)) / 2**20,
        "images_per_second": len(images) / seconds,
    }
    print(f"{len(images):,} pictures, {arguments.threads} threads")
    print(f"peak of the pass       {peak:8.0f} MiB")
    print(f"all of them as floats  {results['as_floats_mib']:8.0f} MiB")
    print(f"speed                  {results['images_per_second']:8.0f} images/s")
    return results


def make_folder(folder: Path, seed: int) -> None:
    """Write the pictures: smooth colours and some noise, as large in files as photographs."""
    generator = np.random.default_rng(seed)
    for number in range(COUNT):
        path = folder / f"{number:05}.jpg"
        if number >= DIFFERENT:
            os.link(folder / f"{number % DIFFERENT:05}.jpg", path)
            continue
        coarse = generator.integers(0, 256, (30, 40, 3)).astype(np.uint8)
        smooth = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        noise = generator.integers(-12, 13, (SIZE[1], SIZE[0], 3))
        noisy = np.clip(np.asarray(smooth).astype(int) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(path, quality=90)


def measured(images: PreparedImages, seed: int) -> tuple[float, float]:
    """Return the peak of the pass in MiB above the start, and its seconds."""
    generator = np.random.default_rng(seed)
    views = draw_views("resized-crop-flip", len(images), images.shape[2:], generator)
    order = generator.permutation(len(images))
    seen = images.seen(views)
    seen[order[:BATCH]]  # imports the decoders
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before, begun = _status("VmRSS"), time.perf_counter()
    for batch in seen.batches(order[i : i + BATCH] for i in range(0, len(order), BATCH)):
        assert 0 <= batch.min() <= batch.max() <= 1
    return (_status("VmHWM") - before) / 1024, time.perf_counter() - begun
