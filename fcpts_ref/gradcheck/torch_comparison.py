"""Comparison of a function pair with PyTorch's automatic differentiation, if it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fcpts_ref.gradcheck.pair import (
    TOLERANCES,
    Finding,
    Pair,
    compare_arrays,
    is_differentiable,
    precision_of,
    raise_unless_ok,
)


def compare_with_torch(
    pair: Pair, function: Callable[..., Any], inputs: Sequence[Any], *, seed: int = 0
) -> list[Finding]:
    """Compare value and gradients of a ``torch.nn.Module`` or an autograd function with a pair's.

    ``function`` gets the inputs as tensors, in the order of the pair (arrays only), and returns
    the tensor that the pair's value is compared with.  Surrogates are compared like all others.
    Raises ``ImportError`` if torch is not installed.
    """
    import torch

    tensors = [
        torch.from_numpy(value.copy()).requires_grad_(value.dtype.kind == "f")
        for value in inputs
        if isinstance(value, np.ndarray)
    ]
    output = function(*tensors)
    theirs = output.detach().numpy()
    cotangent = np.random.default_rng(seed).standard_normal(theirs.shape).astype(theirs.dtype)
    value, gradients = pair.gradients(inputs, np.asarray(cotangent))
    tolerance = TOLERANCES["torch", precision_of(inputs)]
    findings = [compare_arrays((pair.name, "value", "torch"), theirs, value, tolerance)]
    output.backward(torch.from_numpy(np.asarray(cotangent)))
    floating = [i for i, given in enumerate(inputs) if isinstance(given, np.ndarray)]
    for i, tensor in zip(floating, tensors, strict=True):
        name = pair.names[i]
        if not (is_differentiable(pair, name, inputs[i]) or name in pair.surrogates):
            continue
        want = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        where = (pair.name, name, "torch")
        findings.append(compare_arrays(where, want, np.asarray(gradients[i]), tolerance))
    return findings


def assert_matches_torch(
    pair: Pair, function: Callable[..., Any], inputs: Sequence[Any], *, seed: int = 0
) -> None:
    """Raise ``AssertionError`` unless value and gradients match PyTorch's."""
    raise_unless_ok(compare_with_torch(pair, function, inputs, seed=seed))
