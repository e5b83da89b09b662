"""Folders of small pictures in several formats, for the tests of pictures."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")


def pixels(seed: int, width: int = 12, height: int = 10) -> Any:
    """A smooth picture (height, width, 3) with some noise, which JPEG does not destroy."""
    generator = np.random.default_rng(seed)
    corners = generator.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))
    noise = generator.integers(-9, 10, smooth.shape)
    return np.clip(smooth.astype(int) + noise, 0, 255).astype(np.uint8)


def save(path: Path, seed: int = 0, width: int = 12, height: int = 10) -> Path:
    """Write a picture in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, width, height)).save(path)
    return path


def class_folders(root: Path, classes: tuple[str, ...], count: int, seed: int = 0) -> Path:
    """A folder of ``count`` pictures for each class, of sizes from 9 to 16 pixels."""
    for i, name in enumerate(classes):
        for k in range(count):
            number = seed + i * count + k
            save(root / name / f"{name}_{k}.png", number, 9 + number % 8, 16 - number % 7)
    return root


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
