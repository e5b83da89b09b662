"""Resizing and cropping by Pillow, equal to torchvision's transforms to the last bit.

The formulas of sizes and boxes are those of torchvision.transforms: Resize, CenterCrop,
RandomResizedCrop and RandomHorizontalFlip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.pictures import pillow

Array = NDArray[Any]
Box = tuple[int, int, int, int]  # top, left, height, width

AREAS = (0.08, 1.0)
"""The least and the greatest share of the area that a random crop covers."""
RATIOS = (3 / 4, 4 / 3)
"""The least and the greatest ratio of its width to its height."""
ATTEMPTS = 10
"""Draws of a box before the largest one at the centre is taken."""


def centre_view(picture: Array, resize: int | None, crop: int, filter: str) -> Array:
    """Return the square of side ``crop`` at the centre of the resized picture, (crop, crop, C).

    picture: (H, W, C), uint8 or floats in [0, 1].  resize: the new length of the shorter side,
    None for none.  A picture smaller than the crop is padded with black.
    """

    def change(plane: Any) -> Any:
        W, H = plane.size
        if resize is not None and min(W, H) != resize:
            short, long = sorted((W, H))
            scaled = int(resize * long / short)
            W, H = (resize, scaled) if W <= H else (scaled, resize)
            plane = plane.resize((W, H), _filter(filter))
        left, top = _offset(W, crop), _offset(H, crop)
        return plane.crop((left, top, left + crop, top + crop))

    return _changed(picture, change)


def stretched_view(picture: Array, size: tuple[int, int], filter: str) -> Array:
    """Return the whole picture (H, W, C), resized to ``size`` (H, W) whatever its shape."""
    return box_view(picture, (0, 0, *picture.shape[:2]), size, filter, mirror=False)


def box_view(picture: Array, box: Box, size: tuple[int, int], filter: str, mirror: bool) -> Array:
    """Return a box of the picture, resized to ``size`` (H, W) and mirrored if asked, (H, W, C)."""
    Image = pillow()
    top, left, height, width = box

    def change(plane: Any) -> Any:
        part = plane.crop((left, top, left + width, top + height))
        if part.size != size[::-1]:
            part = part.resize(size[::-1], _filter(filter))
        return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else part

    return _changed(picture, change)


def window_view(
    picture: Array, window: Array, size: tuple[int, int], filter: str, mirror: bool
) -> Array:
    """Return a window of the picture, resized to ``size`` (H, W) and mirrored if asked, (H, W, C).

    window: left, top, right, bottom, in shares of the picture.  Where it is outside the picture the
    view has the picture's mean colour, and the edge lies on the nearest pixel.
    """
    Image = pillow()
    left, top, right, bottom = (float(side) for side in window)
    (first, last), (upper, lower) = _span(size[1], left, right), _span(size[0], top, bottom)

    def change(plane: Any) -> Any:
        W, H = plane.size
        box = (W * max(left, 0), H * max(top, 0), W * min(right, 1), H * min(bottom, 1))
        seen = plane.resize((last - first, lower - upper), _filter(filter), box=box)
        if seen.size != size[::-1]:
            seen, part = Image.new(plane.mode, size[::-1], _mean_colour(plane)), seen
            seen.paste(part, (first, upper))
        return seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else seen

    return _changed(picture, change)


def _span(length: int, low: float, high: float) -> tuple[int, int]:
    """Return where the picture begins and ends in a view of a window's side, at least one pixel."""
    first, last = (
        round(length * min(max((edge - low) / (high - low), 0), 1)) for edge in (0.0, 1.0)
    )
    first = min(first, length - 1)
    return first, max(last, first + 1)


def _mean_colour(plane: Any) -> Any:
    """Return the mean of one of Pillow's pictures, a number or one for each channel."""
    mean = np.asarray(plane).mean(axis=(0, 1))
    if plane.mode == "F":
        return float(mean)
    return tuple(map(round, mean.tolist())) if mean.ndim else round(float(mean))


def random_box(H: int, W: int, generator: np.random.Generator) -> Box:
    """Draw a box of AREAS of the area of a picture and of a ratio in RATIOS, on a log scale."""
    for _ in range(ATTEMPTS):
        area = H * W * generator.uniform(*AREAS)
        ratio = math.exp(generator.uniform(math.log(RATIOS[0]), math.log(RATIOS[1])))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= W and 0 < height <= H:
            top = int(generator.integers(0, H - height + 1))
            left = int(generator.integers(0, W - width + 1))
            return top, left, height, width
    width, height = W, H
    if RATIOS[0] > W / H:
        height = min(round(W / RATIOS[0]), H)
    elif RATIOS[1] < W / H:
        width = min(round(H * RATIOS[1]), W)
    return (H - height) // 2, (W - width) // 2, height, width


def _offset(side: int, crop: int) -> int:
    """Return where a centred crop begins; below 0 if the side is shorter."""
    return round((side - crop) / 2.0) if side >= crop else -((crop - side) // 2)


def _filter(name: str) -> Any:
    return getattr(pillow().Resampling, name.upper())


def _changed(picture: Array, change: Callable[[Any], Any]) -> Array:
    """Apply ``change`` to a picture (H, W, C) as one of Pillow's; floats channel by channel."""
    Image = pillow()
    C = picture.shape[2]
    if picture.dtype == np.uint8 and C == 3:
        return np.asarray(change(Image.fromarray(picture)))
    planes = [np.ascontiguousarray(picture[:, :, c]) for c in range(C)]
    if picture.dtype != np.uint8:
        planes = [plane.astype(np.float32) for plane in planes]
    changed = [np.asarray(change(Image.fromarray(plane))) for plane in planes]
    stacked = np.stack(changed, axis=2)
    # Bicubic weights below 0 can lead a little out of the range.
    return stacked if picture.dtype == np.uint8 else np.clip(stacked, 0, 1).astype(picture.dtype)
