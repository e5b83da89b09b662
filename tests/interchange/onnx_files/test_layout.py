"""Views of values: transposing and reshaping as NumPy does, without moving anything."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.layout import BATCH, SYMBOLIC, Value, fresh

N = 7  # a prime: found again in every product


def laid_out(value: Value, ours: Any) -> Any:
    """The array that a view describes.  ours: (N, ...)."""
    array = ours.reshape(len(ours), *value.atoms)
    order = [atom for group in value.axes for atom in group]
    rest = [atom for atom in range(-1, len(value.atoms)) if atom not in order]
    assert rest in ([], [BATCH])
    array = array.transpose([atom + 1 for atom in [*rest, *order]])
    sizes = [math.prod(N if a == BATCH else value.atoms[a] for a in group) for group in value.axes]
    return array.reshape(sizes if not rest else (len(ours), *sizes))


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


@given(st.data())
def test_like_numpy(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4))
    dims = (N, *shape)
    theirs = np.arange(math.prod(dims)).reshape(dims)
    value, ours = fresh("v", dims, 0, N), theirs
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(theirs.ndim)))
            value, theirs = value.transposed(order), theirs.transpose(order)
        else:
            size, left = theirs.size, theirs.size
            new = []
            while left > 1 and len(new) < 4:
                new.append(data.draw(st.sampled_from(divisors(left))))
                left //= new[-1]
            new.append(left)
            assert math.prod(new) == size
            try:
                value = value.reshaped(new)
            except InputError:  # it mixes axes: a node is needed
                return
            theirs = theirs.reshape(new)
        assert value.dims == theirs.shape
        assert np.array_equal(laid_out(value, ours), theirs)


def test_attention_of_torch_is_a_view() -> None:
    """(N, T, D) to (T, N, D), to (T, N heads, d), to (N heads, T, d), and back."""
    T, H, d = 5, 3, 4
    x = fresh("v", (SYMBOLIC, T, H * d), 0, SYMBOLIC)
    heads = x.transposed((1, 0, 2)).reshaped((T, SYMBOLIC * H, d)).transposed((1, 0, 2))
    assert heads.axes == ((BATCH, 1), (0,), (2,))
    back = (
        heads.reshaped((SYMBOLIC, H, T, d)).transposed((2, 0, 1, 3)).reshaped((T, SYMBOLIC, H * d))
    )
    assert back.transposed((1, 0, 2)) == x


def test_a_batch_of_one_has_no_axis() -> None:
    x = fresh("v", (1, 6, 4), 0, 1)
    assert x.axes == ((), (0,), (1,))
    assert x.batch_axis == 0
    assert x.reshaped((6, 4)).batch_axis is None
    assert x.reshaped((2, 3, 4)).atoms == (2, 3, 4)


@pytest.mark.parametrize("dims", [(4, 3, 2), (N * 4, 5), (2, 2), (N, 25), (5, N * 4)])
def test_what_is_no_view(dims: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="mixes axes"):
        fresh("v", (N, 4, 5), 0, N).transposed((0, 2, 1)).reshaped(dims)


def test_bad_axes() -> None:
    x = fresh("v", (N, 4, 5), 0, N)
    for order in ((0, 1), (0, 1, 1), (0, 1, 3)):
        with pytest.raises(InputError):
            x.transposed(order)
    for axis in (3, -4):
        with pytest.raises(InputError):
            x.axis(axis)
