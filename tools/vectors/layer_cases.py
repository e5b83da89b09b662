"""The cases of every layer's forward and backward: random small shapes, and the edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import layers
from tools.vectors.draw import Draw
from tools.vectors.pairs import Inputs, make_layer_group
from tools.vectors.pairs import add_pair as _pair
from tools.vectors.suite import Group


def make_groups() -> list[Group]:
    """Make one group per layer."""
    makers = (
        _convolution, _linear, _batch_norm, _relu, _max_pool, _average_pool, _global_average_pool,
        _shortcut, _add, _flatten, _normalise, _softmax, _log_softmax, _cross_entropy,
    )  # fmt: skip
    return [make() for make in makers]


def _group(name: str, title: str, source: Any = layers, **rules: str) -> Group:
    """A group of cases; source: the module that derives its operations."""
    return make_layer_group(source, name, title, **rules)


def _images(*shape: int) -> Inputs:
    return lambda draw: {"x": draw.weights(*shape)}


def _convolution() -> Group:
    group = _group(
        "convolution", "Convolution", convolution_forward="sum", convolution_backward="sum"
    )
    group.note(
        "ORIENTATION",
        why="Cross-correlation: the kernel is not flipped, weights are (out, in, rows, columns).",
        effect="A transposed or flipped kernel passes every test with symmetric kernels.",
    )
    group.note(
        "GROUPS",
        why="Output channel k reads the input channels of its own group alone.",
        effect="Depthwise networks mix their channels.",
    )

    def drawn(
        x: tuple[int, ...],
        weight: tuple[int, ...],
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        bias: bool = False,
    ) -> Inputs:
        return lambda draw: {
            "x": draw.weights(*x),
            "weight": draw.weights(*weight),
            "bias": draw.weights(weight[0]) if bias else None,
            "stride": list(stride),
            "padding": list(padding),
            "dilation": list(dilation),
            "groups": groups,
        }

    cases: list[tuple[int, str, Inputs, tuple[str, ...]]] = [
        (1, "3x3, padding 1", drawn((2, 2, 4, 4), (3, 2, 3, 3), padding=(1, 1)), ()),
        (2, "with bias", drawn((1, 2, 4, 4), (2, 2, 3, 3), bias=True), ()),
        (3, "stride 2", drawn((1, 2, 6, 6), (2, 2, 3, 3), stride=(2, 2), padding=(1, 1)), ()),
        (4, "stride 2 leaves a row over", drawn((1, 1, 6, 5), (2, 1, 3, 3), stride=(2, 2)),
         ("EDGE",)),
        (5, "1x1", drawn((2, 3, 3, 3), (4, 3, 1, 1)), ()),
        (6, "1x1 with stride 2", drawn((1, 2, 5, 5), (3, 2, 1, 1), stride=(2, 2)), ("EDGE",)),
        (7, "depthwise", drawn((1, 3, 4, 4), (3, 1, 3, 3), padding=(1, 1), groups=3),
         ("GROUPS",)),
        (8, "two groups", drawn((1, 4, 3, 3), (6, 2, 2, 2), groups=2), ("GROUPS",)),
        (9, "depthwise with two outputs a channel",
         drawn((1, 2, 3, 3), (4, 1, 3, 3), padding=(1, 1), groups=2), ("GROUPS",)),
        (10, "dilation 2", drawn((1, 1, 6, 6), (2, 1, 3, 3), dilation=(2, 2), padding=(1, 1)), ()),
        (11, "rows and columns differ in everything",
         drawn((1, 2, 7, 5), (2, 2, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
         ("ORIENTATION",)),
        (12, "kernel as large as the image", drawn((2, 2, 3, 3), (2, 2, 3, 3)), ("EDGE",)),
        (13, "one pixel, 3x3, padding 1", drawn((1, 1, 1, 1), (1, 1, 3, 3), padding=(1, 1)),
         ("EDGE",)),
        (14, "padding wider than needed", drawn((1, 1, 2, 2), (1, 1, 2, 2), padding=(2, 2)),
         ("EDGE",)),
        (15, "5x5 kernel", drawn((1, 1, 5, 5), (1, 1, 5, 5), padding=(2, 2)), ()),
        (16, "a stage of a network", drawn((2, 4, 10, 10), (4, 4, 3, 3), padding=(1, 1)), ()),
    ]  # fmt: skip
    for number, comment, inputs, flags in cases:
        _pair(group, number, "convolution", comment, inputs, flags=flags)
    _pair(
        group, 30, "convolution", "a kernel with one tap: shows flips and swapped axes",
        lambda draw: {
            "x": draw.weights(1, 2, 3, 3),
            "weight": np.eye(18)[[1, 13]].reshape(2, 2, 3, 3),
            "bias": None, "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1,
        },
        flags=("ORIENTATION",),
    )  # fmt: skip
    good = {
        "x": np.ones((1, 2, 4, 4)), "weight": np.ones((3, 2, 3, 3)), "bias": None,
        "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1,
    }  # fmt: skip
    forward = "convolution_forward"
    group.reject(90, forward, "the channels differ", good | {"x": np.ones((1, 3, 4, 4))})
    group.reject(91, forward, "the kernel is larger than the image",
                 good | {"x": np.ones((1, 2, 2, 2))})  # fmt: skip
    group.reject(92, forward, "groups do not divide the outputs",
                 good | {"weight": np.ones((3, 1, 3, 3)), "groups": 2})  # fmt: skip
    group.reject(93, forward, "stride 0", good | {"stride": [0, 1]})
    return group


def _linear() -> Group:
    group = _group("linear", "The linear layer", linear_forward="sum", linear_backward="sum")

    def drawn(N: int, C: int, K: int, bias: bool) -> Inputs:
        return lambda draw: {
            "x": draw.weights(N, C),
            "weight": draw.weights(K, C),
            "bias": draw.weights(K) if bias else None,
        }

    _pair(group, 1, "linear", "with bias", drawn(3, 5, 4, True))
    _pair(group, 2, "linear", "without bias", drawn(3, 5, 4, False))
    _pair(group, 3, "linear", "square: a transposed weight fits, too", drawn(2, 4, 4, True))
    _pair(group, 4, "linear", "one of everything", drawn(1, 1, 1, True), flags=("EDGE",))
    tokens = {"x": (2, 3, 4), "weight": (5, 4), "bias": (5,)}
    _pair(group, 5, "linear", "tokens: over the last axis of three",
          lambda draw: {name: draw.weights(*shape) for name, shape in tokens.items()})  # fmt: skip
    group.reject(
        90, "linear_forward", "the features differ",
        {"x": np.ones((2, 3)), "weight": np.ones((4, 2)), "bias": None},
    )  # fmt: skip
    return group


def _batch_norm() -> Group:
    group = _group(
        "batch_norm", "Batch norm",
        batch_norm_forward="transcendental", batch_norm_backward="transcendental",
    )  # fmt: skip
    group.note(
        "VARIANCE",
        why="Normalising takes the biased variance, the running statistics the unbiased one.",
        effect="Small batches are scaled wrongly, or evaluation drifts from training.",
    )
    group.note(
        "MODE",
        why="Calibration uses batch statistics, evaluation the running ones.",
        effect="A teacher in the wrong mode teaches other logits.",
    )

    def drawn(shape: tuple[int, ...], training: bool, momentum: float = 0.125,
              epsilon: float = 1e-5) -> Inputs:  # fmt: skip
        C = shape[1]
        return lambda draw: {
            "x": draw.weights(*shape),
            "gamma": draw.uniform(C, low=0.5, high=1.5),
            "beta": draw.weights(C),
            "running_mean": draw.weights(C),
            "running_var": draw.uniform(C, low=0.5, high=2.0),
            "training": training,
            "momentum": momentum,
            "epsilon": epsilon,
        }

    _pair(group, 1, "batch_norm", "training", drawn((3, 2, 2, 2), True), flags=("MODE",),
          conventions=(15,))  # fmt: skip
    _pair(group, 2, "batch_norm", "evaluation", drawn((3, 2, 2, 2), False), flags=("MODE",),
          conventions=(15,))  # fmt: skip
    _pair(group, 3, "batch_norm", "two values a channel: biased and unbiased differ by 2",
          drawn((2, 3, 1, 1), True), flags=("VARIANCE",))  # fmt: skip
    _pair(group, 4, "batch_norm", "another momentum and epsilon",
          drawn((2, 2, 2, 1), True, 0.5, 0.125))  # fmt: skip
    _pair(group, 5, "batch_norm", "one image, one channel", drawn((1, 1, 3, 3), True),
          flags=("EDGE",))  # fmt: skip

    def constant(draw: Draw) -> dict[str, Any]:
        return drawn((2, 2, 2, 2), True)(draw) | {"x": np.full((2, 2, 2, 2), 0.75)}

    _pair(group, 6, "batch_norm", "a constant channel: variance 0", constant,
          flags=("EDGE",), rules={"y": "constant"})  # fmt: skip
    good = drawn((2, 2, 2, 2), True)(Draw("batch_norm/reject"))
    group.reject(90, "batch_norm_forward", "as many gammas as channels",
                 good | {"gamma": np.ones(3)})  # fmt: skip
    group.reject(91, "batch_norm_forward", "one value a channel has no variance",
                 good | {"x": np.ones((1, 2, 1, 1))})  # fmt: skip
    return group


def _relu() -> Group:
    group = _group(
        "relu", "ReLU and ReLU6",
        relu_forward="exact", relu_backward="exact", relu6_forward="exact", relu6_backward="exact",
    )  # fmt: skip
    group.note(
        "BOUNDARY",
        why="The derivative at the kink is a choice: 0.",
        effect="Exact zeros (masked layers, padded channels) let gradients through.",
    )
    _pair(group, 1, "relu", "images", _images(2, 3, 2, 2))
    _pair(group, 2, "relu", "rows", _images(3, 4))
    _pair(group, 3, "relu", "the kink at 0",
          lambda d: {"x": np.array([-1.0, -0.0, 0.0, 1.0])}, flags=("BOUNDARY",))  # fmt: skip
    _pair(group, 11, "relu6", "images",
          lambda d: {"x": d.weights(2, 3, 2, 2, scale=5.0)})  # fmt: skip
    _pair(group, 12, "relu6", "the kinks at 0 and 6",
          lambda d: {"x": np.array([-1.0, 0.0, 3.0, 6.0, 7.0])}, flags=("BOUNDARY",))  # fmt: skip
    return group


def _pooling(name: str, title: str, rule: str) -> Group:
    rules = {f"{name}_forward": rule, f"{name}_backward": "sum" if rule == "sum" else "exact"}
    return _group(name, title, **rules)


def _windows(
    x: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> Inputs:
    return lambda draw: {
        "x": draw.weights(*x),
        "kernel": list(kernel),
        "stride": list(stride),
        "padding": list(padding),
    }


def _add_windows(group: Group, name: str) -> None:
    _pair(group, 1, name, "2x2", _windows((2, 2, 4, 4), (2, 2), (2, 2), (0, 0)))
    _pair(group, 2, name, "overlapping windows", _windows((1, 2, 5, 5), (3, 3), (1, 1), (0, 0)))
    _pair(group, 3, name, "padding", _windows((1, 1, 5, 5), (3, 3), (2, 2), (1, 1)))
    _pair(group, 4, name, "a row and a column left over",
          _windows((1, 1, 5, 5), (2, 2), (2, 2), (0, 0)), flags=("EDGE",))  # fmt: skip
    _pair(group, 5, name, "rows and columns differ",
          _windows((1, 1, 5, 6), (3, 2), (1, 2), (1, 0)))  # fmt: skip
    _pair(group, 6, name, "the whole image", _windows((2, 1, 3, 3), (3, 3), (3, 3), (0, 0)),
          flags=("EDGE",))  # fmt: skip
    bad = {"x": np.ones((1, 1, 2, 2)), "kernel": [3, 3], "stride": [1, 1], "padding": [0, 0]}
    group.reject(90, f"{name}_forward", "the window is larger than the image", bad)


def _max_pool() -> Group:
    group = _pooling("max_pool", "Max pooling", "exact")
    group.note(
        "BOUNDARY",
        why="Of equal pixels the first in row-major order takes the whole gradient.",
        effect="After ReLU whole windows are 0: their gradient lands elsewhere, or twice.",
    )
    group.note(
        "NEGATIVE",
        why="Padding is -infinity, not 0.",
        effect="Negative images near the border turn into zeros.",
    )
    _add_windows(group, "max_pool")
    settings = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}
    tied = np.array([1.0, 1.0, 0.5, 0.0, 1.0, 0.0, 0.5, 0.5]).reshape(1, 1, 2, 4)
    _pair(group, 10, "max_pool", "ties", lambda d: {"x": tied} | settings, flags=("BOUNDARY",))
    _pair(group, 11, "max_pool", "a window of zeros",
          lambda d: {"x": np.zeros((1, 1, 2, 2))} | settings, flags=("BOUNDARY",))  # fmt: skip
    _pair(
        group, 12, "max_pool", "negative pixels and padding",
        lambda d: {"x": d.uniform(1, 1, 3, 3, low=-2.0, high=-0.5), "kernel": [2, 2],
                   "stride": [2, 2], "padding": [1, 1]},
        flags=("NEGATIVE",),
    )  # fmt: skip
    return group


def _average_pool() -> Group:
    group = _pooling("average_pool", "Average pooling", "sum")
    group.note(
        "PADDING",
        why="Padding counts as zeros: the divisor is always the kernel's size.",
        effect="Border pixels are weighted differently.",
    )
    _add_windows(group, "average_pool")
    _pair(group, 10, "average_pool", "padding counts",
          _windows((1, 1, 3, 3), (2, 2), (2, 2), (1, 1)), flags=("PADDING",))  # fmt: skip
    return group


def _global_average_pool() -> Group:
    group = _pooling("global_average_pool", "Global average pooling", "sum")
    _pair(group, 1, "global_average_pool", "images", _images(2, 3, 4, 4))
    _pair(group, 2, "global_average_pool", "9 pixels: not a power of 2", _images(1, 2, 3, 3))
    _pair(group, 3, "global_average_pool", "one pixel", _images(2, 2, 1, 1), flags=("EDGE",))
    return group


def _shortcut() -> Group:
    group = _group(
        "shortcut", "The parameter-free shortcut: subsample and zero-pad",
        subsample_forward="exact", subsample_backward="exact",
        zero_pad_forward="exact", zero_pad_backward="exact",
    )  # fmt: skip

    def sub(shape: tuple[int, ...], stride: int) -> Inputs:
        return lambda draw: {"x": draw.weights(*shape), "stride": stride}

    def pad(shape: tuple[int, ...], before: int, after: int) -> Inputs:
        return lambda draw: {"x": draw.weights(*shape), "before": before, "after": after}

    _pair(group, 1, "subsample", "every other pixel", sub((2, 2, 4, 4), 2))
    _pair(group, 2, "subsample", "odd sides", sub((1, 2, 5, 3), 2), flags=("EDGE",))
    _pair(group, 3, "subsample", "stride 1 changes nothing", sub((1, 1, 2, 2), 1), flags=("EDGE",))
    _pair(group, 11, "zero_pad", "two channels on either side", pad((2, 3, 2, 2), 2, 2))
    _pair(group, 12, "zero_pad", "unequal sides", pad((1, 2, 2, 2), 1, 3))
    _pair(group, 13, "zero_pad", "nothing added", pad((1, 2, 2, 2), 0, 0), flags=("EDGE",))
    return group


def _add() -> Group:
    group = _group("add", "Addition of two branches", add_forward="exact", add_backward="exact")
    _pair(group, 1, "add", "images",
          lambda d: {"a": d.weights(2, 2, 3, 3), "b": d.weights(2, 2, 3, 3)})  # fmt: skip
    group.reject(90, "add_forward", "the shapes differ: no broadcasting",
                 {"a": np.ones((2, 2, 3, 3)), "b": np.ones((1, 2, 3, 3))})  # fmt: skip
    return group


def _flatten() -> Group:
    group = _group("flatten", "Images to rows", flatten_forward="exact", flatten_backward="exact")
    _pair(group, 1, "flatten", "row-major: channels, rows, columns", _images(2, 3, 2, 4))
    _pair(group, 2, "flatten", "one pixel", _images(2, 3, 1, 1), flags=("EDGE",))
    _pair(group, 3, "flatten", "from the rows on: channels stay",
          lambda d: {"x": d.weights(2, 3, 2, 4), "axis": 1})  # fmt: skip
    return group


def _normalise() -> Group:
    group = _group(
        "normalise", "Input normalisation",
        normalise_forward="rounded", normalise_backward="rounded",
    )  # fmt: skip
    _pair(
        group, 1, "normalise", "three channels",
        lambda d: {"x": d.uniform(2, 3, 2, 2, low=0.0, high=1.0),
                   "mean": d.uniform(3, low=0.25, high=0.5),
                   "std": d.uniform(3, low=0.125, high=0.25)},
        rules={"y": "sum"},
    )  # fmt: skip
    return group


def _softmax() -> Group:
    return _make_softmax("softmax", "Softmax")


def _log_softmax() -> Group:
    return _make_softmax("log_softmax", "The logarithm of softmax")


def _make_softmax(name: str, title: str) -> Group:
    rules = {f"{name}_forward": "transcendental", f"{name}_backward": "transcendental"}
    group = _group(name, title, **rules)
    group.note(
        "EXTREME",
        why="Without shifting by the maximum, exp overflows near 710.",
        effect="NaN on confident networks.",
    )
    _pair(group, 1, name, "rows", _images(3, 5))
    _pair(group, 2, name, "one row", _images(1, 10))
    _pair(group, 3, name, "one class", _images(2, 1), flags=("EDGE",))
    _pair(group, 4, name, "large numbers",
          lambda d: {"x": np.array([[1000.0, 1001.0, -1000.0], [0.0, -800.0, 1.0]])},
          flags=("EXTREME",))  # fmt: skip
    _pair(group, 5, name, "over the first axis after the batch",
          lambda d: {"x": d.weights(2, 3, 2), "axis": 0})  # fmt: skip
    return group


def _cross_entropy() -> Group:
    group = _group(
        "cross_entropy", "Cross-entropy with labels",
        cross_entropy_forward="transcendental", cross_entropy_backward="transcendental",
    )  # fmt: skip

    def drawn(N: int, K: int) -> Inputs:
        return lambda d: {"logits": d.weights(N, K, scale=2.0), "labels": d.labels(N, K)}

    _pair(group, 1, "cross_entropy", "the mean over the batch", drawn(4, 5), cotangent="dloss")
    _pair(group, 2, "cross_entropy", "one image", drawn(1, 3), cotangent="dloss", flags=("EDGE",))
    good = {"logits": np.ones((2, 3)), "labels": np.array([0, 2])}
    forward = "cross_entropy_forward"
    group.reject(90, forward, "a label beyond the classes", good | {"labels": np.array([0, 3])})
    group.reject(91, forward, "a negative label", good | {"labels": np.array([0, -1])})
    group.reject(92, forward, "fewer labels than images", good | {"labels": np.array([0])})
    return group
