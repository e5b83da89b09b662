"""Checks of derivatives against their functions: adjoint, complex step, full Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.gradcheck.form import check_form, check_inputs, describe_change, describe_raised
from fcpts_ref.gradcheck.pair import (
    DIFFERENCE_STEP,
    TOLERANCES,
    VALUE,
    Array,
    Finding,
    Kink,
    Pair,
    Surrogate,
    compare_arrays,
    compare_sums,
    is_differentiable,
    make_fault,
    near_kinks,
    precision_of,
    raise_unless_ok,
    rounding_floor,
)
from fcpts_ref.gradcheck.relations import relations

METHODS = ("adjoint", "complex", "jacobian")
STEPS = {"adjoint": DIFFERENCE_STEP, "complex": 1.0, "jacobian": DIFFERENCE_STEP}  # of differences
COMPLEX_STEP = 1e-30  # no subtraction, so no cancellation: any step that does not underflow
MAXIMUM_JACOBIAN = 1 << 22  # elements; checked before it is filled
OWN_STREAM = 1  # of random numbers; a caller's ``default_rng(seed)`` may have made the inputs
MAXIMUM_DIAGNOSED = 1 << 12  # elements of an input whose wrong gradient is compared one by one


def check_gradients(
    pair: Pair,
    inputs: Sequence[Any],
    *,
    methods: Sequence[str] = ("adjoint",),
    directions: int = 3,
    seed: int = 0,
) -> list[Finding]:
    """Check every differentiable input; ``Finding.ok`` tells whether a comparison succeeded.

    inputs: arrays in the order of ``pair.names``; ``backward`` runs in their dtype, the function's
    values are computed in float64.  A function that raises an exception is a failed finding.
    Raises InputError for unknown methods or inputs that do not fit.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise InputError(f"unknown methods {unknown}; expected some of {', '.join(METHODS)}")
    if len(inputs) != len(pair.names) or directions < 1:
        raise InputError(
            f"got {counted(len(inputs), 'input')} and {directions} directions; expected one input "
            f"for each of {', '.join(pair.names)} and at least one direction"
        )
    inputs = [np.asarray(v) if isinstance(v, float | np.floating) else v for v in inputs]
    check_inputs(pair, inputs)
    try:
        value, _ = pair.run(inputs)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        return [make_fault(pair.name, VALUE, describe_raised(error))]
    try:
        return _check(pair, inputs, value, methods, directions, seed)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        return [make_fault(pair.name, pair.names[0], describe_raised(error))]


def _check(
    pair: Pair,
    inputs: Sequence[Any],
    value: Array,
    methods: Sequence[str],
    directions: int,
    seed: int,
) -> list[Finding]:
    named = zip(pair.names, inputs, strict=True)
    compared = any(is_differentiable(pair, name, given) for name, given in named)
    if compared and value.dtype.kind != "f":
        message = f"it is of dtype {value.dtype}; expected real floating numbers"
        return [make_fault(pair.name, VALUE, message)]
    generator = np.random.default_rng([seed, OWN_STREAM])
    cotangents = [generator.standard_normal(value.shape) for _ in range(directions)]
    findings = check_form(pair, inputs, cotangents[0].astype(value.dtype))
    if not all(finding.ok for finding in findings):
        return _diagnosed(pair, inputs, cotangents[0].astype(value.dtype), findings)
    if compared and (changes := describe_change(pair, inputs, value)):
        return [make_fault(pair.name, VALUE, changes)]
    for method in methods:
        if method == "jacobian":
            findings += _check_jacobian(pair, inputs, value)
        else:
            findings += _check_directions(pair, inputs, value, cotangents, method, generator)
    findings += _check_surrogates(pair, inputs, cotangents[0].astype(value.dtype))
    return _diagnosed(pair, inputs, cotangents[0].astype(value.dtype), findings)


def _diagnosed(
    pair: Pair, inputs: Sequence[Any], cotangent: Array, findings: list[Finding]
) -> list[Finding]:
    """Add to the first failed finding of each input how its gradient is related to the right one.

    The right one is computed element by element, for inputs of at most ``MAXIMUM_DIAGNOSED``.
    """
    done: set[str] = set()
    result = []
    for finding in findings:
        name = finding.input
        if not finding.ok and name not in done and name in pair.names:
            done.add(name)
            i = pair.names.index(name)
            finding = replace(finding, relation=_relation(pair, inputs, i, cotangent))
        result.append(finding)
    return result


