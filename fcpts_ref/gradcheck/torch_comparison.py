"""Comparison of a function pair with PyTorch's automatic differentiation, if it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.gradcheck.pair import (
    TOLERANCES,
    VALUE,
    Finding,
    Pair,
    compare_arrays,
    is_differentiable,
    precision_of,
    raise_unless_ok,
    rounding_floor,
)
from fcpts_ref.gradcheck.torch_calls import Callee, to_array


def compare_with_torch(
    pair: Pair,
    function: Callable[..., Any],
    inputs: Sequence[Any] | Mapping[str, Any],
    *,
    output: int | None = None,
    seed: int = 0,
) -> list[Finding]:
    """Compare value and gradients of a ``torch.nn.Module`` or an autograd function with a pair's.

    inputs: in the order of the pair, or by name.  ``function`` gets the arrays among them as
    tensors, but those with the name of a module's parameter take its place.  It returns the tensor
    that the pair's value is compared with, or several, of which ``output`` is.
    Surrogates are compared like all others.
    Raises ``ImportError`` if torch is not installed, InputError if the function fails.
    """
    import torch

    inputs = _in_order(pair, inputs)
    callee = Callee(function, output)
    tensors = {
        name: torch.from_numpy(value.copy()).requires_grad_(value.dtype.kind == "f")
        for name, value in zip(pair.names, inputs, strict=True)
        if isinstance(value, np.ndarray)
    }
    own = {name: t for name, t in tensors.items() if name in callee.parameters}
    lacking = [name for name in callee.parameters if name not in tensors]
    if own and lacking:
        raise InputError(
            f"{callee.name} has a parameter {lacking[0]!r} that {pair.name} has no input for; "
            "expected an input for each or for none"
        )
    arguments = [tensor for name, tensor in tensors.items() if name not in own]
    value = callee(arguments, own or callee.parameters)
    theirs = to_array(value, f"the value of {callee.name}")
    cotangent = np.random.default_rng(seed).standard_normal(theirs.shape).astype(theirs.dtype)
    precision = precision_of(inputs)
    tolerance, floor = TOLERANCES["torch", precision], rounding_floor(cotangent * theirs, precision)
    ours, _ = pair.run(inputs)
    findings = [compare_arrays((pair.name, VALUE, "torch"), theirs, ours, tolerance)]
    if not findings[0].ok and ours.shape != theirs.shape:
        return findings
    _, gradients = pair.gradients(inputs, cotangent.astype(ours.dtype))
    if value.requires_grad:
        value.backward(torch.from_numpy(cotangent))
    for i, (name, given) in enumerate(zip(pair.names, inputs, strict=True)):
        if not (is_differentiable(pair, name, given) or name in pair.surrogates):
            continue
        tensor = tensors[name]
        want = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        where = (pair.name, name, "torch")
        findings.append(compare_arrays(where, want, np.asarray(gradients[i]), tolerance, floor))
    return findings


def _in_order(pair: Pair, inputs: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    if isinstance(inputs, Mapping):
        inputs = [inputs[name] for name in pair.names if name in inputs]
    if len(inputs) != len(pair.names):
        raise InputError(
            f"got {counted(len(inputs), 'input')}; expected one for each of {', '.join(pair.names)}"
        )
    if not any(isinstance(value, np.ndarray) for value in inputs):
        raise InputError(f"no input of {pair.name} is an array; expected NumPy arrays")
    return list(inputs)


def assert_matches_torch(
    pair: Pair,
    function: Callable[..., Any],
    inputs: Sequence[Any] | Mapping[str, Any],
    *,
    output: int | None = None,
    seed: int = 0,
) -> None:
    """Raise ``AssertionError`` unless value and gradients match PyTorch's."""
    raise_unless_ok(compare_with_torch(pair, function, inputs, output=output, seed=seed))
