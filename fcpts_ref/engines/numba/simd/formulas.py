"""Arithmetic on vectors as formulas: Python expressions that emit one instruction per operator.

A formula is a function of ``Value`` objects.  ``evaluate`` makes it a part of a kernel.  Sums and
products are rounded one by one, so that a formula gives the same bits in every lane and thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from fcpts_ref.engines.numba.simd.emit import emit_multiply_add


class Value:
    """A vector of float32 or float64 while the code of a kernel is written."""

    def __init__(self, builder: Any, vector: Any) -> None:
        self.builder, self.vector = builder, vector
        self.double = isinstance(vector.type.element, ir.DoubleType)

    def constant(self, number: float) -> Value:
        """The number in every lane."""
        return Value(self.builder, ir.Constant(self.vector.type, [number] * self.vector.type.count))

    def _vector(self, other: Value | float) -> Any:
        return (other if isinstance(other, Value) else self.constant(other)).vector

    def __add__(self, other: Value | float) -> Value:
        return Value(self.builder, self.builder.fadd(self.vector, self._vector(other)))

    def __sub__(self, other: Value | float) -> Value:
        return Value(self.builder, self.builder.fsub(self.vector, self._vector(other)))

    def __mul__(self, other: Value | float) -> Value:
        return Value(self.builder, self.builder.fmul(self.vector, self._vector(other)))

    def __truediv__(self, other: Value | float) -> Value:
        return Value(self.builder, self.builder.fdiv(self.vector, self._vector(other)))

    def __rsub__(self, other: float) -> Value:
        return self.constant(other) - self

    def __rtruediv__(self, other: float) -> Value:
        return self.constant(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Value:
        return Value(self.builder, self.builder.fneg(self.vector))

    def times_plus(self, factor: Value | float, term: Value | float) -> Value:
        """self * factor + term, rounded once."""
        others = self._vector(factor), self._vector(term)
        return Value(self.builder, emit_multiply_add(self.builder, self.vector, *others))

    def where(
        self, comparison: str, bound: Value | float, chosen: Value | float, other: Value | float
    ) -> Value:
        """``chosen`` in the lanes where self compares so with the bound (NaN does not)."""
        builder = self.builder
        lanes = builder.fcmp_ordered(comparison, self.vector, self._vector(bound))
        return Value(builder, builder.select(lanes, self._vector(chosen), self._vector(other)))

    def power_of_two(self) -> Value:
        """2 to the power of a whole number within the exponents of normal numbers."""
        bits, mantissa = (64, 52) if self.double else (32, 23)
        integers = ir.VectorType(ir.IntType(bits), self.vector.type.count)

        def every(number: int) -> Any:
            return ir.Constant(integers, [number] * integers.count)

        shifted = self + 1.5 * 2.0**mantissa  # the whole number stands in its last bits
        number = self.builder.bitcast(shifted.vector, integers)
        bias = (1 << (bits - mantissa - 2)) - 1
        field = self.builder.shl(self.builder.add(number, every(bias)), every(mantissa))
        return Value(self.builder, self.builder.bitcast(field, self.vector.type))


def exponential(x: Value) -> Value:
    """e^x within 2 units in the last place; 0 below and infinity above the normal numbers.

    e^x = 2^n e^r with n = x / ln 2 rounded, and e^r as its Taylor series, |r| <= ln(2) / 2.
    """
    mantissa, bias, terms = (52, 1023, 14) if x.double else (23, 127, 8)
    high, low = _ln2(x.double)
    shift = 1.5 * 2.0**mantissa  # adding it rounds to whole numbers
    least, most = -(bias - 1) * math.log(2), bias * math.log(2)
    inside = x.where("<", least, least, x)
    inside = inside.where(">", most, most, inside)
    n = (inside * (1 / math.log(2)) + shift) - shift
    r = n.times_plus(-low, n.times_plus(-high, inside))
    series = r.constant(1 / math.factorial(terms - 1))
    for k in reversed(range(terms - 1)):
        series = series.times_plus(r, 1 / math.factorial(k))
    y = series * n.power_of_two()
    return x.where("<", least, 0.0, x.where(">", most, math.inf, y))


def _ln2(double: bool) -> tuple[float, float]:
    """ln 2 as the sum of a number of the dtype and a rest."""
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(2).ln()
        scale = Decimal(2) ** (53 if double else 24)
        high = (exact * scale).to_integral_value() / scale
        return float(high), float(exact - high)


Formula = Callable[..., Value]


def make_evaluate(formulas: tuple[Formula, ...]) -> Any:
    """Return ``evaluate(CHOICE, *vectors)`` for kernels: the formula of that number.

    CHOICE: static size; a kernel is compiled for each.
    """

    @intrinsic
    def evaluate(typing: Any, CHOICE: Any, *vectors: Any) -> Any:
        result = vectors[0]

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            fields = [builder.extract_value(args[1], i) for i in range(len(vectors))]
            return formulas[CHOICE.count](*(Value(builder, field) for field in fields)).vector

        from numba import types

        return result(CHOICE, types.StarArgTuple.from_types(vectors)), generate

    return evaluate