def _relation(pair: Pair, inputs: Sequence[Any], i: int, cotangent: Array) -> str:
    """Return how the gradient of an input is related to differences of values; "" if not at all."""
    given = inputs[i]
    if not is_differentiable(pair, pair.names[i], given):
        return ""
    if not 0 < given.size <= MAXIMUM_DIAGNOSED or near_kinks(pair, pair.names[i], given).any():
        return ""
    try:
        got = np.asarray(pair.gradients(inputs, cotangent)[1][i], dtype=np.float64)
        want = np.empty(given.size)
        for k in range(given.size):
            tangent = np.zeros(given.size)
            tangent[k] = 1
            pushed = _push(pair, inputs, i, tangent.reshape(given.shape), "adjoint")
            want[k] = (cotangent * pushed).sum()
    except Exception:  # the function fails with these inputs: its own finding says so
        return ""
    share = max(1e-5, 10 * TOLERANCES["adjoint", precision_of(inputs)])
    return next(relations(want.reshape(given.shape), got, share), "")


def assert_gradients_match(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    output: int | None = None,
    kinks: Mapping[str, Kink] | None = None,
    surrogates: Mapping[str, Surrogate] | None = None,
    constant: Sequence[str] = (),
    methods: Sequence[str] = ("adjoint",),
    directions: int = 3,
    seed: int = 0,
) -> None:
    """Raise ``AssertionError`` naming input, direction, error and tolerance unless all match.

    For use in tests.  inputs: by name, in the order of ``forward``; the other arguments as in
    ``Pair`` and ``check_gradients``.
    """
    pair = Pair(
        getattr(forward, "__name__", "function"),
        forward,
        backward,
        tuple(inputs),
        settings or {},
        output,
        kinks or {},
        surrogates or {},
        tuple(constant),
    )
    findings = check_gradients(
        pair, list(inputs.values()), methods=methods, directions=directions, seed=seed
    )
    raise_unless_ok(findings)


def _check_directions(
    pair: Pair,
    inputs: Sequence[Any],
    value: Array,
    cotangents: Sequence[Array],
    method: str,
    generator: np.random.Generator,
) -> list[Finding]:
    findings, precision = [], precision_of(inputs)
    for number, cotangent in enumerate(cotangents):
        _, gradients = pair.gradients(inputs, cotangent.astype(value.dtype))
        for i, (name, given) in enumerate(zip(pair.names, inputs, strict=True)):
            if not is_differentiable(pair, name, given):
                continue
            tangent = generator.standard_normal(given.shape)
            skipped = near_kinks(pair, name, given)
            if skipped.all() or cotangent.size == 0:
                findings.append(_nothing_compared(pair, name, method, given, cotangent))
                continue
            tangent[skipped] = 0.0
            pushed = _push(pair, inputs, i, tangent, method)
            findings.append(
                compare_sums(
                    (pair.name, name, method, f"direction {number + 1}"),
                    cotangent * pushed,
                    np.asarray(gradients[i], dtype=np.float64) * tangent,
                    TOLERANCES[method, precision],
                    rounding_floor(cotangent * value, precision, STEPS[method]),
                )
            )
    return findings


def _nothing_compared(
    pair: Pair, name: str, method: str, given: Array, cotangent: Array
) -> Finding:
    if given.size and cotangent.size:
        reason = f"{counted(given.size, 'element')}, all at declared kinks; use other inputs"
    else:
        reason = "it or the function's value has no elements; use larger shapes"
    return make_fault(pair.name, name, f"nothing was compared: {reason}", method)


def _widened(inputs: Sequence[Any], dtype: Any) -> list[Any]:
    return [
        value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for value in inputs
    ]


