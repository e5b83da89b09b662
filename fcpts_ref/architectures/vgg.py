"""VGG-16 with batch norm (Simonyan and Zisserman, 2014, configuration D).

Names are torchvision's: features.0, features.1, features.3, ..., classifier.0, classifier.3.
"""

from __future__ import annotations

from fcpts_ref.architectures.blocks import ConvNorm
from fcpts_ref.architectures.layouts import CIFAR, Layout
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph

# the widths of the 3x3 convolutions between two poolings
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CONV = ConvNorm(bias=True)


def vgg16_bn(
    *,
    classes: int = 10,
    width: float = 1.0,
    hidden: tuple[int, ...] = (512, 512),
    input_shape: tuple[int, int, int] = (3, 32, 32),
) -> Graph:
    """Build the graph: 13 convolutions with bias and batch norm, 2x2 max pooling after each stage.

    width: a factor of the convolutions' widths.  hidden: widths of the linear layers with ReLU
    before the last one; () for a single linear layer, named classifier.
    Raises InputError for images that cannot be halved five times.
    """
    if min(input_shape[1:]) < 2 ** len(STAGES):
        raise InputError(
            f"images of {input_shape[1]}x{input_shape[2]}; expected at least 32x32, which five "
            "poolings halve to one pixel"
        )
    net = GraphBuilder("vgg16_bn_cifar", input_shape)
    x, number = net.add("normalise", net.images), 0
    for widths in STAGES:
        for channels in widths:
            conv, norm = f"features.{number}", f"features.{number + 1}"
            out = max(1, round(width * channels))
            x = CONV.add(net, x, conv, norm, out, kernel=3, activation="relu")
            number += 3
        x = net.add("max_pool", x, name=f"features.{number}", kernel=2)
        number += 1
    x = net.add("flatten", x)
    for i, features in enumerate(hidden):
        x = net.add("linear", x, name=f"classifier.{3 * i}", out_features=features)
        x = net.add("relu", x, name=f"classifier.{3 * i + 1}")
    last = f"classifier.{3 * len(hidden)}" if hidden else "classifier"
    return net.graph(net.add("linear", x, name=last, out_features=classes))


LAYOUTS = (
    Layout("chenyaofo/pytorch-cifar-models", settings={"hidden": (512, 512)}, normalise=CIFAR),
    Layout("kuangliu/pytorch-cifar", settings={"hidden": ()}, normalise=CIFAR),
)
