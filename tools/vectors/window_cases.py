"""The cases of convolution and pooling with all settings of windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import windows
from tools.vectors.pairs import Inputs, add_pair, make_layer_group
from tools.vectors.suite import Group


def make_groups() -> list[Group]:
    """Make the groups of convolution with padding on four sides, and of pooling."""
    return [_convolution(), _pooling()]


def _convolution() -> Group:
    group = make_layer_group(
        windows, "padded_convolution", "Convolution with padding (top, left, bottom, right)",
        padded_convolution_forward="sum", padded_convolution_backward="sum",
    )  # fmt: skip
    group.note(
        "SIDES",
        why="Padding is given as (top, left, bottom, right), and each side has its own.",
        effect="Images move by a pixel: networks from TensorFlow lose accuracy.",
    )

    def drawn(x: tuple[int, ...], weight: tuple[int, ...], padding: tuple[int, int, int, int],
              **settings: Any) -> Inputs:  # fmt: skip
        plain = {"stride": [1, 1], "dilation": [1, 1], "groups": 1}
        return lambda draw: {
            "x": draw.weights(*x), "weight": draw.weights(*weight), "bias": draw.weights(weight[0]),
            "padding": list(padding),
        } | plain | settings  # fmt: skip

    def case(
        number: int, comment: str, *arguments: Any, flags: Any = ("SIDES",), **more: Any
    ) -> None:
        inputs = drawn(*arguments, **more)
        add_pair(group, number, "padded_convolution", comment, inputs, flags=flags)

    case(1, "four different sides", (1, 2, 4, 3), (2, 2, 3, 3), (0, 1, 2, 3))
    case(2, "stride 2 with SAME_UPPER, as TensorFlow", (1, 2, 6, 6), (2, 2, 3, 3), (0, 0, 1, 1),
         stride=[2, 2])  # fmt: skip
    case(3, "stride 2 with SAME_LOWER", (1, 2, 6, 6), (2, 2, 3, 3), (1, 1, 0, 0), stride=[2, 2])
    case(4, "depthwise", (1, 3, 5, 4), (3, 1, 3, 3), (0, 1, 1, 0), groups=3)
    case(5, "dilation", (1, 1, 5, 5), (2, 1, 3, 2), (2, 0, 1, 1), dilation=[2, 1])
    case(6, "one pixel in a larger kernel", (1, 2, 1, 1), (2, 2, 4, 4), (1, 2, 2, 1),
         flags=("EDGE", "SIDES"))  # fmt: skip
    case(7, "the same on all sides", (1, 2, 3, 3), (2, 2, 3, 3), (1, 1, 1, 1), flags=("EDGE",))
    return group


def _pooling() -> Group:
    group = make_layer_group(
        windows, "windows", "Pooling with all settings of windows",
        windowed_max_pool_forward="exact", windowed_max_pool_backward="exact",
        windowed_average_pool_forward="sum", windowed_average_pool_backward="sum",
    )  # fmt: skip
    group.note(
        "BEYOND",
        why="With ceil_mode the last window reaches beyond the padding, unless it starts there.",
        effect="One row and column too many or too few, or means with the wrong divisor.",
    )
    group.note(
        "PADDING",
        why="Where padding does not count, the divisor is the number of pixels.",
        effect="Border pixels are weighted differently.",
    )
    plain = {"stride": [2, 2], "padding": [0, 0, 0, 0], "dilation": [1, 1], "ceil_mode": False}

    def case(number: int, comment: str, x: tuple[int, ...], kernel: list[int], *,
             count: bool = True, flags: tuple[str, ...] = (), **settings: Any) -> None:  # fmt: skip
        def inputs(draw: Any) -> dict[str, Any]:
            return {"x": draw.weights(*x), "kernel": kernel} | plain | settings

        def counted(draw: Any) -> dict[str, Any]:
            return inputs(draw) | {"count_include_pad": count}

        add_pair(group, number, "windowed_max_pool", comment, inputs, flags=flags)
        add_pair(group, number + 50, "windowed_average_pool", comment, counted, flags=flags)

    case(1, "four different sides", (1, 2, 5, 4), [3, 2], padding=[0, 1, 1, 0])
    case(2, "ceil_mode leaves nothing over", (1, 1, 6, 6), [3, 3], ceil_mode=True,
         flags=("BEYOND",))  # fmt: skip
    case(3, "ceil_mode with padding", (1, 1, 6, 5), [3, 3], ceil_mode=True, padding=[1, 1, 1, 1],
         flags=("BEYOND",))  # fmt: skip
    case(4, "a last window that would start in the padding", (1, 1, 4, 5), [2, 2], ceil_mode=True,
         padding=[1, 1, 1, 1], stride=[3, 3], flags=("BEYOND",))  # fmt: skip
    case(5, "dilation", (1, 2, 6, 7), [2, 3], dilation=[2, 1], padding=[1, 0, 1, 1])
    case(6, "padding does not count", (1, 1, 3, 3), [3, 3], padding=[1, 1, 1, 1], count=False,
         stride=[1, 1], flags=("PADDING",))  # fmt: skip
    case(7, "neither padding nor what is beyond counts", (1, 1, 6, 5), [3, 3], ceil_mode=True,
         padding=[1, 0, 0, 1], count=False, flags=("BEYOND", "PADDING"))  # fmt: skip
    case(8, "one pixel", (1, 2, 1, 1), [3, 3], padding=[1, 1, 1, 1], flags=("EDGE",))
    bad = {"x": np.ones((1, 1, 2, 2)), "kernel": [2, 2]} | plain | {"padding": [2, 0, 0, 0]}
    group.reject(40, "windowed_max_pool_forward", "a window without a pixel", bad)
    return group