def _push(pair: Pair, inputs: Sequence[Any], i: int, tangent: Array, method: str) -> Array:
    """J v: the derivative of the value with respect to input i along the tangent."""
    if method == "complex":
        moved = _widened(inputs, np.float64)
        moved[i] = moved[i] + 1j * COMPLEX_STEP * tangent
        return np.asarray(pair.value(moved).imag / COMPLEX_STEP)
    ends = []
    for sign in (1, -1):
        moved = _widened(inputs, np.float64)
        moved[i] = moved[i] + sign * DIFFERENCE_STEP * tangent
        ends.append(pair.value(moved))
    return np.asarray((ends[0] - ends[1]) / (2 * DIFFERENCE_STEP))


def _check_jacobian(pair: Pair, inputs: Sequence[Any], value: Array) -> list[Finding]:
    findings = []
    for i, (name, given) in enumerate(zip(pair.names, inputs, strict=True)):
        if not is_differentiable(pair, name, given):
            continue
        if value.size * given.size > MAXIMUM_JACOBIAN:
            raise InputError(
                f"the Jacobian of {pair.name} by {name} would have {value.size}x{given.size} "
                f"elements; use shapes of at most {MAXIMUM_JACOBIAN}"
            )
        rows = _jacobian_rows(pair, inputs, i, value)
        columns = _jacobian_columns(pair, inputs, i, value)
        skipped = near_kinks(pair, name, given).ravel()
        if skipped.all() or value.size == 0:
            findings.append(_nothing_compared(pair, name, "jacobian", given, value))
            continue
        precision = precision_of(inputs)
        floor = rounding_floor(np.abs(value).max(), precision, STEPS["jacobian"])
        findings.append(_compare_jacobians(pair, name, rows, columns, skipped, precision, floor))
    return findings


def _jacobian_rows(pair: Pair, inputs: Sequence[Any], i: int, value: Array) -> Array:
    rows = np.empty((value.size, inputs[i].size))
    for k in range(value.size):
        unit = np.zeros(value.size, dtype=value.dtype)
        unit[k] = 1
        rows[k] = np.asarray(pair.gradients(inputs, unit.reshape(value.shape))[1][i]).ravel()
    return rows


def _jacobian_columns(pair: Pair, inputs: Sequence[Any], i: int, value: Array) -> Array:
    columns = np.empty((value.size, inputs[i].size))
    for k in range(inputs[i].size):
        unit = np.zeros(inputs[i].size)
        unit[k] = 1
        tangent = unit.reshape(inputs[i].shape)
        columns[:, k] = _push(pair, inputs, i, tangent, "adjoint").ravel()
    return columns


def _compare_jacobians(
    pair: Pair,
    name: str,
    rows: Array,
    columns: Array,
    skipped: Array,
    precision: str,
    floor: float,
) -> Finding:
    """The worst element, relative to the largest of the Jacobian."""
    rows, columns = rows[:, ~skipped], columns[:, ~skipped]
    where = (pair.name, name, "jacobian")
    scale = max(float(np.abs(columns).max()), floor, float(np.finfo(np.float64).tiny))
    error = np.abs(rows - columns) / scale
    tolerance = max(TOLERANCES["jacobian", precision], floor / scale)
    k, j = np.unravel_index(int(np.argmax(np.nan_to_num(error, nan=np.inf))), error.shape)
    place = f"output {k} by element {np.flatnonzero(~skipped)[j]}"
    return Finding(
        *where, place, float(columns[k, j]), float(rows[k, j]), float(error[k, j]), tolerance
    )


def _check_surrogates(pair: Pair, inputs: Sequence[Any], cotangent: Array) -> list[Finding]:
    """Compare declared surrogates with their own formula, element by element."""
    findings = []
    _, gradients = pair.gradients(inputs, cotangent)
    for name, formula in pair.surrogates.items():
        i = pair.names.index(name)
        want = np.asarray(formula(cotangent, *inputs), dtype=np.float64).ravel()
        got = np.asarray(gradients[i], dtype=np.float64).ravel()
        where = (pair.name, name, "surrogate")
        if want.shape != got.shape:
            message = (
                f"it has {counted(got.size, 'element')}; expected {want.size} as in its formula"
            )
            findings.append(make_fault(pair.name, name, message))
        else:
            findings.append(
                compare_arrays(where, want, got, TOLERANCES["surrogate", precision_of(inputs)])
            )
    return findings
