"""Scaled dot-product attention with several heads (Vaswani et al., 2017, section 3.2).

Without weights: the projections of queries, keys, values and of the output are linear layers.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.softmax import softmax_backward, softmax_forward

Array = NDArray[Any]


def attention_forward(q: Array, k: Array, v: Array, *, heads: int) -> tuple[Array, tuple[Any, ...]]:
    """softmax(q k' / sqrt(d)) v for each head, d = D / heads features of q wide.

    q: (N, T, D); k: (N, S, D); v: (N, S, E); head h reads the features h d to (h + 1) d.
    Returns y (N, T, E), the heads side by side, and the cache.
    Raises InputError for shapes that do not fit.
    """
    check_attention(q.shape, k.shape, v.shape, heads)
    q, k, v = (_split(x, heads) for x in (q, k, v))  # (N, H, T or S, d)
    scale = 1 / math.sqrt(q.shape[-1])
    p, softmax_cache = softmax_forward((q @ _t(k)) * scale)  # (N, H, T, S)
    return _merge(p @ v), (q, k, v, p, softmax_cache, scale)


def attention_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array, Array]:
    """Return dq, dk and dv in the shapes of q, k and v.  dy: (N, T, E)."""
    q, k, v, p, softmax_cache, scale = cache
    dy = _split(dy, q.shape[1])
    dscores = softmax_backward(dy @ _t(v), softmax_cache) * scale  # (N, H, T, S)
    return _merge(dscores @ k), _merge(_t(dscores) @ q), _merge(_t(p) @ dy)


def check_attention(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], heads: int) -> None:
    """Raise InputError unless q, k and v (batch or not, tokens, features) fit each other."""
    tokens = len(q) == len(k) == len(v) >= 2 and q[:-2] == k[:-2] == v[:-2] and k[-2] == v[-2]
    if not tokens or q[-1] != k[-1] or q[-1] % heads or v[-1] % heads:
        raise InputError(
            f"attention got q {q}, k {k}, v {v} and {heads} heads; expected (T, D), (S, D) and "
            "(S, E) after the batch, with D and E multiples of the heads"
        )


def _split(x: Array, heads: int) -> Array:
    """(N, T, H d) -> (N, H, T, d)"""
    N, T, D = x.shape
    return x.reshape(N, T, heads, D // heads).swapaxes(1, 2)


def _merge(x: Array) -> Array:
    """(N, H, T, d) -> (N, T, H d)"""
    N, H, T, d = x.shape
    return x.swapaxes(1, 2).reshape(N, T, H * d)


def _t(x: Array) -> Array:
    return x.swapaxes(-1, -2)
