"""Attention of opset 23, as its products."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.known import Known, value_of
from fcpts_ref.interchange.onnx.layout import Value
from fcpts_ref.interchange.onnx.operators.arithmetic import shifted
from fcpts_ref.interchange.onnx.operators.matrices import product
from fcpts_ref.interchange.onnx.reading import OnnxNode
from fcpts_ref.interchange.onnx.translator import Translator

Inputs = Sequence[Known | None]


def attention(t: Translator, node: OnnxNode, inputs: Inputs) -> Value:
    """Attention of opset 23, without masks and caches: (N, heads, T, d), or (N, T, heads d)."""
    settings = node.settings
    plain = not any(inputs[3:]) and settings.get("softmax_precision", 1) == 1
    if not plain or settings.get("is_causal", 0) or settings.get("softcap", 0):
        raise InputError("it has a mask, a cache or a soft cap; expected plain attention")
    q, k, v = (value_of(known) for known in inputs[:3])
    heads = settings.get("q_num_heads") if len(q.axes) == 3 else None
    if heads is not None:
        if settings.get("kv_num_heads", heads) != heads:
            raise InputError("its keys have other heads than its queries; expected the same")
        q, k, v = (_split_heads(value, heads) for value in (q, k, v))
    if q.dims[:2] != k.dims[:2]:
        raise InputError("its keys have other heads than its queries; expected the same")
    scale = settings.get("scale") or 1 / math.sqrt(q.dims[-1])
    scores = product(t, node, q, k.transposed((0, 1, 3, 2)))
    scores = shifted(t, node, "multiply_parameter", scores, float(scale))
    name, sizes, layout = t.last(node, scores, scores.axes[-1])
    name = t.as_shape(node, name, (*sizes, scores.dims[-1]))
    y = product(t, node, layout.renamed(t.add(node, "softmax", [name])), v)
    if heads is None:
        return y
    y = y.transposed((0, 2, 1, 3))
    return y.reshaped((*y.dims[:2], y.dims[2] * y.dims[3]))


def _split_heads(value: Value, heads: int) -> Value:
    N, T, D = value.dims
    return value.reshaped((N, T, heads, D // heads)).transposed((0, 2, 1, 3))
