"""Gradient checks of modules with parameters and of functions with their own backward pass.

The objects are those of PyTorch, or of a library with its interface; the caller has imported it,
this package does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck.numeric import check_gradients
from fcpts_ref.gradcheck.pair import Array, Finding, Kink, Pair, Surrogate, raise_unless_ok
from fcpts_ref.gradcheck.torch_calls import Callee, find_torch, to_array


def make_module_pair(
    function: Callable[..., Any],
    inputs: Mapping[str, Any],
    *,
    output: int | None = None,
    kinks: Mapping[str, Kink] | None = None,
    surrogates: Mapping[str, Surrogate] | None = None,
    constant: Sequence[str] = (),
) -> tuple[Pair, list[Array]]:
    """Return the pair of a module, or of an autograd function, and its inputs.

    function: takes tensors, returns one tensor, or several, of which ``output`` is checked; a
    module's parameters are inputs of the pair, by their names.  inputs: arrays or tensors by name,
    in the order of the function; all others as in ``Pair``.  Buffers (running statistics) and
    random numbers (dropout) are in every call those of now.
    Raises InputError if torch was not imported; calls, if the function fails or returns no tensor.
    """
    torch, callee = find_torch(), Callee(function, output)
    if not isinstance(inputs, Mapping):
        raise InputError(
            f"inputs are a {type(inputs).__name__}; expected tensors by name, in a dict"
        )
    taken = [name for name in inputs if name in callee.parameters]
    if taken:
        raise InputError(f"an input and a parameter are both named {taken[0]!r}; rename the input")
    count = len(inputs)

    def forward(*arrays: Any) -> tuple[Array, Any]:
        tensors = [torch.tensor(np.asarray(array)) for array in arrays]
        for tensor in tensors:
            tensor.requires_grad_(tensor.is_floating_point())
        held = dict(zip(callee.parameters, tensors[count:], strict=True))
        value = callee(tensors[:count], held)
        return to_array(value, f"the value of {callee.name}"), (tensors, value)

    def backward(cotangent: Any, cache: Any) -> tuple[Any, ...]:
        tensors, value = cache
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        given = torch.tensor(np.asarray(cotangent))
        found: list[Any] = [None] * len(wanted)
        if wanted and value.requires_grad:  # not if it does not depend on any of them
            found = list(
                torch.autograd.grad(value, wanted, given, retain_graph=True, allow_unused=True)
            )
        gradients = [found.pop(0) if t.requires_grad else None for t in tensors]
        return tuple(
            to_array(torch.zeros_like(t) if g is None else g, "a gradient")
            for t, g in zip(tensors, gradients, strict=True)
        )

    named = {**inputs, **callee.parameters}
    arrays = [to_array(value, name) for name, value in named.items()]
    pair = Pair(
        callee.name, forward, backward, tuple(named), {}, None, kinks or {}, surrogates or {},
        tuple(constant),
    )  # fmt: skip
    return pair, arrays


def check_module(
    function: Callable[..., Any],
    inputs: Mapping[str, Any],
    *,
    methods: Sequence[str] = ("adjoint",),
    directions: int = 3,
    seed: int = 0,
    **details: Any,
) -> list[Finding]:
    """Check the gradients of all inputs and parameters against values of the function.

    details: output, kinks, surrogates and constant, as in ``make_module_pair``; complex steps are
    not possible.  Errors as in ``make_module_pair`` and ``check_gradients``.
    """
    if "complex" in methods:
        raise InputError("a module cannot be checked by complex steps; use adjoint or jacobian")
    pair, arrays = make_module_pair(function, inputs, **details)
    return check_gradients(pair, arrays, methods=methods, directions=directions, seed=seed)


def assert_module_gradients(
    function: Callable[..., Any], inputs: Mapping[str, Any], **details: Any
) -> None:
    """Raise ``AssertionError`` unless all gradients match; arguments as in ``check_module``."""
    raise_unless_ok(check_module(function, inputs, **details))
