"""Networks by name: "resnet32", "plain3", "mobilenet_v2"."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from fcpts_ref.architectures.mobilenet_v2 import mobilenet_v2
from fcpts_ref.architectures.plain import plain
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.architectures.resnet_imagenet import DEPTHS, resnet_imagenet
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph

ARCHITECTURES: dict[str, Callable[..., Graph]] = {
    **{f"resnet{depth}": partial(resnet_imagenet, depth) for depth in DEPTHS},
    "resnet18_cifar": partial(
        resnet_imagenet, 18, stem="cifar", classes=10, input_shape=(3, 32, 32)
    ),
    "mobilenet_v2": mobilenet_v2,
}
"""Functions that build the graphs, by name; resnetN and plainN of other N are made from N."""


def architecture(
    name: str,
    *,
    classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    shortcut: str = "A",
) -> Graph:
    """Return the named graph: one of ``ARCHITECTURES``, CIFAR's resnetN (N = 6n + 2), or plainN.

    classes, input_shape: by default those of the data set that the architecture was made for.
    shortcut: of CIFAR's resnetN.
    Raises InputError for another name.
    """
    given = {"classes": classes, "input_shape": input_shape}
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if name in ARCHITECTURES:
        return ARCHITECTURES[name](**settings)
    found = re.fullmatch(r"(resnet|plain)([1-9]\d{0,3})", name)
    if not found:
        raise InputError(
            f"unknown architecture {name!r}; expected one of {', '.join(ARCHITECTURES)}, resnetN "
            "with N = 6n + 2 for CIFAR, such as resnet20, resnet32 or resnet56, or plainN with N "
            "convolutions"
        )
    number = int(found[2])
    if found[1] == "resnet":
        return resnet(number, shortcut=shortcut, **settings)  # type: ignore[arg-type]
    return plain(widths=tuple(16 * 2**i for i in range(number)), **settings)
