"""Preprocessing: how a network's input is made from a picture of any size.

A picture is resized, cropped at its centre, and divided by 255.  The network subtracts the mean and
divides by the standard deviation itself, in its first node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fcpts_ref.errors import InputError
from fcpts_ref.storage.json_files import as_json
from fcpts_ref.storage.records import check_record, record_from_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MAX_SIDE = 8192  # pixels
STRETCHED = 0
"""In place of the shorter side: width and height are resized independently, and nothing is cut."""
STRETCH = "stretch"
"""Its name in "stretch/300/bilinear"."""
KEY = "preprocessing"
"""The name in the provenance of a network's file under which its preprocessing is stored."""


@dataclass(frozen=True)
class Preprocessing:
    """The steps from a picture to the input of a network, checked on construction.

    resize: pixels of the shorter side after resizing; None leaves the size, and STRETCHED resizes
        the whole picture to the square, whatever its shape.
    crop: pixels of each side of the square that is cut from the centre.
    filter: of the resizing, as in Pillow, which averages over several pixels when it shrinks.
    scale, mean, std: a pixel value v becomes (v / scale - mean) / std, per channel in the order
        RGB.
    order: in which the network reads the channels.
    Raises InputError for numbers that cannot be.
    """

    resize: int | None
    crop: int
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    scale: float = 255
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    order: Literal["RGB", "BGR"] = "RGB"

    def __post_init__(self) -> None:
        check_record(self, KEY)
        resized = None if self.resize == STRETCHED else self.resize
        sides = [side for side in (resized, self.crop) if side is not None]
        if not all(1 <= side <= MAX_SIDE for side in sides):
            raise InputError(
                f"preprocessing resizes to {self.resize} and crops to {self.crop}; expected 1 to "
                f"{MAX_SIDE} pixels"
            )
        if not (self.scale > 0 and self.std and min(self.std) > 0 and self.mean):
            raise InputError(
                f"preprocessing has scale {self.scale}, mean {self.mean} and std {self.std}; "
                "expected scale and std above 0"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of the network's input."""
        return 3, self.crop, self.crop

    @property
    def constants(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation for inputs in [0, 1], in the network's order of channels."""
        share, step = self.scale / 255, -1 if self.order == "BGR" else 1
        mean, std = (tuple(number * share for number in n[::step]) for n in (self.mean, self.std))
        return mean, std

    def __str__(self) -> str:
        """A text such as "resize 256, crop 224, bilinear"."""
        if self.resize == STRETCHED:
            return ", ".join(
                [f"stretch to {self.crop}", self.filter] + ["BGR"] * (self.order == "BGR")
            )
        parts = [] if self.resize is None else [f"resize {self.resize}"]
        parts += [f"crop {self.crop}", self.filter]
        return ", ".join(parts + ["BGR"] * (self.order == "BGR"))


PRESETS: dict[str, Preprocessing] = {
    "torchvision": Preprocessing(256, 224),  # ResNet, MobileNetV2, RegNet (V1 weights), ViT-B
    "torchvision-v2": Preprocessing(232, 224),  # V2 weights of these convolutional networks
    "torchvision-vit-l": Preprocessing(242, 224),
    "pycls": Preprocessing(256, 224, order="BGR"),
    "timm": Preprocessing(256, 224, "bicubic"),  # its RegNetX of pycls, mobilenetv2_100
    "timm-vit": Preprocessing(248, 224, "bicubic", mean=(0.5,) * 3, std=(0.5,) * 3),
    "timm-deit": Preprocessing(248, 224, "bicubic"),
    "fcpts": Preprocessing(224, 224),  # the released evaluation of FCPTS
    "tensorflow": Preprocessing(256, 224, mean=(0.5,) * 3, std=(0.5,) * 3),  # its MobileNets
    "efficientnet-lite0": Preprocessing(
        256, 224, "bicubic", scale=1, mean=(127.0,) * 3, std=(128.0,) * 3
    ),
    "ssd": Preprocessing(STRETCHED, 300, scale=1, mean=(127.0,) * 3, std=(128.0,) * 3),
}
"""Preprocessing by name: what the public checkpoints of these projects were evaluated with.

pycls and qfgaohao/pytorch-ssd (ssd) resize by OpenCV's bilinear filter, which reads only four
pixels; here it is Pillow's.
"""


def preprocessing(text: str) -> Preprocessing:
    """Return the preprocessing of a name, or of numbers such as "256/224" or "256/224/bicubic".

    "stretch" in place of the first number resizes the whole picture to the square.  The numbers are
    those of resizing and cropping, after which ImageNet's mean and standard
    deviation are used.  Raises InputError for anything else.
    """
    if text in PRESETS:
        return PRESETS[text]
    parts = text.split("/")
    options: dict[str, Any] = {}
    for word in parts[2:]:
        options["order" if word in ("RGB", "BGR") else "filter"] = word
    try:
        resize = STRETCHED if parts[0] == STRETCH else _positive(int(parts[0]))
        return Preprocessing(resize, int(parts[1]), **options)
    except (ValueError, IndexError) as error:
        reason = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"preprocessing {text[:80]!r}; expected one of {', '.join(PRESETS)}, or numbers such "
            f"as 256/224/bilinear (resize/crop/filter) or stretch/300{reason}"
        ) from error


def _positive(side: int) -> int:
    if side < 1:
        raise InputError(f"resizes to {side}; expected 1 to {MAX_SIDE} pixels")
    return side


def channel_numbers(text: str, what: str) -> tuple[float, ...]:
    """Return numbers such as "0.49,0.48,0.45", one or one per channel, for ``what``."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{what} {text[:80]!r}; expected a number, or one for each channel: 0.49,0.48,0.45"
        ) from error


def with_numbers(known: Preprocessing, mean: str | None, std: str | None) -> Preprocessing:
    """Return the preprocessing with another mean and std, for images in [0, 1], if given."""
    changes: dict[str, Any] = {}
    for name, text in (("mean", mean), ("std", std)):
        if text is not None:
            changes[name] = tuple(n * 255 / known.scale for n in channel_numbers(text, name))
    return replace(known, **changes)


def stored_preprocessing(provenance: Mapping[str, Any]) -> Preprocessing | None:
    """Return the preprocessing in a network's provenance, or None.  Raises InputError if bad."""
    if provenance.get(KEY) is None:
        return None
    return record_from_json(Preprocessing, provenance[KEY], KEY)


def as_provenance(known: Preprocessing | None) -> dict[str, Any]:
    """Return the entry for a network's provenance that ``stored_preprocessing`` reads."""
    return {} if known is None else {KEY: as_json(asdict(known))}
