"""Networks by name: "resnet32", "plain3", "mobilenet_v2"."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fcpts_ref.architectures import (
    efficientnet_lite,
    mobilenet_v1,
    mobilenet_v2,
    plain,
    regnet,
    resnet,
    resnet_imagenet,
    ssd,
    vgg,
    vision_transformer,
)
from fcpts_ref.architectures.blocks import WIDTHS
from fcpts_ref.architectures.layouts import Layout
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph, Shape

CIFAR_IMAGES = {"classes": 10, "input_shape": (3, 32, 32)}
Variants = Callable[[Mapping[str, Shape]], Iterator[dict[str, Any]]]


def scaled(shapes: Mapping[str, Shape]) -> Iterator[dict[str, Any]]:
    """Yield the width multipliers of published networks."""
    yield {}
    for width in WIDTHS:
        yield {"width": width}


@dataclass(frozen=True)
class Architecture:
    """A row of ``ARCHITECTURES``.

    build: the function that returns the graph.  layouts: how other programs store it.
    settings: the arguments of ``build`` that make it this architecture, and its defaults.
    variants: further arguments to try, given the shapes of a checkpoint's arrays by our names.
    """

    build: Callable[..., Graph]
    layouts: tuple[Layout, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    variants: Variants = scaled

    def graph(self, **settings: Any) -> Graph:
        """Build the graph; settings that are None count as not given."""
        given = {name: value for name, value in settings.items() if value is not None}
        return self.build(**{**self.settings, **given})


ARCHITECTURES: dict[str, Architecture] = {
    **{
        f"resnet{depth}": Architecture(
            resnet_imagenet.resnet_imagenet, resnet_imagenet.LAYOUTS, {"depth": depth}
        )
        for depth in resnet_imagenet.DEPTHS
    },
    "resnet18_cifar": Architecture(
        resnet_imagenet.resnet_imagenet,
        resnet_imagenet.CIFAR_LAYOUTS,
        {"depth": 18, "stem": "cifar", **CIFAR_IMAGES},
    ),
    "vgg16_bn_cifar": Architecture(vgg.vgg16_bn, vgg.LAYOUTS),
    "mobilenet_v1": Architecture(mobilenet_v1.mobilenet_v1, mobilenet_v1.LAYOUTS),
    "mobilenet_v1_cifar": Architecture(
        mobilenet_v1.mobilenet_v1, mobilenet_v1.CIFAR_LAYOUTS, {"stem": "cifar", **CIFAR_IMAGES}
    ),
    "mobilenet_v2": Architecture(mobilenet_v2.mobilenet_v2, mobilenet_v2.LAYOUTS),
    "mobilenet_v2_cifar": Architecture(
        mobilenet_v2.mobilenet_v2, mobilenet_v2.CIFAR_LAYOUTS, {"stem": "cifar", **CIFAR_IMAGES}
    ),
    "regnet_x_200mf": Architecture(regnet.regnet_x, (regnet.PYCLS, regnet.TIMM), {"size": "200mf"}),
    "regnet_x_400mf": Architecture(regnet.regnet_x, (regnet.PYCLS, regnet.TIMM), {"size": "400mf"}),
    "regnet_x_400mf_torchvision": Architecture(
        regnet.regnet_x, (regnet.TORCHVISION, regnet.TIMM), {"size": "400mf_torchvision"}
    ),
    "efficientnet_lite0": Architecture(
        efficientnet_lite.efficientnet_lite0, efficientnet_lite.LAYOUTS
    ),
    "efficientnet_lite0_symmetric": Architecture(
        efficientnet_lite.efficientnet_lite0,
        efficientnet_lite.SYMMETRIC_LAYOUTS,
        {"padding": "symmetric", "epsilon": 1e-5},
    ),
    **{
        size: Architecture(
            vision_transformer.vision_transformer,
            vision_transformer.LAYOUTS[size[:5]],
            {"size": size},
            vision_transformer.image_sizes,
        )
        for size in vision_transformer.SIZES
    },
    "mobilenet_v1_ssd": Architecture(ssd.mobilenet_v1_ssd, ssd.LAYOUTS, variants=ssd.variants),
    "mobilenet_v2_ssd_lite": Architecture(
        ssd.mobilenet_v2_ssd_lite, ssd.LAYOUTS, variants=ssd.variants
    ),
}
"""The architectures that have one depth; CIFAR's resnetN and plainN are made from N."""


def find_architecture(name: str) -> Architecture:
    """Return the row of a name: one of ``ARCHITECTURES``, resnetN of CIFAR (N = 6n + 2), or plainN.

    resnet50 is the one for ImageNet; resnet50_cifar has depth 50 = 6n + 2.
    Raises InputError for another name.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if found := re.fullmatch(r"plain([1-9]\d{0,3})", name):
        widths = tuple(16 * 2**i for i in range(int(found[1])))
        return Architecture(plain.plain, plain.LAYOUTS, {"widths": widths}, plain.variants)
    if found := re.fullmatch(r"resnet([1-9]\d{0,3})(?:_cifar)?", name):
        depth = {"depth": int(found[1])}
        return Architecture(resnet.resnet, resnet.LAYOUTS, depth, resnet.variants)
    raise InputError(
        f"unknown architecture {name!r}; expected one of {', '.join(ARCHITECTURES)}, resnetN "
        "with N = 6n + 2 for CIFAR, such as resnet20, resnet32 or resnet56, or plainN with N "
        "convolutions"
    )


def architectures_for(names: Collection[str]) -> Iterator[tuple[str, Architecture]]:
    """Yield name and row of every architecture that a checkpoint with these names may hold.

    Those of any depth are looked for at the depth that the names show.
    """
    yield from ARCHITECTURES.items()
    blocks = sum(re.fullmatch(r"layer1\.\d+\.conv1\.weight", name) is not None for name in names)
    if blocks:
        depth = 6 * blocks + 2
        name = f"resnet{depth}_cifar" if f"resnet{depth}" in ARCHITECTURES else f"resnet{depth}"
        yield name, find_architecture(name)
    convolutions = sum(re.fullmatch(r"conv\d+\.weight", name) is not None for name in names)
    if convolutions:
        yield f"plain{convolutions}", find_architecture(f"plain{convolutions}")


def architecture(
    name: str,
    *,
    classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    shortcut: str | None = None,
) -> Graph:
    """Return the named graph: one of ``ARCHITECTURES``, CIFAR's resnetN (N = 6n + 2), or plainN.

    classes, input_shape: by default those of the data set that the architecture was made for.
    shortcut: of CIFAR's resnetN, by default "A".
    Raises InputError for another name, and for a shortcut where there is no choice.
    """
    row = find_architecture(name)
    if shortcut is not None and row.build is not resnet.resnet:
        raise InputError(
            f"shortcut is {shortcut!r}; expected none for {name}: only CIFAR's resnetN has a choice"
        )
    return row.graph(classes=classes, input_shape=input_shape, shortcut=shortcut)
