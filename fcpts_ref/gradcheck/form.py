"""What is checked before derivatives are compared: that both functions keep to the contract."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.gradcheck.pair import (
    ROUNDING,
    Array,
    Finding,
    Pair,
    is_differentiable,
    make_fault,
)

MAX_TEXT = 300  # characters of an exception's text in a message


def check_inputs(pair: Pair, inputs: Sequence[Any]) -> None:
    """Raise InputError for floating inputs that are too coarse for differences, or not finite."""
    for name, given in zip(pair.names, inputs, strict=True):
        if not is_differentiable(pair, name, given):
            continue
        if given.dtype.itemsize < 4:
            raise InputError(
                f"{name} of {pair.name} is {given.dtype}, too coarse for differences; use "
                "float64 or float32, for inputs and parameters"
            )
        if not np.isfinite(given).all():
            raise InputError(f"{name} of {pair.name} is not finite; expected finite numbers")


def describe_change(pair: Pair, inputs: Sequence[Any], value: Array) -> str:
    """Return what is wrong if a second call gives another value; "" if it does not."""
    again = pair.value(inputs)
    unit = float(np.finfo(value.dtype).eps) * float(np.abs(value).max(initial=0.0))
    if again.shape == value.shape and not (np.abs(again - value) > ROUNDING * unit).any():
        return ""
    return (
        "a second call with the same inputs gives another one; fix the random numbers that the "
        "function draws and what it keeps between calls"
    )


def check_form(pair: Pair, inputs: Sequence[Any], cotangent: Array) -> list[Finding]:
    """Check shapes and dtypes, that inputs and cotangent are unchanged, and repeatability."""
    before = [np.array(value, copy=True) for value in inputs]
    _, cache = pair.run(inputs)
    given_cotangent = cotangent.copy()
    first, second = (pair.pull(given_cotangent, cache) for _ in range(2))
    findings = []
    if not np.array_equal(given_cotangent, cotangent):
        message = "backward changed dvalue in place, which another branch may read too"
        findings.append(make_fault(pair.name, pair.names[0], message))
    if len(first) > len(pair.names):
        expected = counted(len(pair.names), "input")
        message = f"backward returned {counted(len(first), 'gradient')} for {expected}"
        findings.append(make_fault(pair.name, pair.names[0], message))
    for i, (name, given) in enumerate(zip(pair.names, inputs, strict=True)):
        message = ""
        if not np.array_equal(before[i], np.asarray(given), equal_nan=before[i].dtype.kind == "f"):
            message = "the input was changed in place"
        elif is_differentiable(pair, name, given):
            message = _describe_form(given, first, second, i)
        if message:
            findings.append(make_fault(pair.name, name, message))
        elif is_differentiable(pair, name, given):
            findings.append(Finding(pair.name, name, "form", "", 0.0, 0.0, 0.0, 0.0))
    return findings


def _describe_form(given: Array, first: Any, second: Any, i: int) -> str:
    if i >= len(first) or first[i] is None:
        return f"backward returned {counted(len(first), 'gradient')}, none for this input"
    try:
        gradient = np.asarray(first[i])
    except Exception as error:  # a ragged list, a tensor that requires grad
        return f"it does not convert to an array ({type(error).__name__}); return an array"
    if gradient.shape != given.shape or gradient.dtype != given.dtype:
        return (
            f"it has shape {gradient.shape} and dtype {gradient.dtype}; expected {given.shape} "
            f"and {given.dtype}, those of the input"
        )
    if not np.array_equal(gradient, np.asarray(second[i]), equal_nan=True):
        return "a second backward from the same cache gives another gradient"
    return ""


def describe_raised(error: BaseException) -> str:
    """Return the type, the text and the place of an exception, in one line."""
    try:
        text = " ".join(str(error).split())[:MAX_TEXT]
    except Exception:
        text = "(no text: its __str__ fails)"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}: {text}{place}"
