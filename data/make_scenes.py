"""Make a detection data set in Pascal VOC's layout: the embedded digits, placed in scenes.

    python data/make_scenes.py FOLDER --train 2000 --test 500

Each scene is a textured background of one colour with one to four digits of another colour, of 18
to 60 pixels, which hardly overlap.  Training digits come from the training images of digits.h5 and
test digits from its test images; both are seeded.  Needs Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.sources import find_dataset
from fcpts_ref.data.split import Split

Array = NDArray[Any]

SIDE, LEAST, MOST = 96, 18, 60  # pixels of a scene, of the smallest and of the largest digit
DIGITS = 4  # at most, in a scene
ATTEMPTS = 20  # to place a digit beside the others
GRAIN = 12.0  # standard deviation of the background's noise, in grey levels
CONTRAST = 80  # least distance of the colours, in grey levels


def main() -> None:
    """Read the options and write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    digits = find_dataset("digits", None)
    generator = np.random.default_rng(arguments.seed)
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (arguments.folder / part).mkdir(parents=True, exist_ok=True)
    (arguments.folder / "labels.txt").write_text("\n".join(digits.label_names) + "\n")
    for name, split, count in (
        ("trainval", digits.train, arguments.train),
        ("test", digits.test, arguments.test),
    ):
        names = [f"{name}_{number:05}" for number in range(count)]
        for one in names:
            write_scene(arguments.folder, one, digits, split, generator)
        (arguments.folder / "ImageSets" / "Main" / f"{name}.txt").write_text(
            "".join(f"{one}\n" for one in names)
        )


def write_scene(
    folder: Path, name: str, digits: Dataset, split: Split, generator: np.random.Generator
) -> None:
    """Draw one scene and write its picture and its annotation."""
    paper, ink = draw_colours(generator)
    scene = paper + GRAIN * generator.standard_normal((SIDE, SIDE, 1))
    taken = np.zeros((SIDE, SIDE), bool)
    objects = []
    for _ in range(int(generator.integers(1, DIGITS + 1))):
        side = int(generator.integers(LEAST, MOST + 1))
        index = int(generator.integers(len(split)))
        place = free_place(taken, side, generator)
        if place is None or split.labels is None:
            continue
        cover = stretched(split.images[index, 0] / digits.scale, side)[..., np.newaxis]
        top, left = place
        part = np.s_[top : top + side, left : left + side]
        scene[part] = cover * ink + (1 - cover) * scene[part]
        taken[part] = True
        objects.append((digits.label_names[split.labels[index]], *tight(cover[..., 0], top, left)))
    picture = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    picture.save(folder / "JPEGImages" / f"{name}.png")
    (folder / "Annotations" / f"{name}.xml").write_text(annotation(objects))


def draw_colours(generator: np.random.Generator) -> tuple[Array, Array]:
    """Return two colours (3,) whose brightness differs."""
    while True:
        paper, ink = generator.integers(20, 236, (2, 3)).astype(float)
        if abs(paper.mean() - ink.mean()) >= CONTRAST:
            return paper, ink


def free_place(taken: Array, side: int, generator: np.random.Generator) -> tuple[int, int] | None:
    """Return the corner of a free square, or None if none was found."""
    for _ in range(ATTEMPTS):
        top, left = generator.integers(0, SIDE - side + 1, 2).tolist()
        if not taken[top : top + side, left : left + side].any():
            return top, left
    return None


def stretched(digit: Array, side: int) -> Array:
    """Return a digit (8, 8) from 0 to 1 in another size, (side, side)."""
    grey = Image.fromarray(np.rint(digit * 255).astype(np.uint8))
    return np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC)) / 255.0


def tight(cover: Array, top: int, left: int) -> tuple[int, int, int, int]:
    """Return xmin, ymin, xmax, ymax of the ink, counted from 1."""
    rows, columns = np.flatnonzero(cover.max(axis=1) > 0.3), np.flatnonzero(cover.max(axis=0) > 0.3)
    return left + columns[0] + 1, top + rows[0] + 1, left + columns[-1] + 1, top + rows[-1] + 1


def annotation(objects: list[tuple[Any, ...]]) -> str:
    """Return the XML text."""
    parts = [f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"]
    for name, *sides in objects:
        named = zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True)
        box = "".join(f"<{side}>{value}</{side}>" for side, value in named)
        parts.append(f"<object><name>{name}</name><bndbox>{box}</bndbox></object>")
    return "<annotation>\n" + "\n".join(parts) + "\n</annotation>\n"


if __name__ == "__main__":
    main()
