"""Calls of PyTorch modules and autograd functions with given parameters.

The caller has imported PyTorch; this package does not.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck.form import describe_raised
from fcpts_ref.gradcheck.pair import Array


def find_torch() -> Any:
    """Return the module torch.  Raises InputError if the caller has not imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        raise InputError("PyTorch has not been imported; import torch before the check")
    return torch


class Callee:
    """A module, a function of tensors or an autograd function, called as if it had no state.

    Its parameters are arguments.  Buffers (running statistics) and random numbers (dropout) are
    in every call those of the time when this object was made.  output: which value to take where
    several are returned.
    """

    def __init__(self, function: Callable[..., Any], output: int | None = None) -> None:
        torch = find_torch()
        if isinstance(function, type) and issubclass(function, torch.autograd.Function):
            function = function.apply  # type: ignore[attr-defined]
        if isinstance(function, type) or not callable(function):
            raise InputError(
                f"{_name(function)} is not a function of tensors; expected a module (an "
                "object, not its class), a function, or an autograd function"
            )
        self._torch, self._function, self._output = torch, function, output
        self.name = _name(function)
        self.parameters: dict[str, Any] = dict(getattr(function, "named_parameters", dict)())
        named_buffers = getattr(function, "named_buffers", dict)
        self._buffers = {n: b.detach().clone() for n, b in dict(named_buffers()).items()}
        self._random = torch.get_rng_state()

    def __call__(self, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> Any:
        """Return the tensor that the function computes.

        Raises InputError if it fails, or returns anything else.
        """
        given = (*inputs, *parameters.values())
        held = {**parameters, **{n: _cast(b.clone(), given) for n, b in self._buffers.items()}}
        copies = tuple(tensor.clone() for tensor in inputs)  # it may change them in place
        try:
            with self._same_random_numbers():
                if held:
                    output = self._torch.func.functional_call(self._function, held, copies)
                else:
                    output = self._function(*copies)
        except Exception as error:
            raise InputError(self._describe_failure(error, inputs, parameters)) from error
        return self._one_tensor(output)

    @contextlib.contextmanager
    def _same_random_numbers(self) -> Iterator[None]:
        before = self._torch.get_rng_state()
        self._torch.set_rng_state(self._random)
        try:
            yield
        finally:
            self._torch.set_rng_state(before)

    def _one_tensor(self, output: Any) -> Any:
        several = isinstance(output, tuple | list)
        if several and self._output is not None and -len(output) <= self._output < len(output):
            output = output[self._output]
        if not isinstance(output, self._torch.Tensor):
            hint = "; choose one of them by output=0, 1, ..." if several else ""
            raise InputError(
                f"{self.name} returned one {type(output).__name__}; expected one tensor{hint}"
            )
        if not output.is_floating_point():
            raise InputError(
                f"{self.name} returned a tensor of {output.dtype}; expected real floating numbers"
            )
        return output

    def _describe_failure(
        self, error: Exception, inputs: Sequence[Any], parameters: Mapping[str, Any]
    ) -> str:
        shapes = ", ".join(f"{_dtype(t)} {tuple(t.shape)}" for t in inputs) or "none"
        dtypes = sorted({_dtype(t) for t in parameters.values()})
        held = f"; its parameters are {', '.join(dtypes)}" if dtypes else ""
        floating = {_dtype(t) for t in inputs if t.is_floating_point()} | set(dtypes)
        hint = "; give both one dtype, as by module.double()" if len(floating) > 1 else ""
        return f"{self.name} {describe_raised(error)}; its inputs were {shapes}{held}{hint}"


def to_array(tensor: Any, name: str) -> Array:
    """Return a copy of a tensor or an array.  Raises InputError for one that NumPy cannot hold."""
    try:
        return np.array(tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor)
    except (TypeError, NotImplementedError, RuntimeError) as error:  # bfloat16, meta, sparse
        raise InputError(
            f"{name} does not convert to an array ({error}); use dense tensors of float64 or "
            "float32"
        ) from None


def _name(function: Any) -> str:
    owner = getattr(function, "__self__", None)  # the class that an apply is bound to
    if isinstance(owner, type):
        return owner.__name__
    return str(getattr(function, "__name__", type(function).__name__))


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _cast(buffer: Any, tensors: Sequence[Any]) -> Any:
    """Return a floating buffer in the dtype of the floating tensors."""
    dtypes = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    return buffer.to(dtypes[0]) if buffer.is_floating_point() and dtypes else buffer
