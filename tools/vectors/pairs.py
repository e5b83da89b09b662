"""Cases of layers: a group with its usual notes, and pairs of forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tools.vectors.draw import Draw
from tools.vectors.suite import Group, operations_of

Inputs = Callable[[Draw], dict[str, Any]]
BACKWARD = 100  # a backward case has its forward case's number plus this


def make_layer_group(derivations: ModuleType, name: str, title: str, **rules: str) -> Group:
    """Make a group without cases; rules: by operation, whose derivation has the same name."""
    group = Group(name, title, f"Layer {name}", operations_of(derivations, **rules))
    group.note(
        "EDGE",
        why="Sizes of 1, windows of the whole image, strides that leave pixels over.",
        effect="Shapes that real networks have at their last stages crash or read out of bounds.",
    )
    group.note(
        "REJECT",
        why="Bad input that computes something would hide the mistake that made it.",
        effect="Wrong shapes broadcast silently into wrong numbers.",
    )
    return group


def add_pair(
    group: Group,
    number: int,
    name: str,
    comment: str,
    inputs: Inputs,
    *,
    cotangent: str = "dy",
    **details: Any,
) -> None:
    """Add a forward case, and its backward case with a random cotangent of the output's shape."""
    group.add(number, f"{name}_forward", comment, inputs, **details)
    expected = next(iter(group.cases[-1]["outputs"].values()))["value"]
    shape = tuple(expected["shape"])
    details.pop("rules", None)

    def with_cotangent(draw: Draw) -> Mapping[str, Any]:
        drawn = inputs(draw)
        up: Any = draw.weights(*shape) if shape else 1.375
        return {cotangent: up} | drawn

    group.add(number + BACKWARD, f"{name}_backward", comment, with_cotangent, **details)
