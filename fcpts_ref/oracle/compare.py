"""Compare one output with its expected value.  NaN never passes for a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.vectors import Array, Expected, Rule

PRECISIONS = {"float64": np.float64, "float32": np.float32}


@dataclass(frozen=True)
class Difference:
    """Where and how far an output is wrong.

    ``share`` is the worst error over its tolerance: infinite where nothing may differ, never NaN.
    """

    output: str
    problem: str  # "shape", "dtype" or "value"
    message: str
    index: tuple[int, ...] = ()
    share: float = float("inf")
    wrong: int = 0  # elements outside their tolerance
    size: int = 0  # elements compared


def compare_output(
    name: str,
    expected: Expected,
    actual: Any,
    *,
    precision: str = "float64",
    check_dtype: bool = False,
) -> Difference | None:
    """Return ``None`` if ``actual`` meets the rule, else the first difference.

    Shape is compared first, then dtype, then values.
    """
    want = expected.value
    try:
        got = np.asarray(actual)
    except Exception as error:  # a foreign __array__ may raise anything
        return Difference(name, "value", f" is not an array: {type(error).__name__}: {error}")
    if got.dtype.kind not in "biuf":
        return Difference(name, "dtype", f" holds {got.dtype.name}; expected real numbers")
    if got.shape != want.shape:
        return Difference(name, "shape", f" has shape {got.shape}; expected {want.shape}")
    if check_dtype and got.dtype != want.dtype:
        return Difference(name, "dtype", f" has dtype {got.dtype}; expected {want.dtype}")
    return _compare_values(name, want, got, expected.rule, precision)


def _compare_values(
    name: str, want: Array, got: Array, rule: Rule, precision: str
) -> Difference | None:
    want64, got64 = want.astype(np.float64), got.astype(np.float64)
    tolerance = compute_tolerance(want, rule, precision)
    if precision == "float32" and want.dtype == np.float64:
        want64, got64 = (a.astype(np.float32).astype(np.float64) for a in (want64, got64))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got64 - want64)
    same = (got64 == want64) | (np.isnan(got64) & np.isnan(want64))  # infinities and NaNs, too
    error = np.where(same, 0.0, error)
    passed = error <= tolerance  # false for NaN
    if passed.all():
        return None
    share = np.full(error.shape, np.inf)
    with np.errstate(over="ignore"):
        np.divide(error, tolerance, out=share, where=(tolerance > 0) & np.isfinite(error))
    share[passed] = 0.0
    worst = np.unravel_index(int(np.argmax(share)), share.shape)
    index = tuple(int(i) for i in worst)
    return Difference(
        name,
        "value",
        _describe(index, want64[index], got64[index], error[index], tolerance[index], share[index]),
        index,
        float(share[index]),
        int(np.count_nonzero(~passed)),
        int(error.size),
    )


def compute_tolerance(want: Array, rule: Rule, precision: str) -> NDArray[np.float64]:
    """Return the error allowed for each element.

    Rules are written for float64.  With ``precision="float32"`` units in the last place are
    float32's, and relative and absolute tolerances grow by the ratio of the two roundings, 2**29.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"unknown precision {precision!r}; expected one of {', '.join(PRECISIONS)}"
        )
    single = precision == "float32" and want.dtype != np.float32
    magnitude = np.abs(want.astype(np.float64))
    if rule.compare == "exact":
        return np.zeros(want.shape)
    finite = np.where(np.isfinite(magnitude), magnitude, 0.0)
    if rule.compare == "ulp":
        dtype = np.float32 if single or want.dtype == np.float32 else np.float64
        unit: NDArray[np.float64] = np.spacing(finite.astype(dtype)).astype(np.float64)
        return rule.ulp * unit
    scale = 2.0**29 if single else 1.0
    return np.asarray(scale * (rule.atol + rule.rtol * finite))


def _describe(
    index: tuple[int, ...], want: float, got: float, error: float, tolerance: float, share: float
) -> str:
    place = f"[{', '.join(map(str, index))}]" if index else ""
    text = f"{place} is {float(got)!r}; expected {float(want)!r}"
    if tolerance == 0:
        return f"{text} exactly"
    return f"{text}: error {error:.3g} is {share:.3g} times the tolerance {tolerance:.3g}"
