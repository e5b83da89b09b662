"""Networks for images of 224 x 224 pixels, by the name that ``--network`` takes.

ResNet-18 and ResNet-50 (He, Zhang, Ren and Sun, 2015; stride in the 3 x 3 convolution of a
bottleneck), MobileNetV2 (Sandler et al., 2018) and ViT-B/32 (Dosovitskiy et al., 2021), with 1000
classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.graphs.graph import IMAGES, LOGITS, Graph, Node

CLASSES = 1000
PIXELS = 224


class Chain:
    """Nodes that are added one after the other; ``last`` is the value that the next one reads."""

    def __init__(self) -> None:
        self.nodes = [Node("normalise", "normalise", (IMAGES,), {"channels": 3})]
        self.last, self.channels = "normalise", 3

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """A node, named by its place; without inputs it reads the last value."""
        name = f"{operation}{len(self.nodes)}"
        self.nodes.append(Node(name, operation, inputs or (self.last,), attributes))
        self.last = name
        return name

    def convolve(
        self, channels: int, kernel: int, stride: int = 1, *, groups: int = 1, activation: str = ""
    ) -> str:
        """Convolution, batch norm, and an activation if one is named."""
        self.add(
            "convolution", in_channels=self.channels, out_channels=channels, kernel=kernel,
            stride=stride, padding=kernel // 2, groups=groups, bias=False,
        )  # fmt: skip
        self.channels = channels
        self.add("batch_norm", channels=channels)
        return self.add(activation) if activation else self.last

    def graph(self, name: str) -> Graph:
        """The network with a classifier behind the last value."""
        self.add("global_average_pool")
        self.add("linear", in_features=self.channels, out_features=CLASSES, bias=True)
        shape = (3, PIXELS, PIXELS)
        return Graph(name, {IMAGES: shape}, tuple(self.nodes), {LOGITS: self.last})


def resnet(name: str, depths: tuple[int, ...], expansion: int) -> Graph:
    """expansion: 1 for basic blocks, 4 for bottlenecks."""
    chain = Chain()
    chain.convolve(64, 7, 2, activation="relu")
    chain.add("max_pool", kernel=3, stride=2, padding=1)
    for stage, depth in enumerate(depths):
        for block in range(depth):
            _residual_block(chain, 64 * 2**stage, 2 if stage and not block else 1, expansion)
    return chain.graph(name)


def _residual_block(chain: Chain, width: int, stride: int, expansion: int) -> None:
    source, channels = chain.last, chain.channels
    if expansion == 1:
        chain.convolve(width, 3, stride, activation="relu")
        branch = chain.convolve(width, 3)
    else:
        chain.convolve(width, 1, activation="relu")
        chain.convolve(width, 3, stride, activation="relu")
        branch = chain.convolve(width * expansion, 1)
    shortcut = source
    if stride != 1 or channels != width * expansion:
        chain.last, chain.channels = source, channels
        shortcut = chain.convolve(width * expansion, 1, stride)
    chain.add("add", branch, shortcut)
    chain.add("relu")


def mobilenet_v2() -> Graph:
    """Width 1; (expansion, channels, blocks, stride) of every stage as in table 2."""
    chain = Chain()
    chain.convolve(32, 3, 2, activation="relu6")
    stages = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
        (6, 160, 3, 2), (6, 320, 1, 1),
    )  # fmt: skip
    for expansion, channels, blocks, first in stages:
        for block in range(blocks):
            source, before = chain.last, chain.channels
            stride, hidden = first if block == 0 else 1, before * expansion
            if expansion > 1:
                chain.convolve(hidden, 1, activation="relu6")
            chain.convolve(hidden, 3, stride, groups=hidden, activation="relu6")
            branch = chain.convolve(channels, 1)
            if stride == 1 and before == channels:
                chain.add("add", branch, source)
    chain.convolve(1280, 1, activation="relu6")
    return chain.graph("mobilenet_v2")


NETWORKS: dict[str, Callable[[], Graph]] = {
    "resnet18": lambda: resnet("resnet18", (2, 2, 2, 2), 1),
    "resnet50": lambda: resnet("resnet50", (3, 4, 6, 3), 4),
    "mobilenet_v2": mobilenet_v2,
    "vit_b_32": lambda: architecture("vit_b_32"),
}
