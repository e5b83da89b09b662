"""Forms of padding, and the rules that choose it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations import OPERATIONS
from fcpts_ref.layers.convolution import output_size
from fcpts_ref.layers.padding import as_padding, auto_pad, ends

SIZES = st.integers(1, 9)


def test_forms():
    assert as_padding(2) == (2, 2, 2, 2)
    assert as_padding((1, 3)) == (1, 3, 1, 3)
    assert as_padding([1, 2, 3, 4]) == (1, 2, 3, 4)
    assert ends((1, 2, 3, 4)) == ((1, 3), (2, 4))


@pytest.mark.parametrize("value", [-1, (1, -1), (), (1, 2, 3), (1,) * 5, 1.0, "11", None, (1, "1")])
def test_bad_forms(value):
    with pytest.raises(InputError, match=r"expected one number >= 0, a pair .* or four"):
        as_padding(value)


@given(SIZES, SIZES, SIZES, SIZES, st.integers(1, 3))
def test_same_padding(height, width, kernel, stride, dilation):
    """ceil(size / stride) outputs from the least padding, the odd zero where the rule says."""
    shared = (height, width), (kernel, kernel), (stride, stride), (dilation, dilation)
    upper, lower = (auto_pad(rule, *shared) for rule in ("SAME_UPPER", "SAME_LOWER"))
    for size, (before, after), lower_ends in zip(
        (height, width), ends(upper), ends(lower), strict=True
    ):
        assert 0 <= after - before <= 1
        assert lower_ends == (after, before)
        if before + after or size >= dilation * (kernel - 1) + 1:
            outputs = output_size(size, kernel, stride, (before, after), dilation)
            assert outputs == -(-size // stride)
        if before + after:  # one zero less gives one output less
            less = max(before + after - 1, 0)
            reach = dilation * (kernel - 1) + 1
            assert size + less < reach or (size + less - reach) // stride + 1 < outputs


@pytest.mark.parametrize(
    ("rule", "size", "kernel", "stride", "want"),
    [
        ("SAME_UPPER", (224, 224), (3, 3), (2, 2), (0, 0, 1, 1)),
        ("SAME_LOWER", (224, 224), (3, 3), (2, 2), (1, 1, 0, 0)),
        ("SAME_UPPER", (112, 112), (3, 3), (1, 1), (1, 1, 1, 1)),
        ("SAME_UPPER", (7, 8), (5, 2), (2, 1), (2, 0, 2, 1)),
        ("SAME_UPPER", (5, 5), (1, 1), (2, 2), (0, 0, 0, 0)),
        ("VALID", (5, 5), (3, 3), (2, 2), (0, 0, 0, 0)),
    ],
)
def test_known_paddings(rule, size, kernel, stride, want):
    """MobileNets from TensorFlow pad 224 x 224 by (0, 0, 1, 1) before a stride of 2."""
    assert auto_pad(rule, size, kernel, stride) == want


@pytest.mark.parametrize(
    ("operation", "attributes"),
    [
        ("max_pool", {"kernel": 2**31 - 1, "padding": 2**30}),
        ("average_pool", {"kernel": 2**20, "padding": 2**20, "dilation": 2**10}),
        ("max_pool", {"kernel": 1, "padding": 2**31 - 1, "stride": 2**30}),
        ("convolution", {"in_channels": 1, "out_channels": 1, "kernel": 1, "padding": 2**30,
                         "stride": 2**30}),
    ],
)  # fmt: skip
def test_padding_that_would_take_all_memory(operation, attributes):
    """Sizes come from files: the shape alone is refused, before anything is padded."""
    row = OPERATIONS[operation]
    with pytest.raises(InputError, match="use less padding"):
        row.shape([(1, 7, 7)], row.complete(attributes))


def test_unknown_rule():
    with pytest.raises(InputError, match="'SAME'; expected one of SAME_UPPER, SAME_LOWER, VALID"):
        auto_pad("SAME", (4, 4), (3, 3))
