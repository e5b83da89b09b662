"""GELU: x times the normal distribution function, exactly or by tanh.

Hendrycks and Gimpel (2016), "Gaussian Error Linear Units", section 2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fcpts_ref.checks import check_choice
from fcpts_ref.layers.sigmoid import sigmoid

Array = NDArray[Any]

APPROXIMATIONS = ("none", "tanh")
ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # of the approximation, as in the paper
LIMIT = 40  # beyond it, Phi is 0 or 1 and its slope 0, to the last bit of float64


def gelu_forward(x: Array, *, approximate: str = "none") -> tuple[Array, tuple[Any, ...]]:
    """x Phi(x) with the standard normal distribution function Phi, any shape.

    approximate: "none", or "tanh" for Phi(x) = (1 + tanh(u)) / 2 = sigmoid(2 u), which keeps the
    digits of small results, with u = sqrt(2 / pi) (x + 0.044715 x^3).
    Returns y and the cache.  Raises InputError for another approximation.
    """
    check_choice(approximate, "approximate", APPROXIMATIONS)
    share = ndtr(x) if approximate == "none" else sigmoid(2 * _inner(_bounded(x)))
    return x * share, (x, share, approximate)


def gelu_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dy (Phi(x) + x Phi'(x)), with Phi as in forward."""
    x, share, approximate = cache
    z = _bounded(x)
    if approximate == "none":
        slope = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    else:
        slope = 2 * share * (1 - share) * ROOT * (1 + 3 * CUBIC * z * z)
    return np.asarray(dy * (share + x * slope))


def _bounded(x: Array) -> Array:
    """x from -LIMIT to LIMIT, so that its powers do not overflow."""
    return np.where(np.abs(x.real) > LIMIT, x.dtype.type(LIMIT) * np.sign(x.real), x)


def _inner(x: Array) -> Array:
    return ROOT * x * (1 + CUBIC * x * x)
