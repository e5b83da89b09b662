"""A function with its derivative, and the findings of comparing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]
Kink = tuple[float, ...] | Callable[[Array], Array]
Surrogate = Callable[..., Array]

DIFFERENCE_STEP = 1e-5  # error about step**2 of the third derivative, plus 1e-16 / step
TOLERANCES = {  # relative to the sum of the absolute terms of either side
    ("adjoint", "float64"): 1e-7,
    ("complex", "float64"): 1e-12,
    ("jacobian", "float64"): 1e-7,
    ("adjoint", "float32"): 2e-4,
    ("complex", "float32"): 2e-4,
    ("jacobian", "float32"): 2e-4,
    ("surrogate", "float64"): 1e-12,
    ("surrogate", "float32"): 1e-5,
    ("torch", "float64"): 1e-10,
    ("torch", "float32"): 2e-4,
}

SCALES = {
    "adjoint": "the sum of the absolute terms",
    "complex": "the sum of the absolute terms",
    "jacobian": "the largest element",
    "surrogate": "the largest element",
    "torch": "the largest element",
}
"""The scale that the errors of a method are relative to."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A function and its derivative, with declarations of where it is not differentiable.

    names: of the inputs; only floating inputs are differentiated.  settings: keyword arguments of
    ``forward``.  output: the index of the value that ``backward`` differentiates (None: the only).
    kinks: by input, the values at which the derivative jumps, or a function that marks elements.
    surrogates: by input, ``formula(dvalue, *inputs)``, the gradient that ``backward`` must return.
    constant: inputs that are declared to have no derivative.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    names: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    output: int | None = None
    kinks: Mapping[str, Kink] = field(default_factory=dict)
    surrogates: Mapping[str, Surrogate] = field(default_factory=dict)
    constant: tuple[str, ...] = ()

    def value(self, inputs: Sequence[Any]) -> Array:
        """The value that is differentiated."""
        return self.run(inputs)[0]

    def run(self, inputs: Sequence[Any]) -> tuple[Array, Any]:
        """Return the value and the cache for ``backward``.  Raises InputError for another form."""
        returned = self.forward(*inputs, **self.settings)
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise InputError(
                f"forward of {self.name} returned one {type(returned).__name__}; expected "
                "(value, cache)"
            )
        value, cache = returned
        return np.asarray(value if self.output is None else value[self.output]), cache

    def gradients(self, inputs: Sequence[Any], cotangent: Array) -> tuple[Array, tuple[Any, ...]]:
        """Return the value, and the gradients of the inputs in order."""
        value, cache = self.run(inputs)
        return value, self.pull(cotangent, cache)

    def pull(self, cotangent: Array, cache: Any) -> tuple[Any, ...]:
        """Return the gradients of the inputs in order; the cotangent is passed without a copy.

        A list of gradients is read as a tuple of them.
        """
        gradients = self.backward(cotangent if cotangent.ndim else cotangent[()], cache)
        return tuple(gradients) if isinstance(gradients, tuple | list) else (gradients,)


@dataclass(frozen=True)
class Finding:
    """One comparison: the input and direction, both values, the error and its tolerance.

    ``error`` and ``tolerance`` are relative.  NaN is never ok.  relation: how a wrong gradient is
    related to the right one, such as a factor or a missing sum, if it is.
    """

    pair: str
    input: str
    method: str
    direction: str
    expected: float
    got: float
    error: float
    tolerance: float
    message: str = ""
    relation: str = ""

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; false for NaN."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        related = f"; {self.relation}" if self.relation else ""
        if self.message:
            return f"{self.pair}: gradient of {self.input}: {self.message}{related}"
        if self.method not in SCALES:
            return f"{self.pair}: gradient of {self.input}: its {self.method} is right"
        return (
            f"{self.pair}: gradient of {self.input}, {self.method} check, {self.direction}: "
            f"backward gives {self.got!r}, the function's values give {self.expected!r}; "
            f"they differ by {self.error:.3g} of {SCALES[self.method]}, tolerance "
            f"{self.tolerance:.3g}{related}"
        )


def is_differentiable(pair: Pair, name: str, value: Any) -> bool:
    """Whether an input is compared with the function's values."""
    return (
        isinstance(value, np.ndarray)
        and value.dtype.kind == "f"
        and name not in pair.surrogates
        and name not in pair.constant
    )


def near_kinks(pair: Pair, name: str, given: Array) -> NDArray[np.bool_]:
    """Mark the elements of an input that a step could carry across or off a declared kink."""
    kink = pair.kinks.get(name, ())
    if callable(kink):
        return np.asarray(kink(given), dtype=np.bool_)
    near = np.zeros(given.shape, dtype=np.bool_)
    for place in kink:
        near |= np.abs(given - place) < 10 * DIFFERENCE_STEP * max(1.0, abs(place))
    return near


def precision_of(inputs: Sequence[Any]) -> str:
    """Return "float32" if any input is, as its rounding limits the comparison; else "float64"."""
    names = {value.dtype.name for value in inputs if isinstance(value, np.ndarray)}
    return "float32" if "float32" in names else "float64"


def make_fault(pair: str, name: str, message: str, method: str = "form") -> Finding:
    """Return a finding that always fails: a wrong form, or nothing to compare."""
    nan = float("nan")
    return Finding(pair, name, method, "", nan, nan, float("inf"), 0.0, message)


def compare_sums(
    where: tuple[str, str, str, str], expected: Array, got: Array, tolerance: float
) -> Finding:
    """Compare two sums; the error is relative to the sum of the absolute terms."""
    scale = max(float(np.abs(expected).sum()), float(np.abs(got).sum()), np.finfo(float).tiny)
    error = abs(float(expected.sum()) - float(got.sum())) / scale
    return Finding(*where, float(expected.sum()), float(got.sum()), error, tolerance)


def compare_arrays(
    where: tuple[str, str, str], want: Array, got: Array, tolerance: float
) -> Finding:
    """Compare two gradients: the worst element, relative to the largest expected one."""
    pair, name, method = where
    if want.size == 0:
        return make_fault(pair, name, "it has no elements: nothing was compared", method)
    error = np.abs(want - got).ravel() / max(float(np.abs(want).max()), np.finfo(float).tiny)
    worst = int(np.argmax(np.nan_to_num(error, nan=np.inf)))
    values = float(want.ravel()[worst]), float(got.ravel()[worst])
    return Finding(*where, f"element {worst}", *values, float(error[worst]), tolerance)


def raise_unless_ok(findings: Sequence[Finding]) -> None:
    """Raise ``AssertionError`` with every failed finding; also if nothing was compared."""
    if not findings:
        raise AssertionError("no gradient was compared: no input is floating and differentiable")
    failed = [str(finding) for finding in findings if not finding.ok]
    if failed:
        raise AssertionError("\n".join(failed))
