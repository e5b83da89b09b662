"""Vision transformers (Dosovitskiy et al., 2021; DeiT: Touvron et al., 2021), before-norm.

Names are torchvision's: conv_proj, class_token, encoder.layers.encoder_layer_0.self_attention.
The queries, keys and values of a layer are one matrix, ``in_proj``, with their rows in this order:
a layer like any other, so that it is pruned (torchvision has a bare parameter there).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fcpts_ref.architectures.layouts import Layout, renaming
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph, Shape

EPSILON = 1e-6  # of every layer norm, in torchvision and timm
END = 2**31 - 1  # a slice up to here takes all that is left

# (patch, features, depth, heads)
SIZES = {
    "vit_b_16": (16, 768, 12, 12),
    "vit_b_32": (32, 768, 12, 12),
    "vit_l_16": (16, 1024, 24, 16),
    "deit_tiny": (16, 192, 12, 3),
    "deit_small": (16, 384, 12, 6),
}


def vision_transformer(
    size: str = "vit_b_16",
    *,
    patch: int | None = None,
    features: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    hidden: int | None = None,
    width: float = 1.0,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> Graph:
    """Build the graph: patches, a class token, position embeddings, layers, and a linear head.

    size: a name in ``SIZES``, whose numbers patch (pixels of a side), features (of a token), depth
    (layers) and heads may replace.  hidden: features within the MLP, by default four times as many.
    width: a factor of the features, rounded to whole heads.  Pixels beyond the last whole patch
    are not read.
    Raises InputError for another size, images smaller than a patch, or heads that do not divide
    the features.
    """
    if size not in SIZES:
        raise InputError(f"size is {size!r}; expected one of {', '.join(SIZES)}")
    given = (patch, features, depth, heads)
    P, D, L, H = (s if g is None else g for s, g in zip(SIZES[size], given, strict=True))
    if min(P, D, L, H) < 1 or D % H or min(input_shape[1:]) < P:
        raise InputError(
            f"transformer of patch {P}, {D} features, depth {L} and {H} heads for images "
            f"{input_shape}; expected at least 1 of each, images of at least a patch, and features "
            "that are a multiple of the heads"
        )
    if width != 1.0:
        D = H * max(1, round(width * D / H))
    net = GraphBuilder(size, input_shape)
    x = _embed(net, P, D)
    for i in range(L):
        x = _layer(net, x, f"encoder.layers.encoder_layer_{i}", H, hidden or 4 * D)
    x = _norm(net, x, "encoder.ln")
    x = net.add("slice", x, name="class_features", axis=0, start=0, stop=1)
    x = net.add("flatten", x, name="pooled")
    return net.graph(net.add("linear", x, name="heads.head", out_features=classes))


def _embed(net: GraphBuilder, patch: int, width: int) -> str:
    """The tokens (T, D) of the images: the class token and one for each patch."""
    x = net.add("normalise", net.images)
    x = net.add(
        "convolution",
        x,
        name="conv_proj",
        out_channels=width,
        kernel=patch,
        stride=patch,
        bias=True,
    )
    x = net.add("flatten", x, name="patches", axis=1)  # (D, patches)
    x = net.add("transpose", x, name="tokens", permutation=(1, 0))
    x = net.add("class_token", x, name="class_token", features=width)
    shape = net.shapes[x]
    return net.add("add_parameter", x, name="encoder.pos_embedding", shape=shape, role="embedding")


def _layer(net: GraphBuilder, x: str, name: str, heads: int, hidden: int) -> str:
    """Attention, then an MLP for each token; both read a normalised copy and are added."""
    width = net.shapes[x][-1]
    y = _attention(net, _norm(net, x, f"{name}.ln_1"), f"{name}.self_attention", heads)
    x = net.add("add", x, y, name=f"{name}.add_1")
    y = _norm(net, x, f"{name}.ln_2")
    y = net.add("linear", y, name=f"{name}.mlp.0", out_features=hidden)
    y = net.add("gelu", y, name=f"{name}.mlp.gelu")
    y = net.add("linear", y, name=f"{name}.mlp.3", out_features=width)
    return net.add("add", x, y, name=f"{name}.add_2")


def _attention(net: GraphBuilder, x: str, name: str, heads: int) -> str:
    width = net.shapes[x][-1]
    joint = net.add("linear", x, name=f"{name}.in_proj", out_features=3 * width)
    parts = [
        net.add(
            "slice",
            joint,
            name=f"{name}.{part}",
            axis=-1,
            start=i * width,
            stop=(i + 1) * width,
        )
        for i, part in enumerate(("query", "key", "value"))
    ]
    y = net.add("attention", *parts, name=name, heads=heads)
    return net.add("linear", y, name=f"{name}.out_proj", out_features=width)


def _norm(net: GraphBuilder, x: str, name: str) -> str:
    return net.add("layer_norm", x, name=name, shape=net.shapes[x][-1:], epsilon=EPSILON)


def image_sizes(shapes: Mapping[str, Shape]) -> Iterator[dict[str, Any]]:
    """Yield the size of square images that a checkpoint's position embedding is for."""
    colours, patch = shapes["conv_proj.weight"][1:3]
    side = math.isqrt(shapes["encoder.pos_embedding.parameter"][-2] - 1) * patch
    yield {"input_shape": (colours, side, side)}


def _from_torchvision(name: str) -> str:
    """The name here of an array in torchvision's files, also in those before version 0.12."""
    name = re.sub(r"^(class_token)$", r"\1.token", name)
    name = re.sub(r"^(encoder\.pos_embedding)$", r"\1.parameter", name)
    name = re.sub(r"\.in_proj_(weight|bias)$", r".in_proj.\1", name)
    name = name.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3.")
    return re.sub(r"^head\.", "heads.head.", name)


def _from_timm(name: str) -> str:
    """The name here, as ``TIMM_NAMES`` gives it, of an array in timm's and DeiT's files."""
    return {"cls_token": "cls_token.token", "pos_embed": "pos_embed.parameter"}.get(name, name)


_LAYER = r"encoder\.layers\.encoder_layer_(\d+)"
TIMM_NAMES = renaming(
    ("conv_proj", "patch_embed.proj"),
    ("class_token", "cls_token"),
    (r"encoder\.pos_embedding", "pos_embed"),
    (rf"{_LAYER}\.ln_(\d)", r"blocks.\1.norm\2"),
    (rf"{_LAYER}\.self_attention\.in_proj", r"blocks.\1.attn.qkv"),
    (rf"{_LAYER}\.self_attention\.out_proj", r"blocks.\1.attn.proj"),
    (rf"{_LAYER}\.mlp\.0", r"blocks.\1.mlp.fc1"),
    (rf"{_LAYER}\.mlp\.3", r"blocks.\1.mlp.fc2"),
    (r"encoder\.ln", "norm"),
    (r"heads\.head", "head"),
)

TORCHVISION = Layout("torchvision", simplify=_from_torchvision, preprocess="torchvision")
TIMM = Layout("timm", TIMM_NAMES, _from_timm, normalise="half", preprocess="timm-vit")
DEIT = Layout("timm, facebookresearch/deit", TIMM_NAMES, _from_timm, preprocess="timm-deit")
LARGE = replace(TORCHVISION, preprocess="torchvision-vit-l")
LAYOUTS = {"vit_b": (TORCHVISION, TIMM), "vit_l": (LARGE, TIMM), "deit_": (TORCHVISION, DEIT)}
"""By the first five letters of the size."""
