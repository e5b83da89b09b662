"""The loop that measures the processor's peak keeps its numbers in registers."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from bench.peak import ROWS, VECTORS, multiply_adds, stack_moves
from fcpts_ref.engines.numba.simd.types import lanes

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="of machine code")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_peak_loop_does_not_touch_the_stack(dtype: str) -> None:
    L = lanes(dtype)
    w, x = np.ones(ROWS, dtype), np.ones(VECTORS * L, dtype)
    total = multiply_adds(w, x, (0,) * VECTORS, (0,) * L, 1000)
    assert total == 1 + 1000 * ROWS * VECTORS * L  # w[0], and all products
    assert stack_moves() == 0
