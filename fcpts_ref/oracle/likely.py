"""What the wrong outputs of a case look like: another choice, or a relation to the right ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck.relations import LARGEST, relations
from fcpts_ref.oracle.compare import compare_output
from fcpts_ref.oracle.vectors import Case, Expected

OTHERS: dict[str, tuple[Any, ...]] = {
    "tie": ("pruned", "half"),
    "at_target": ("negative", "zero"),
    "density": ("kernel", "histogram"),
    "bandwidth": ("absolute", "relative"),
    "threshold_parameter": ("threshold", "sigmoid"),
    "control": ("loss", "projection"),
    "student_batch_norm": ("training", "evaluation"),
    "teacher_batch_norm": ("training", "evaluation"),
    "strict": (False, True),
    "strict_rate": (False, True),
    "nesterov": (False, True),
    "training": (False, True),
    "learn_rates": (False, True),
    "exact_gradient": (False, True),
    "penalty": (0.0,),
    "reconstruction_moves_thresholds": (False, True),
    "mask_gradient_reaches_weights": (False, True),
    "count_include_pad": (False, True),
    "ceil_mode": (False, True),
    "temperature": (1.0,),
    "control_weight": (1.0, 0.0),
    "momentum": (0.0, 0.1, 0.9),
    "weight_decay": (0.0,),
    "epsilon": (0.0, 1e-5, 1e-3),
    "rate_factor": (1.0,),
    "warmup": (0,),
    "warmup_epochs": (0,),
}
"""The other values of inputs that are choices: does the implementation hear them?"""


def likely_cause(case: Case, outputs: Mapping[str, Any], precision: str) -> str:
    """Return the choice that gives these outputs, or their relation to the right ones; or ""."""
    for name, value in _other_choices(case):
        again = _reference(case, {**case.inputs, name: value})
        if again is not None and _explains(case, outputs, again, precision):
            return f"computed with {name}={value!r}"
    for name, expected in case.outputs.items():
        if name not in outputs or _same(name, expected, outputs[name], precision):
            continue
        want, got = np.asarray(expected.value, dtype=np.float64), np.asarray(outputs[name])
        if got.dtype.kind not in "biuf" or got.size > LARGEST:
            return ""
        got = got.astype(np.float64)
        if not np.isfinite(got).all() or not np.isfinite(want).all():
            return ""
        share = 1e-4 if precision == "float32" else 1e-9
        relation = next(relations(want, got, share), "") if got.size > 1 or not want.any() else ""
        return f"{name}: {relation}" if relation else ""
    return ""


def _other_choices(case: Case) -> Iterator[tuple[str, Any]]:
    for name, values in OTHERS.items():
        if name in case.inputs:
            for value in values:
                if case.inputs[name] != value:
                    yield name, value


def _reference(case: Case, inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reference's outputs for other inputs; None if it refuses them."""
    from fcpts_ref.oracle import reference
    from fcpts_ref.oracle.adapters import AdapterError, name_outputs

    copies = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    try:
        with np.errstate(all="ignore"):
            result = getattr(reference, case.operation)(**copies)
        return name_outputs(result, tuple(case.outputs))
    except (AttributeError, InputError, AdapterError, KeyError, TypeError, ValueError):
        return None


def _explains(
    case: Case, outputs: Mapping[str, Any], again: Mapping[str, Any], precision: str
) -> bool:
    """Whether the outputs found are those of the reference with another choice."""
    found = [name for name in case.outputs if name in outputs and name in again]
    return bool(found) and all(
        _same(n, Expected(np.asarray(again[n]), case.outputs[n].rule), outputs[n], precision)
        for n in found
    )


def _same(name: str, expected: Expected, got: Any, precision: str) -> bool:
    return compare_output(name, expected, got, precision=precision) is None
