"""Subtly wrong STR, LTP and ProbMask are caught, at the operation that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mutation import replaced
from scipy.special import expit, logit

from fcpts_ref.oracle.adapters import load_python_adapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.report import format_report
from fcpts_ref.oracle.vectors import load_cases
from fcpts_ref.spec import probabilistic_masks as probmask
from fcpts_ref.spec import soft_threshold as str_
from fcpts_ref.spec import threshold_pruning as ltp

CASES = load_cases()
REFERENCE = load_python_adapter("reference")


@dataclass(frozen=True)
class Mutant:
    """found_at: the operations that fail.  likely: part of the cause that the report names."""

    name: str
    original: Callable[..., Any]
    wrong: Callable[..., Any]
    found_at: frozenset[str]
    likely: str = ""


def mutant(
    name: str, original: Any, wrong: Any, *more: str, likely: str = "", at: str = ""
) -> Mutant:
    return Mutant(name, original, wrong, frozenset({at or original.__name__, *more}), likely)


def _no_temperature(s: Any, noise: Any, temperature: float) -> Any:
    return expit(logit(np.clip(s, 1e-6, 1 - 1e-6)) + noise / temperature)


def _shifted_both_ways(scores: Any, count: float) -> Any:
    """Meets the budget with equality: scores below it are raised."""
    low, high = -10.0, 10.0
    for _ in range(200):
        v = (low + high) / 2
        low, high = (v, high) if sum(np.clip(s - v, 0, 1).sum() for s in scores) > count else (
            low, v)  # fmt: skip
    return [np.clip(s - high, 0, 1) for s in scores]


def _without_box(scores: Any, count: float) -> Any:
    size = sum(s.size for s in scores)
    v = max((sum(s.sum() for s in scores) - count) / size, 0.0)
    return [np.clip(s - v, 0, 1) for s in scores]


def _gradients(change: Callable[..., Any]) -> Callable[..., Any]:
    """Change LTP's gradients: by weights, thresholds, penalty."""
    right = ltp.soft_mask_gradients

    def wrong(w: Any, a: Any, T: float, g: Any, penalty: float, exact: bool = False) -> Any:
        return change(*right(w, a, T, g, penalty, exact=exact), w, a, T, g, penalty, exact)

    return wrong


def _signed_gradient(w: Any, t: float, g: Any) -> tuple[Any, float]:
    dw, dt = _RIGHT_STR(w, t, g)
    return dw, -dt


def _without_sign(w: Any, t: float, g: Any) -> tuple[Any, float]:
    dw, _ = _RIGHT_STR(w, t, g)
    return dw, float(-dw.sum())


_RIGHT_STR = str_.soft_threshold_gradients
_RIGHT_MASK = probmask.relaxed_mask_gradient
LTP = "soft_mask_gradients"

MUTANTS = [
    mutant("the threshold is hard", str_.soft_threshold, lambda w, t: np.where(abs(w) > t, w, 0)),
    mutant("weights are not floored at 0", str_.soft_threshold,
           lambda w, t: np.sign(w) * (abs(w) - t)),
    mutant("the threshold's gradient has the other sign", _RIGHT_STR, _signed_gradient),
    mutant("the threshold's gradient lacks sgn(W)", _RIGHT_STR, _without_sign),
    mutant("pruned weights receive gradients", _RIGHT_STR,
           lambda w, t, g: (g, _RIGHT_STR(w, t, g)[1])),
    mutant("the threshold is on |w|, not on its square", ltp.soft_mask,
           lambda w, tau, T: expit((abs(w) - tau) / T), LTP),
    mutant("the variance of w, not of |w|", ltp.temperature,
           lambda w, scale: scale * w.var(), at="soft_mask_temperature"),
    mutant("the sample's variance", ltp.temperature,
           lambda w, scale: scale * abs(w).var(ddof=1), at="soft_mask_temperature"),
    mutant("the standard deviation", ltp.temperature,
           lambda w, scale: scale * abs(w).std(), at="soft_mask_temperature"),
    mutant("the mean of the mask, not its sum", ltp.soft_count, lambda a: a.mean()),
    mutant("the penalty does not reach the thresholds", ltp.soft_mask_gradients,
           _gradients(lambda dw, dt, w, a, T, g, penalty, exact: (
               dw, -np.sum(g * w * a * (1 - a) / T)))),
    mutant("the published gradient in place of the exact one", ltp.soft_mask_gradients,
           _gradients(lambda dw, dt, w, a, T, g, penalty, exact: (g * a, dt)),
           likely="exact_gradient=False"),
    mutant("the exact gradient in place of the published one", ltp.soft_mask_gradients,
           _gradients(lambda dw, dt, w, a, T, g, penalty, exact: (
               g * (a + 2 * w * w * a * (1 - a) / T) + 2 * penalty * w * a * (1 - a) / T, dt)),
           likely="exact_gradient=True"),
    mutant("the temperature divides the noise alone", probmask.relaxed_mask, _no_temperature,
           "relaxed_mask_gradient"),
    mutant("one Gumbel variable, not the difference of two", probmask.logistic_noise,
           lambda u: -np.log(-np.log(u))),
    mutant("the gradient lacks the temperature", _RIGHT_MASK,
           lambda s, m, T, g: _RIGHT_MASK(s, m, 1.0, g)),
    mutant("the gradient lacks the logit's", _RIGHT_MASK,
           lambda s, m, T, g: g * m * (1 - m) / T),
    mutant("the gradient's temperature is at least 0.1", _RIGHT_MASK,
           lambda s, m, T, g: _RIGHT_MASK(s, m, max(T, 0.1), g)),
    mutant("the gradient's temperature is at most 1", _RIGHT_MASK,
           lambda s, m, T, g: _RIGHT_MASK(s, m, min(T, 1.0), g)),
    mutant("the gradient of cold masks is that of a step", _RIGHT_MASK,
           lambda s, m, T, g: _RIGHT_MASK(s, m, T, g) * (T > 0.1)),
    mutant("the gradient of cold masks passes straight through", _RIGHT_MASK,
           lambda s, m, T, g: _RIGHT_MASK(s, m, T, g) if T > 0.1 else g),
    mutant("the gradient is that of the mask rounded to float16", _RIGHT_MASK,
           lambda s, m, T, g: _RIGHT_MASK(s, m.astype(np.float16).astype(float), T, g)),
    mutant("the projection raises scores", probmask.project_scores, _shifted_both_ways),
    mutant("one shift, as if no score met an end", probmask.project_scores, _without_box),
    mutant("the projection only clips", probmask.project_scores,
           lambda scores, count: [np.clip(s, 0, 1) for s in scores]),
    mutant("the density falls by a square", probmask.cubic_density,
           lambda p, final, start, stop: final + (1 - final) * (
               1 - min(max((p - start) / (stop - start), 0), 1)) ** 2),
    mutant("the temperature falls to 0", probmask.falling_temperature, lambda p, last: 1 - p),
]  # fmt: skip


def _run() -> Any:
    return check(REFERENCE, [c for c in CASES if c.group in ("str", "ltp", "probmask")])


def test_the_reference_conforms() -> None:
    assert _run().ok


@pytest.mark.parametrize("wrong", MUTANTS, ids=[one.name for one in MUTANTS])
def test_it_is_caught_at_its_operation(wrong: Mutant) -> None:
    with replaced(wrong.original, wrong.wrong):
        report = _run()
    failed = [result for result in report.results if result.status == "fail"]
    assert {result.case.operation for result in failed} == wrong.found_at, format_report(report)
    if wrong.likely:
        assert all(wrong.likely in result.cause for result in failed if result.case.group == "ltp")
