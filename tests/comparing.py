"""Comparisons that NaN cannot pass."""

from __future__ import annotations

from typing import Any

import numpy as np


def largest_error(got: Any, want: Any) -> float:
    """The largest difference, relative to the largest element of ``want`` (absolute if that is 0).

    Shapes must agree: nothing is broadcast.
    """
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}; expected {want.shape}"
    if want.size == 0:
        return 0.0
    return float(np.abs(got - want).max() / (np.abs(want).max() or 1.0))


def assert_close(got: Any, want: Any, tolerance: float = 1e-12, name: str = "") -> None:
    error = largest_error(got, want)
    assert error <= tolerance, f"{name} differs by {error:.3g}, tolerance {tolerance:.3g}"


def assert_same_bits(got: Any, want: Any, name: str = "") -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype), name
    assert got.tobytes() == want.tobytes(), f"{name} differs"
