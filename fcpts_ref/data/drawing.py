"""Pictures with boxes, side by side, for looking at a detector's work."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.data.pictures import Files, pillow
from fcpts_ref.data.prepared import PreparedImages, read_picture
from fcpts_ref.detection.boxes import Detections, Objects
from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import check_writable, describe_failure, write_atomically

LEAST_SHOWN = 0.3
"""The least score of a detection that is drawn."""
GAP, HEADING = 8, 16
"""Pixels between two pictures, and above them for their name."""
LEAST_WIDTH = 256
"""Narrower pictures are enlarged by a whole factor, so that names and scores can be read."""


def check_drawable(folder: Path | str) -> None:
    """Raise InputError unless pictures can be written to the folder, and without Pillow.

    The folder may be absent, and then still is.
    """
    pillow()
    folder = Path(folder)
    absent = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        _make(folder)
        check_writable(folder / "picture.png")
    finally:
        for one in absent:
            with contextlib.suppress(OSError):
                one.rmdir()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(describe_failure(f"cannot make {folder}", error)) from error


def draw_side_by_side(
    folder: Path | str,
    images: PreparedImages,
    place: int,
    boxes: Mapping[str, Detections | Objects],
    classes: Sequence[str],
) -> Path:
    """Write one picture per set of boxes, side by side, as a PNG file; return its path.

    place: of the picture among the images; it is drawn in its own size, or enlarged.  boxes: by the
    name that is written above, in shares of the picture; detections below LEAST_SHOWN are left out.
    classes: the names of the labels from 1.
    Raises InputError if the picture cannot be read or the file not written.
    """
    Image = pillow()
    index = int(images.chosen[place])
    picture = read_picture(images.source, index)  # (H, W, C)
    if picture.dtype != np.uint8:
        picture = np.rint(picture * 255).astype(np.uint8)
    elif images.scale != 255:
        picture = (picture.astype(np.uint16) * 255 // images.scale).astype(np.uint8)
    plain = Image.fromarray(picture if picture.shape[2] == 3 else picture[..., 0]).convert("RGB")
    factor = -(-LEAST_WIDTH // plain.width)
    if factor > 1:
        plain = plain.resize(
            (plain.width * factor, plain.height * factor), Image.Resampling.NEAREST
        )
    W, H = plain.size
    sheet = Image.new("RGB", (len(boxes) * (W + GAP) - GAP, H + HEADING), "white")
    for number, (name, some) in enumerate(boxes.items()):
        left = number * (W + GAP)
        sheet.paste(_drawn(plain, some, classes), (left, HEADING))
        _pencil(sheet).text((left + 2, 2), name, fill="black")
    named = images.source.paths[index].stem if isinstance(images.source, Files) else f"{index:06}"
    _make(Path(folder))
    path = Path(folder) / f"{named}.png"
    write_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))
    return path


def _pencil(picture: Any) -> Any:
    from PIL import ImageDraw

    return ImageDraw.Draw(picture)


def _drawn(plain: Any, boxes: Detections | Objects, classes: Sequence[str]) -> Any:
    """Return a copy of the picture with the boxes and their classes."""
    picture = plain.copy()
    pencil, (W, H) = _pencil(picture), picture.size
    scores = boxes.scores if isinstance(boxes, Detections) else np.ones(len(boxes))
    for box, score, label in zip(boxes.boxes, scores, boxes.labels, strict=True):
        if score < LEAST_SHOWN:
            continue
        left, top, right, bottom = np.clip(box, 0, 1) * [W - 1, H - 1, W - 1, H - 1]
        if left >= right or top >= bottom:  # outside the picture
            continue
        hue = (int(label) * 67) % 360
        text = classes[int(label) - 1]
        text += f" {score:.2f}" if isinstance(boxes, Detections) else ""
        pencil.rectangle((left, top, right, bottom), outline=f"hsl({hue}, 100%, 50%)", width=2)
        place = (left + 3, top + 2)
        pencil.rectangle(pencil.textbbox(place, text), fill="white")  # readable on any picture
        pencil.text(place, text, fill="black")
    return picture
