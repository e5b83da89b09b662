"""Patterns: layers that exporters write as several operators, put together again."""

from __future__ import annotations

from collections.abc import Callable, Collection

from fcpts_ref.interchange.onnx.draft import Drafts
from fcpts_ref.interchange.onnx.patterns import activations, attention, layers
from fcpts_ref.interchange.onnx.patterns.matching import Match

PATTERNS: tuple[Callable[[Match, str], bool], ...] = (
    layers.bias,
    layers.layer_norm,
    layers.keras_layer_norm,
    layers.affine,
    layers.normalise,
    layers.padding,
    activations.gelu,
    activations.tanh_gelu,
    activations.swish,
    activations.hard_sigmoid,
    activations.clip_twice,
    attention.attention,
    attention.part,
)
"""Each is given the last node of what it looks for, changes it, and says whether it did."""


def join_parts(drafts: Drafts, outputs: Collection[str]) -> None:
    """Apply the patterns until none fits, and drop the nodes that nothing reads any more."""
    match = Match(drafts, outputs)
    changed = True
    while changed:
        changed = False
        for name in list(drafts.nodes):
            changed |= any(pattern(match, name) for pattern in PATTERNS)
        drop_unread(drafts, outputs)


def drop_unread(drafts: Drafts, outputs: Collection[str]) -> None:
    """Remove the nodes that no output depends on."""
    needed = set(outputs)
    for name, node in reversed(drafts.nodes.items()):
        if name in needed:
            needed |= set(node.inputs)
    for name in [name for name in drafts.nodes if name not in needed]:
        del drafts.nodes[name]
