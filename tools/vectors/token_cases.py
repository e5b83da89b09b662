"""The cases of the layers of transformers: random small shapes, and the edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import token_layers
from tools.vectors.draw import Draw
from tools.vectors.layer_cases import _group
from tools.vectors.pairs import Inputs
from tools.vectors.pairs import add_pair as _pair
from tools.vectors.suite import Group


def make_groups() -> list[Group]:
    """Make one group per layer."""
    makers = (
        _matmul, _reshape, _transpose, _layer_norm, _attention, _class_token, _add_parameter,
        _multiply_parameter,
    )  # fmt: skip
    return [make() for make in makers]


def _make(name: str, title: str, rule: str) -> Group:
    rules = {f"{name}_forward": rule, f"{name}_backward": rule}
    return _group(name, title, token_layers, **rules)


def _drawn(shapes: dict[str, tuple[int, ...] | None], **settings: Any) -> Inputs:
    """Random arrays of these shapes (or null), then the settings."""
    return lambda draw: (
        {name: None if shape is None else draw.weights(*shape) for name, shape in shapes.items()}
        | settings
    )


def _matmul() -> Group:
    group = _make("matmul", "The product of two values", "sum")
    group.note(
        "BROADCAST",
        why="The axes before the matrices are broadcast, aligned at the right after the batch.",
        effect="The gradient of the smaller one is not summed, or summed over the wrong axis.",
    )

    def case(number: int, comment: str, a: tuple[int, ...], b: tuple[int, ...], flag: str) -> None:
        flags = (flag,) if flag else ()
        _pair(group, number, "matmul", comment, _drawn({"a": a, "b": b}), flags=flags)

    case(1, "matrices", (2, 3, 4), (2, 4, 2), "")
    case(2, "a stack of matrices", (2, 2, 3, 4), (2, 2, 4, 3), "")
    case(3, "one for the whole stack", (2, 1, 3, 2), (2, 3, 2, 2), "BROADCAST")
    case(4, "fewer axes", (2, 2, 3, 2), (2, 2, 2), "BROADCAST")
    case(5, "one of everything", (1, 1, 1), (1, 1, 1), "EDGE")
    ones = {"a": np.ones((2, 3, 4)), "b": np.ones((2, 3, 4))}
    group.reject(90, "matmul_forward", "the inner sizes differ", ones)
    group.reject(91, "matmul_forward", "another batch",
                 ones | {"b": np.ones((1, 4, 3))})  # fmt: skip
    return group


def _reshape() -> Group:
    group = _make("reshape", "Another shape", "exact")
    group.note(
        "REST",
        why="A size of -1 stands for what the others leave.",
        effect="Shapes of exported networks, which hold -1, cannot be read.",
    )
    _pair(group, 1, "reshape", "row-major", _drawn({"x": (2, 3, 2, 4)}, shape=[4, 6]))
    _pair(group, 2, "reshape", "the rest", _drawn({"x": (2, 3, 4)}, shape=[2, -1, 3]),
          flags=("REST",))  # fmt: skip
    _pair(group, 3, "reshape", "one value", _drawn({"x": (2, 1)}, shape=[1, 1, 1]),
          flags=("EDGE",))  # fmt: skip
    group.reject(90, "reshape_forward", "another number of values",
                 {"x": np.ones((2, 3, 4)), "shape": [5, 2]})  # fmt: skip
    group.reject(91, "reshape_forward", "no whole size is left",
                 {"x": np.ones((2, 3, 4)), "shape": [5, -1]})  # fmt: skip
    return group


def _transpose() -> Group:
    group = _make("transpose", "Another order of the axes", "exact")
    group.note(
        "INVERSE",
        why="The gradient takes the inverse permutation, which differs from three axes on.",
        effect="Swaps of two axes pass, turns of three do not.",
    )
    _pair(group, 1, "transpose", "two axes swapped",
          _drawn({"x": (2, 3, 4)}, permutation=[1, 0]))  # fmt: skip
    _pair(group, 2, "transpose", "three axes turned",
          _drawn({"x": (2, 3, 4, 2)}, permutation=[1, 2, 0]), flags=("INVERSE",))  # fmt: skip
    _pair(group, 3, "transpose", "nothing moves",
          _drawn({"x": (1, 2, 3)}, permutation=[0, 1]), flags=("EDGE",))  # fmt: skip
    bad = {"x": np.ones((2, 3, 4)), "permutation": [0, 0]}
    group.reject(90, "transpose_forward", "an axis twice", bad)
    group.reject(91, "transpose_forward", "an axis too many", bad | {"permutation": [0, 1, 2]})
    return group


def _layer_norm() -> Group:
    group = _make("layer_norm", "Layer norm", "transcendental")
    group.note(
        "VARIANCE",
        why="The variance is the biased one.",
        effect="Narrow layers are scaled wrongly.",
    )

    def drawn(x: tuple[int, ...], shape: tuple[int, ...], affine: bool, epsilon: float) -> Inputs:
        arrays = {"x": x, "gamma": shape if affine else None, "beta": shape if affine else None}
        return _drawn(arrays, shape=list(shape), epsilon=epsilon)

    name = "layer_norm"
    _pair(group, 1, name, "tokens", drawn((2, 3, 5), (5,), True, 1e-6))
    _pair(group, 2, name, "over two axes", drawn((2, 2, 2, 3), (2, 3), True, 1e-5))
    _pair(group, 3, name, "without parameters", drawn((2, 2, 4), (4,), False, 1e-5))
    _pair(group, 4, name, "two values: biased and unbiased differ by 2",
          drawn((3, 2), (2,), True, 0.125), flags=("VARIANCE",))  # fmt: skip
    _pair(group, 5, name, "one value: variance 0", drawn((2, 1), (1,), True, 0.5),
          flags=("EDGE",))  # fmt: skip
    good = drawn((2, 3, 4), (4,), True, 1e-5)(Draw("layer_norm/reject"))
    group.reject(90, "layer_norm_forward", "the last axis has another size",
                 good | {"shape": [3]})  # fmt: skip
    group.reject(91, "layer_norm_forward", "gamma would be broadcast",
                 good | {"gamma": np.ones(1)})  # fmt: skip
    return group


def _attention() -> Group:
    group = _make("attention", "Scaled dot-product attention", "transcendental")
    group.note(
        "HEADS",
        why="Head h reads the features h d to (h + 1) d, and its scores are divided by sqrt(d).",
        effect="Interleaved heads, or sqrt(D), pass with one head and fail with several.",
    )
    group.note(
        "CROSS",
        why="Keys and values may have another number of tokens, values another width.",
        effect="Softmax over the queries passes where both numbers are the same.",
    )

    def drawn(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], heads: int) -> Inputs:
        return _drawn({"q": q, "k": k, "v": v}, heads=heads)

    same = (2, 3, 4)
    _pair(group, 1, "attention", "one head", drawn(same, same, same, 1))
    _pair(group, 2, "attention", "two heads", drawn(same, same, same, 2), flags=("HEADS",))
    _pair(group, 3, "attention", "other keys and values",
          drawn((1, 3, 4), (1, 2, 4), (1, 2, 6), 2), flags=("CROSS", "HEADS"))  # fmt: skip
    _pair(group, 4, "attention", "one token: v itself", drawn((1, 1, 2), (1, 1, 2), (1, 1, 2), 2),
          flags=("EDGE",))  # fmt: skip
    good = drawn(same, same, same, 2)(Draw("attention/reject"))
    group.reject(90, "attention_forward", "heads do not divide the features", good | {"heads": 3})
    group.reject(91, "attention_forward", "as many keys as values",
                 good | {"v": np.ones((2, 2, 4))})  # fmt: skip
    return group


def _class_token() -> Group:
    group = _group(
        "class_token", "The class token", token_layers,
        class_token_forward="exact", class_token_backward="sum",
    )  # fmt: skip
    name = "class_token"
    _pair(group, 1, name, "before the others", _drawn({"x": (3, 2, 4), "token": (4,)}))
    _pair(group, 2, name, "one of everything", _drawn({"x": (1, 1, 1), "token": (1,)}),
          flags=("EDGE",))  # fmt: skip
    group.reject(90, "class_token_forward", "the features differ",
                 {"x": np.ones((2, 3, 4)), "token": np.ones(1)})  # fmt: skip
    return group


def _add_parameter() -> Group:
    return _joined("add_parameter", "An added parameter")


def _multiply_parameter() -> Group:
    return _joined("multiply_parameter", "A multiplied parameter")


def _joined(name: str, title: str) -> Group:
    group = _make(name, title, "sum")
    group.note(
        "BROADCAST",
        why="The parameter has no batch; axes of 1, and those that it lacks, are broadcast.",
        effect="Its gradient is not summed over them, or has another shape.",
    )

    def case(number: int, comment: str, x: tuple[int, ...], p: tuple[int, ...], flag: str) -> None:
        flags = (flag,) if flag else ()
        _pair(group, number, name, comment, _drawn({"x": x, "parameter": p}), flags=flags)

    case(1, "a position embedding", (2, 3, 4), (3, 4), "")
    case(2, "one number a feature", (2, 3, 4), (4,), "BROADCAST")
    case(3, "one number a channel", (2, 3, 2, 2), (3, 1, 1), "BROADCAST")
    case(4, "the value is broadcast too", (2, 1, 3), (2, 1), "BROADCAST")
    case(5, "more axes than the value", (2, 3), (2, 3), "BROADCAST")
    case(6, "one of everything", (1, 1), (1,), "EDGE")
    group.reject(90, f"{name}_forward", "shapes that cannot be broadcast",
                 {"x": np.ones((2, 3, 4)), "parameter": np.ones((2, 4))})  # fmt: skip
    return group
