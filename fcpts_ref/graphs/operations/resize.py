"""The row of resizing."""

from __future__ import annotations

from collections.abc import Sequence

from fcpts_ref.graphs.operations.attributes import Attribute, choice, number, numbers, sizes
from fcpts_ref.graphs.operations.operation import (
    Attributes,
    Operation,
    Shape,
    image_shape,
    simple,
)
from fcpts_ref.layers.resize import (
    COORDINATES,
    MODES,
    NEAREST,
    check_sizes,
    resize_backward,
    resize_forward,
)

ATTRIBUTES = {
    "size": Attribute(sizes),
    "mode": Attribute(choice(*MODES), "nearest"),
    "coordinate_transformation_mode": Attribute(choice(*COORDINATES), "half_pixel"),
    "nearest_mode": Attribute(choice(*NEAREST), "round_prefer_floor"),
    "scales": Attribute(numbers, ()),
    "roi": Attribute(numbers, ()),
    "extrapolation_value": Attribute(number, 0.0),
}


def _shape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    C, H, W = image_shape(inputs[0])
    check_sizes((1, C, H, W), *(attributes[name] for name in ("size", "scales", "roi")))
    return (C, *attributes["size"])


RESIZE = Operation(*simple(resize_forward, resize_backward), ATTRIBUTES, _shape)
