"""Attention with several heads from its products, and its queries, keys and values from slices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fcpts_ref.interchange.onnx.patterns.matching import Match, close

HEADS_FIRST = (1, 0, 2)  # (T, heads, d) to (heads, T, d), and back
KEYS = (1, 2, 0)  # (T, heads, d) to (heads, d, T)


@dataclass(frozen=True)
class Tokens:
    """A value seen as (T, heads, d), times a number."""

    name: str
    shape: tuple[int, int, int]
    factor: float


def attention(match: Match, name: str) -> bool:
    """softmax(q k' / sqrt(d)) v for each head, the heads side by side at the end."""
    found = _parts(match, name)
    if found is None:
        return False
    q, k, v, scale = found
    (T, H, d), (S, _, e) = q.shape, v.shape
    fits = k.shape == (S, H, d) and v.shape[1] == H and match.drafts.shapes[name] == (T, H * e)
    if not fits or not close(scale * q.factor * k.factor, 1 / math.sqrt(d)) or v.factor != 1:
        return False
    inputs = [
        match.drafts.reshaped_before(name, tokens.name, (tokens.shape[0], H * tokens.shape[2]))
        for tokens in (q, k, v)
    ]
    match.drafts.change(
        name, operation="attention", inputs=tuple(inputs), attributes={"heads": H}, arrays={}
    )
    return True


def _parts(match: Match, name: str) -> tuple[Tokens, Tokens, Tokens, float] | None:
    """Return q, k, v and the factor of the scores for the value after the heads are merged."""
    merged = match.node(name, "reshape", "flatten")
    back = match.node(merged.inputs[0], "transpose") if merged else None
    if back is None or back.attributes["permutation"] != HEADS_FIRST:
        return None
    outer = match.node(back.inputs[0], "matmul")
    weights = match.node(outer.inputs[0], "softmax") if outer else None
    if outer is None or weights is None or weights.attributes["axis"] != -1:
        return None
    scores, scale = match.scaled(weights.inputs[0])
    inner = match.node(scores, "matmul")
    if inner is None:
        return None
    q = _tokens(match, inner.inputs[0], HEADS_FIRST)
    k = _tokens(match, inner.inputs[1], KEYS)
    v = _tokens(match, outer.inputs[1], HEADS_FIRST)
    return (q, k, v, scale) if q and k and v else None


def _tokens(match: Match, name: str, permutation: tuple[int, ...]) -> Tokens | None:
    name, factor = match.scaled(name)
    node = match.node(name, "transpose")
    if node is None or node.attributes["permutation"] != permutation:
        return None
    name, shape = node.inputs[0], match.drafts.shapes[node.inputs[0]]
    while True:
        base, more = match.scaled(match.through(name))
        if base == name:
            return Tokens(name, (shape[0], shape[1], shape[2]), factor)
        name, factor = base, factor * more


def part(match: Match, name: str) -> bool:
    """A slice of the features, in place of a slice of features that were split in two axes."""
    outer = match.node(name, "reshape", "flatten")
    cut = match.node(match.through(outer.inputs[0]), "slice") if outer else None
    split = match.node(cut.inputs[0], "reshape") if cut else None
    if cut is None or split is None:
        return False
    x = match.through(split.inputs[0])
    shape, wide = match.drafts.shapes[x], match.drafts.shapes[cut.inputs[0]]
    start, stop, step = (cut.attributes[key] for key in ("start", "stop", "step"))
    axis = cut.attributes["axis"] % len(wide)
    inner = math.prod(wide[axis + 1 :])
    result = (*shape[:-1], (stop - start) * inner)
    if wide[:axis] != shape[:-1] or step != 1 or start < 0 or match.drafts.shapes[name] != result:
        return False
    attributes = {
        "axis": len(shape) - 1,
        "start": start * inner,
        "stop": stop * inner,
        "step": 1,
    }
    match.drafts.change(name, operation="slice", inputs=(x,), attributes=attributes, arrays={})
    return True
