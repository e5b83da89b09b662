"""Networks by name: "resnet32", "plain3"."""

from __future__ import annotations

import re
from typing import Any

from fcpts_ref.architectures.plain import plain
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph


def architecture(
    name: str,
    *,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    shortcut: str = "A",
) -> Graph:
    """Return the named graph: resnetN for a depth N = 6n + 2, or plainN for N convolutions.

    Raises InputError for another name.
    """
    found = re.fullmatch(r"(resnet|plain)([1-9]\d{0,3})", name)
    if not found:
        raise InputError(
            f"unknown architecture {name!r}; expected resnetN with N = 6n + 2, such as resnet20, "
            "resnet32 or resnet56, or plainN with N convolutions"
        )
    number = int(found[2])
    settings: dict[str, Any] = {"classes": classes, "input_shape": input_shape}
    if found[1] == "resnet":
        return resnet(number, shortcut=shortcut, **settings)  # type: ignore[arg-type]
    return plain(widths=tuple(16 * 2**i for i in range(number)), **settings)
