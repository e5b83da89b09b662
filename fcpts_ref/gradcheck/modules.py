"""Gradient checks of modules with parameters and of functions with their own backward pass.

The objects are those of PyTorch, or of a library with its interface; the caller has imported it,
this package does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck.numeric import check_gradients
from fcpts_ref.gradcheck.pair import Array, Finding, Kink, Pair, Surrogate, raise_unless_ok


def make_module_pair(
    function: Callable[..., Any],
    inputs: Mapping[str, Any],
    *,
    kinks: Mapping[str, Kink] | None = None,
    surrogates: Mapping[str, Surrogate] | None = None,
    constant: Sequence[str] = (),
) -> tuple[Pair, list[Array]]:
    """Return the pair of a module, or of the ``apply`` of an autograd function, and its inputs.

    function: takes tensors, returns one tensor; a module's parameters are inputs of the pair, by
    their names.  inputs: arrays or tensors by name, in the order of the function; all others as in
    ``Pair``.  Buffers (running statistics) are those of every call's beginning.
    Raises InputError if torch was not imported, or the function returns no tensor.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        raise InputError("PyTorch has not been imported; import torch before the check")
    if not isinstance(inputs, Mapping):
        raise InputError(
            f"inputs are a {type(inputs).__name__}; expected tensors by name, in a dict"
        )
    parameters = dict(getattr(function, "named_parameters", dict)())
    buffers = {n: b.detach().clone() for n, b in getattr(function, "named_buffers", dict)()}
    taken = [name for name in inputs if name in parameters]
    if taken:
        raise InputError(f"an input and a parameter are both named {taken[0]!r}; rename the input")
    names = (*inputs, *parameters)
    count = len(inputs)

    def call(tensors: Sequence[Any]) -> Any:
        """Run the function on tensors; parameters and buffers take the place of its own."""
        if not parameters and not buffers:
            output = function(*tensors)
        else:
            held = dict(zip(parameters, tensors[count:], strict=True))
            held |= {n: _cast(b.clone(), tensors) for n, b in buffers.items()}
            output = torch.func.functional_call(function, held, tuple(tensors[:count]))
        if not isinstance(output, torch.Tensor):
            raise InputError(
                f"the function returned one {type(output).__name__}; expected one tensor"
            )
        return output

    def forward(*arrays: Any) -> tuple[Array, Any]:
        tensors = [torch.tensor(np.asarray(array)) for array in arrays]
        for tensor in tensors:
            tensor.requires_grad_(tensor.is_floating_point())
        output = call(tensors)
        return _numpy(output), (tensors, output)

    def backward(cotangent: Any, cache: Any) -> tuple[Any, ...]:
        tensors, output = cache
        wanted = [tensor for tensor in tensors if tensor.requires_grad]
        found = iter(
            torch.autograd.grad(
                output, wanted, torch.tensor(np.asarray(cotangent)), retain_graph=True,
                allow_unused=True,
            )
        )  # fmt: skip
        gradients = [next(found) if t.requires_grad else None for t in tensors]
        return tuple(
            _numpy(torch.zeros_like(t) if g is None else g)
            for t, g in zip(tensors, gradients, strict=True)
        )

    name = getattr(function, "__name__", type(function).__name__)
    arrays = [_numpy(value) for value in (*inputs.values(), *parameters.values())]
    pair = Pair(
        name, forward, backward, names, {}, None, kinks or {}, surrogates or {}, tuple(constant)
    )
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

    details: kinks, surrogates and constant, as in ``make_module_pair``; complex steps are not
    possible.  Errors as in ``make_module_pair`` and ``check_gradients``.
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


def _cast(buffer: Any, tensors: Sequence[Any]) -> Any:
    """Return a floating buffer in the dtype of the floating tensors."""
    dtypes = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    return buffer.to(dtypes[0]) if buffer.is_floating_point() and dtypes else buffer


def _numpy(value: Any) -> Array:
    return np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
