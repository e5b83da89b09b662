"""The loop of all kernels, with the JIT and without."""

import sys

import numba
import numpy as np
import pytest

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.threads import available_threads, using_threads
from fcpts_ref.engines.numba.tuning import THREAD_RANGES


@compiled_part
def _add(item, x, factor, shift, pair, nothing, negative, y):
    value = x[item, 0] * factor + shift + pair[1]
    if nothing is None:
        y[item] += -value if negative else value


@compiled
def add(count, x, factor, shift, pair, nothing, negative, y):
    for_each(count, _add, x, factor, shift, pair, nothing, negative, y)


@compiled_part
def _twice(item, y):
    y[item] *= 2


@compiled
def add_and_twice(x, y):
    """The same pass in two loops of a function, another between them."""
    for_each(len(y), _add, x, 1, 0.5, (0, 0), None, False, y)
    for_each(len(y), _twice, y)
    for_each(len(y), _add, x, 1, 0.5, (0, 0), None, False, y)


@compiled_part
def _take(item, size, y):
    if item == len(y) // 2:
        np.zeros(size)[0] = 1
    y[item] = 1


@compiled
def take(size, y):
    for_each(len(y), _take, size, y)


@pytest.mark.parametrize(
    "count", [0, 1, 2, THREAD_RANGES - 1, THREAD_RANGES, THREAD_RANGES + 1, 1000]
)
@pytest.mark.parametrize("threads", sorted({1, available_threads()}))
@pytest.mark.parametrize("negative", [False, True])
def test_every_pass_is_done_once(count, threads, negative):
    x = np.arange(4.0 * count).reshape(2 * count, 2)[::2]  # not contiguous
    y = np.full(count + 1, 7.0)
    with using_threads(threads):
        add(count, x, 3, 0.5, (1, 2), None, negative, y)
    value = 3 * x[:, 0] + 2.5
    np.testing.assert_array_equal(y, np.append(7 + (-value if negative else value), 7))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_follow_each_other(dtype):
    x = np.ones((5, 1), dtype)
    y = np.zeros(5, dtype)
    add_and_twice(x, y)
    np.testing.assert_array_equal(y, np.full(5, 4.5, dtype))


def test_arrays_are_as_often_referred_to_as_before():
    x, y = np.ones((300, 1)), np.zeros(300)
    before = sys.getrefcount(x), sys.getrefcount(y)
    for _ in range(3):
        add(300, x, 1, 0.0, (0, 0), None, False, y)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before


def test_no_memory():
    y = np.zeros(300)
    with pytest.raises(MemoryError):
        take(1 << 58, y)
    take(1, y)
    assert (y == 1).all()


@compiled_part
def _refuse(item, y):
    if item % 2:
        raise ValueError("odd")
    y[item] = 1


@compiled
def refuse(y):
    for_each(len(y), _refuse, y)


def test_what_a_pass_raises_is_raised():
    y = np.zeros(2000)
    with pytest.raises(ValueError, match="odd"):
        refuse(y)
    if not numba.config.DISABLE_JIT:
        np.testing.assert_array_equal(y[::2], 1)
    y = np.zeros(1)
    refuse(y)
    assert y == 1


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="it is a plain function then")
def test_a_part_is_not_for_python():
    with pytest.raises(TypeError, match="_twice is a part of kernels"):
        _twice(0, np.zeros(1))
