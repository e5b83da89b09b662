"""Addition of two branches."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]


def add_forward(a: Array, b: Array) -> tuple[Array, tuple[Any, ...]]:
    """a + b.  a, b: the same shape.  Returns y and the (empty) cache.

    Raises InputError if the shapes differ.
    """
    if a.shape != b.shape:
        raise InputError(f"add got shapes {a.shape} and {b.shape}; expected the same")
    return a + b, ()


def add_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return dy for both branches."""
    return dy, dy
