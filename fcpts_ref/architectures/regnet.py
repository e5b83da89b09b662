"""RegNetX-200MF and 400MF (Radosavovic et al., 2020).

Names are those of pycls: stem.conv, s1.b1.proj, s1.b1.f.a, s1.b1.f.a_bn, ..., head.fc.
"""

from __future__ import annotations

from fcpts_ref.architectures.blocks import ConvNorm
from fcpts_ref.architectures.layouts import Layout, renaming
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph

# name: (widths of the stages, blocks, channels of a group)
#
# The paper's rule makes the last stage of 400MF 392 wide, not a multiple of 16.  pycls rounds 24.5
# groups to even, 384; torchvision rounds it up, 400.
SIZES = {
    "200mf": ((24, 56, 152, 368), (1, 1, 4, 7), 8),
    "400mf": ((32, 64, 160, 384), (1, 2, 7, 12), 16),
    "400mf_torchvision": ((32, 64, 160, 400), (1, 2, 7, 12), 16),
}
STEM = 32
CONV = ConvNorm()


def regnet_x(
    size: str,
    *,
    classes: int = 1000,
    width: float = 1.0,
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> Graph:
    """Build the graph: a 3x3 convolution and four stages of bottlenecks, each of stride 2.

    size: a name in ``SIZES``.  width: a factor of all widths, rounded to whole groups.
    Raises InputError for another size.
    """
    if size not in SIZES:
        raise InputError(f"RegNetX of size {size!r}; expected one of {', '.join(SIZES)}")
    widths, counts, group = SIZES[size]
    net = GraphBuilder(f"regnet_x_{size}", input_shape)
    x = net.add("normalise", net.images)
    stem = max(1, round(width * STEM))
    x = CONV.add(net, x, "stem.conv", "stem.bn", stem, kernel=3, stride=2, activation="relu")
    for stage, (channels, count) in enumerate(zip(widths, counts, strict=True), start=1):
        out = max(1, round(width * channels / group)) * group
        for block in range(1, count + 1):
            x = _block(net, x, f"s{stage}.b{block}", out, group, 2 if block == 1 else 1)
    x = net.add("global_average_pool", x, name="head.avg_pool")
    return net.graph(net.add("linear", x, name="head.fc", out_features=classes))


def _block(net: GraphBuilder, x: str, name: str, width: int, group: int, stride: int) -> str:
    """1x1, grouped 3x3 with the stride, 1x1; added to the input, projected where shapes change."""
    f = f"{name}.f"
    y = CONV.add(net, x, f"{f}.a", f"{f}.a_bn", width, activation="relu")
    y = CONV.add(
        net,
        y,
        f"{f}.b",
        f"{f}.b_bn",
        width,
        kernel=3,
        stride=stride,
        groups=width // group,
        activation="relu",
    )
    y = CONV.add(net, y, f"{f}.c", f"{f}.c_bn", width)
    if net.shapes[x] != net.shapes[y]:
        x = CONV.add(net, x, f"{name}.proj", f"{name}.bn", width, stride=stride)
    return net.add("relu", net.add("add", x, y, name=f"{name}.add"), name=f"{name}.relu")


# timm turned the colours of the first layer round when it took the weights over.
PYCLS = Layout("pycls, ModelTC/FCPTS", channel_order="BGR", preprocess="pycls")
TIMM = Layout(
    "timm",
    renaming(
        (r"(s\d\.b\d+)\.proj", r"\1.downsample.conv"),
        (r"(s\d\.b\d+)\.bn", r"\1.downsample.bn"),
        *(
            (rf"(s\d\.b\d+)\.f\.{letter}{ending}", rf"\1.conv{number}.{part}")
            for number, letter in enumerate("abc", start=1)
            for ending, part in (("", "conv"), ("_bn", "bn"))
        ),
    ),
    preprocess="timm",
)


# torchvision numbers a stage's blocks from 0, and repeats the stage's number.
TORCHVISION = Layout(
    "torchvision",
    renaming(
        ("stem.conv", "stem.0"),
        ("stem.bn", "stem.1"),
        ("head.fc", "fc"),
        *(
            (
                rf"s{stage}\.b{block}\.{ours}",
                rf"trunk_output.block{stage}.block{stage}-{block - 1}.{theirs}",
            )
            for stage, count in enumerate(SIZES["400mf"][1], start=1)
            for block in range(1, count + 1)
            for ours, theirs in (
                ("proj", "proj.0"),
                ("bn", "proj.1"),
                (r"f\.([abc])", r"f.\1.0"),
                (r"f\.([abc])_bn", r"f.\1.1"),
            )
        ),
    ),
    preprocess="torchvision",
)
