"""GELU, SiLU, hard-swish and clipping from their parts."""

from __future__ import annotations

import math
from typing import Final

from fcpts_ref.interchange.onnx.operators.activations import INFINITE, clip_operation
from fcpts_ref.interchange.onnx.patterns.matching import Match, close

CUBIC: Final = 0.044715  # Hendrycks and Gimpel, 2016, "Gaussian error linear units"


def gelu(match: Match, name: str) -> bool:
    """0.5 x (1 + erf(x / sqrt 2)), in any order of the factors."""
    x = _gate(match, name, "erf", 0.5, math.sqrt(0.5))
    if x is not None:
        match.drafts.change(name, operation="gelu", inputs=(x,), attributes={}, arrays={})
    return x is not None


def _gate(match: Match, name: str, operation: str, share: float, scale: float) -> str | None:
    """Return x if the value is share x (1 + operation(scale x))."""
    if match.node(name, "multiply", "multiply_parameter") is None:
        return None
    for value in match.factors(name)[0]:
        inner = match.number(value, "add_parameter")
        node = match.node(inner[0], operation) if inner else None
        if inner is None or node is None or not close(inner[1], 1):
            continue
        x, factor = match.scaled(node.inputs[0])
        if close(factor, scale) and _is_product(match, name, [x, value], share):
            return x
    return None


def _is_product(match: Match, name: str, values: list[str], number: float) -> bool:
    found, factor = match.factors(name, values)
    return found == sorted(values) and close(factor, number)


def tanh_gelu(match: Match, name: str) -> bool:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    y = _gate_of_sum(match, name)
    if y is None:
        return False
    attributes = {"approximate": "tanh"}
    match.drafts.change(name, operation="gelu", inputs=(y,), attributes=attributes, arrays={})
    return True


def _gate_of_sum(match: Match, name: str) -> str | None:
    if match.node(name, "multiply", "multiply_parameter") is None:
        return None
    for value in match.factors(name)[0]:
        inner = match.number(value, "add_parameter")
        node = match.node(inner[0], "tanh") if inner else None
        if inner is None or node is None or not close(inner[1], 1):
            continue
        total, factor = match.scaled(node.inputs[0])
        addition = match.node(total, "add")
        if addition is None or not close(factor, math.sqrt(2 / math.pi)):
            continue
        for x, cube in (addition.inputs, addition.inputs[::-1]):
            cubic = match.factors(cube, [x])
            if cubic[0] == [x, x, x] and close(cubic[1], CUBIC):
                return x if _is_product(match, name, [x, value], 0.5) else None
    return None


def swish(match: Match, name: str) -> bool:
    """x sigmoid(x), and x relu6(x + 3) / 6 in its forms."""
    if match.node(name, "multiply", "multiply_parameter") is None:
        return False
    for value in match.factors(name)[0]:
        found = _gated(match, value)
        if found is not None and _is_product(match, name, [found[1], value], found[2]):
            operation, x, _ = found
            match.drafts.change(name, operation=operation, inputs=(x,), attributes={}, arrays={})
            return True
    return False


def _gated(match: Match, value: str) -> tuple[str, str, float] | None:
    """Return the operation, x, and the number of the product with x that makes it."""
    if (node := match.node(value, "sigmoid")) is not None:
        return "silu", node.inputs[0], 1.0
    if (node := match.node(value, "hard_sigmoid")) is not None:
        fits = close(node.attributes["alpha"], 1 / 6) and close(node.attributes["beta"], 0.5)
        return ("hard_swish", node.inputs[0], 1.0) if fits else None
    if (node := match.node(value, "relu6")) is not None:
        shifted = match.number(node.inputs[0], "add_parameter")
        if shifted is not None and close(shifted[1], 3):
            return "hard_swish", shifted[0], 1 / 6
    return None


def hard_sigmoid(match: Match, name: str) -> bool:
    """relu6(x + 3) / 6."""
    inner, factor = match.scaled(name)
    node = match.node(inner, "relu6")
    shifted = match.number(node.inputs[0], "add_parameter") if node else None
    if inner == name or shifted is None or not (close(shifted[1], 3) and close(factor, 1 / 6)):
        return False
    match.drafts.change(
        name, operation="hard_sigmoid", inputs=(shifted[0],), attributes={}, arrays={}
    )
    return True


def clip_twice(match: Match, name: str) -> bool:
    """One clip in place of two, such as Max and Min."""
    outer = match.node(name, "clip", "relu")
    inner = match.node(outer.inputs[0], "clip", "relu") if outer else None
    if outer is None or inner is None:
        return False
    (low, high), (other_low, other_high) = (
        (n.attributes.get("low", 0.0), n.attributes.get("high", INFINITE)) for n in (outer, inner)
    )
    if other_low > high or low > other_high:
        return False
    operation, attributes = clip_operation(max(low, other_low), min(high, other_high))
    match.drafts.change(name, operation=operation, inputs=inner.inputs, attributes=attributes)
    return True
