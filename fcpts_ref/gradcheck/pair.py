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

ROUNDING = 16.0  # units in the last place of a function's value that rounding may cost
VALUE = "(value)"  # in place of an input, where the values themselves are compared

SCALES = {
    "adjoint": "the sum of the absolute terms",
    "complex": "the sum of the absolute terms",
    "jacobian": "the largest element",
    "surrogate": "the largest element",
    "torch": "the largest element",
}
"""The scale that the errors of a method are relative to."""

SIDES = {
    "adjoint": ("backward gives", "the function's values give"),
    "surrogate": ("backward gives", "its formula gives"),
    "torch": ("the pair gives", "PyTorch gives"),
}
"""How the two sides of a comparison are named."""


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
        subject = "value" if self.input == VALUE else f"gradient of {self.input}"
        if self.message:
            return f"{self.pair}: {subject}: {self.message}{related}"
        if self.method not in SCALES:
            return f"{self.pair}: {subject}: its {self.method} is right"
        got, expected = SIDES.get(self.method, SIDES["adjoint"])
        return (
            f"{self.pair}: {subject}, {self.method} check, {self.direction}: "
            f"{got} {self.got!r}, {expected} {self.expected!r}; they differ by {self.error:.3g} "
            f"of {SCALES[self.method]}, tolerance {self.tolerance:.3g}{related}"
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


def rounding_floor(value: Array, precision: str, step: float = 1.0) -> float:
    """Return the error of a derivative that rounding alone may cause, in units of ``value``.

    A derivative that is 0, such as that of a bias before batch norm, is nothing but this error.
    value: the absolute terms that are added up.  step: of differences between values in float64.
    """
    unit = max(float(np.finfo(precision).eps), float(np.finfo(np.float64).eps) / step)
    return ROUNDING * unit * float(np.abs(value).sum())


def make_fault(pair: str, name: str, message: str, method: str = "form") -> Finding:
    """Return a finding that always fails: a wrong form, or nothing to compare."""
    nan = float("nan")
    return Finding(pair, name, method, "", nan, nan, float("inf"), 0.0, message)


def compare_sums(
    where: tuple[str, str, str, str],
    expected: Array,
    got: Array,
    tolerance: float,
    floor: float = 0.0,
) -> Finding:
    """Compare two sums; the error is relative to the sum of the absolute terms.

    floor: the error that rounding may cause; the tolerance is no smaller than this.
    """
    tiny = float(np.finfo(np.float64).tiny)
    scale = max(float(np.abs(expected).sum()), float(np.abs(got).sum()), floor, tiny)
    error = abs(float(expected.sum()) - float(got.sum())) / scale
    tolerance = max(tolerance, floor / scale)
    return Finding(*where, float(expected.sum()), float(got.sum()), error, tolerance)


def compare_arrays(
    where: tuple[str, str, str], want: Array, got: Array, tolerance: float, floor: float = 0.0
) -> Finding:
    """Compare two arrays: the worst element, relative to the largest expected one.

    floor: the error that rounding may cause; the tolerance is no smaller than this.
    """
    pair, name, method = where
    if want.shape != got.shape:
        return make_fault(pair, name, f"it has shape {got.shape}; expected {want.shape}", method)
    if want.size == 0:
        return make_fault(pair, name, "it has no elements: nothing was compared", method)
    scale = max(float(np.abs(want).max()), floor, float(np.finfo(np.float64).tiny))
    error, tolerance = np.abs(want - got).ravel() / scale, max(tolerance, floor / scale)
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
