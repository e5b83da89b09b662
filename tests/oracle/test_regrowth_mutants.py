"""Subtly wrong ST-3, regrowth, Spartan and patterns are caught, at the operation that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from mutation import replaced
from scipy.special import expit

from fcpts_ref.oracle.adapters import load_python_adapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.report import format_report
from fcpts_ref.oracle.vectors import load_cases
from fcpts_ref.spec import patterns, regrowth, rescaled_threshold, soft_top_k

GROUPS = ("st3", "regrowth", "spartan", "patterns")
CASES = [case for case in load_cases() if case.group in GROUPS]
REFERENCE = load_python_adapter("reference")
Wrong = Callable[..., Any]


class Mutant(NamedTuple):
    """wrong: makes the wrong function of the right one.  found_at: the operations that fail."""

    name: str
    original: Wrong
    wrong: Callable[[Wrong], Wrong]
    found_at: frozenset[str]


def mutant(name: str, original: Wrong, wrong: Callable[[Wrong], Wrong], *found_at: str) -> Mutant:
    return Mutant(name, original, wrong, frozenset(found_at or (original.__name__,)))


def _scales(share: Callable[[Any, Any], Any], margin: float = 0.01) -> Callable[[Wrong], Wrong]:
    """Scales by another kept share of magnitudes (K, n) and their mask."""

    def make(right: Wrong) -> Wrong:
        def scales(weight: Any, threshold: float) -> Any:
            flat = np.abs(weight).reshape(len(weight), -1)
            with np.errstate(all="ignore"):
                found = (1 + margin) / (share(flat, flat > threshold) + margin)
            return found.reshape(-1, *[1] * (weight.ndim - 1))

        return scales

    return make


def _of_sums(flat: Any, kept: Any) -> Any:
    whole = flat.sum(1)
    return np.where(whole > 0, (flat * kept).sum(1) / np.where(whole > 0, whole, 1), 1)


def _hard_top_k_gradient(right: Wrong) -> Wrong:
    return lambda mask, sharpness, dmask: sharpness * mask * (1 - mask) * dmask


def _mean_of_all(right: Wrong) -> Wrong:
    return lambda mask, b, dmask: b * mask * (1 - mask) * (dmask - dmask.mean())


def _loose_root(right: Wrong) -> Wrong:
    """The published tolerance: the sum is met to 1 %."""

    def top_k(values: Any, count: int, sharpness: float) -> Any:
        mask = right(values, count, sharpness)
        return expit(np.log(mask / (1 - mask)) + 0.01) if 0 < count < len(values) else mask

    return top_k


def _softmax(right: Wrong) -> Wrong:
    def top_k(values: Any, count: int, sharpness: float) -> Any:
        right(values, count, sharpness)  # refuses bad input
        z = np.exp(sharpness * (values - values.max()))
        return np.minimum(count * z / z.sum(), 1)

    return top_k


def _regrown(change: Callable[..., tuple[Any, Any, Any, float]]) -> Callable[[Wrong], Wrong]:
    return lambda right: lambda w, m, g, share: right(*change(w, m, g, share))


def _grows_anywhere(right: Wrong) -> Wrong:
    """The largest gradients of all weights, kept ones too, and so fewer grow."""

    def mask(w: Any, m: Any, g: Any, share: float) -> Any:
        right(w, m, g, share)  # refuses bad input
        kept = m.ravel().copy()
        count = min(int(share * kept.sum()), int((~kept).sum()))
        kept[np.argsort(np.where(kept, abs(w.ravel()), np.inf), kind="stable")[:count]] = False
        kept[np.argsort(-abs(g.ravel()), kind="stable")[:count]] = True
        return kept.reshape(m.shape)

    return mask


def _rounded_count(right: Wrong) -> Wrong:
    def mask(w: Any, m: Any, g: Any, share: float) -> Any:
        kept = max(int(m.sum()), 1)
        return right(w, m, g, min((round(share * kept) + 0.5) / kept, 1) if share > 0 else share)

    return mask


def _dropped_return(right: Wrong) -> Wrong:
    """Weights that were just dropped may grow at once."""

    def mask(w: Any, m: Any, g: Any, share: float) -> Any:
        right(w, m, g, share)  # refuses bad input
        kept = m.ravel().copy()
        count = min(int(share * kept.sum()), int((~kept).sum()))
        kept[np.argsort(np.where(kept, abs(w.ravel()), np.inf), kind="stable")[:count]] = False
        order = np.argsort(np.where(kept, 0.0, -abs(g.ravel()) - 1), kind="stable")
        kept[order[:count]] = True
        return kept.reshape(m.shape)

    return mask


def _other_layout(right: Wrong) -> Wrong:
    return lambda weight, layout="channels": right(weight, "rows")


def _last_of_ties(right: Wrong) -> Wrong:
    def mask(weight: Any, N: int, M: int, layout: Any = "channels") -> Any:
        turned = patterns.weight_matrix(weight, layout)[:, ::-1]
        return patterns.from_matrix(right(turned, N, M, "rows")[:, ::-1], weight.shape, layout)

    return mask


def _pruned_count(right: Wrong) -> Wrong:
    """N is the number of pruned weights: the same for 2:4, not for 1:4."""
    return lambda weight, N, M, layout="channels": right(
        weight, M - N if 0 < N < M else N, M, layout
    )


def _in_the_output(right: Wrong) -> Wrong:
    def norms(weight: Any, sides: Any, layout: Any = "channels") -> Any:
        return right(weight, sides, layout) * np.sqrt(sides[0] * sides[1])

    return norms


def _mean_magnitude(right: Wrong) -> Wrong:
    def norms(weight: Any, sides: Any, layout: Any = "channels") -> Any:
        return np.abs(patterns.into_blocks(weight, sides, layout)).mean(axis=(2, 3))

    return norms


ST3 = ("channel_scales", "rescaled_soft_threshold")
SPARTAN = ("soft_top_k", "soft_top_k_gradient")

MUTANTS = [
    mutant("the share of the number of kept weights", rescaled_threshold.channel_scales,
           _scales(lambda flat, kept: kept.mean(1)), *ST3),
    mutant("no margin", rescaled_threshold.channel_scales, _scales(_of_sums, 0.0), *ST3),
    mutant("one scale for the whole layer", rescaled_threshold.channel_scales,
           _scales(lambda flat, kept: np.full(len(flat), (flat * kept).sum() / flat.sum())), *ST3),
    mutant("a channel of zeros is 0/0", rescaled_threshold.channel_scales,
           _scales(lambda flat, kept: (flat * kept).sum(1) / flat.sum(1)), *ST3),
    mutant("weights at the threshold count as kept", rescaled_threshold.channel_scales,
           lambda right: lambda w, t: right(w, np.nextafter(t, -1.0)), *ST3),
    mutant("kept weights are not moved", rescaled_threshold.rescaled_soft_threshold,
           lambda right: lambda w, t: rescaled_threshold.channel_scales(w, t) * w * (abs(w) > t)),
    mutant("channels are not rescaled", rescaled_threshold.rescaled_soft_threshold,
           lambda right: lambda w, t: np.sign(w) * np.maximum(abs(w) - t, 0)),
    mutant("pruned weights have no gradient", regrowth.straight_through_gradient,
           lambda right: lambda w, m, g, pull=0.0: right(w, m, g * m, pull)),
    mutant("the pull acts on kept weights too", regrowth.straight_through_gradient,
           lambda right: lambda w, m, g, pull=0.0: g + pull * w),
    mutant("the pull has the other sign", regrowth.straight_through_gradient,
           lambda right: lambda w, m, g, pull=0.0: right(w, m, g, -pull)),
    mutant("a whole cosine", regrowth.drop_share,
           lambda right: lambda p, first, stop: first / 2 * (1 + np.cos(2 * np.pi * p / stop)) * (
               p < stop)),
    mutant("the share falls linearly", regrowth.drop_share,
           lambda right: lambda p, first, stop: first * max(1 - p / stop, 0)),
    mutant("the cosine ends with the run", regrowth.drop_share,
           lambda right: lambda p, first, stop: right(p, first, 1.0)),
    mutant("the cosine rises again after its end", regrowth.drop_share,
           lambda right: lambda p, first, stop: first / 2 * (1 + np.cos(np.pi * p / stop))),
    mutant("the largest weights are dropped", regrowth.regrown_mask,
           _regrown(lambda w, m, g, share: (1 / (abs(w) + 1e-9) if np.isfinite(w).all() else w,
                                            m, g, share))),
    mutant("by the signed gradient", regrowth.regrown_mask,
           _regrown(lambda w, m, g, share: (w, m, np.maximum(g, 0), share))),
    mutant("kept weights are grown", regrowth.regrown_mask, _grows_anywhere),
    mutant("dropped weights grow at once", regrowth.regrown_mask, _dropped_return),
    mutant("the number is rounded", regrowth.regrown_mask, _rounded_count),
    mutant("the share is of all weights", regrowth.regrown_mask,
           _regrown(lambda w, m, g, share: (
               w, m, g, min(share * m.size / max(m.sum(), 1), 1) if share <= 1 else share))),
    mutant("the gradient of a free mask", soft_top_k.soft_top_k_gradient, _hard_top_k_gradient),
    mutant("the mean of dL/dm is not weighted", soft_top_k.soft_top_k_gradient, _mean_of_all),
    mutant("the gradient lacks the sharpness", soft_top_k.soft_top_k_gradient,
           lambda right: lambda m, b, dm: right(m, 1.0, dm)),
    mutant("the published tolerance of the sum", soft_top_k.soft_top_k, _loose_root, *SPARTAN),
    mutant("a softmax times the count, capped", soft_top_k.soft_top_k, _softmax, *SPARTAN),
    mutant("a temperature in place of a sharpness", soft_top_k.soft_top_k,
           lambda right: lambda v, count, b: right(v, count, 1 / b if b else b), *SPARTAN),
    mutant("neighbours as stored, for both layouts", patterns.weight_matrix, _other_layout,
           "pattern_mask", "block_norms"),
    mutant("of equal weights the last are pruned", patterns.pattern_mask, _last_of_ties),
    mutant("N weights are pruned, not kept", patterns.pattern_mask, _pruned_count),
    mutant("signed weights are compared", patterns.pattern_mask,
           lambda right: lambda w, N, M, layout="channels": right(np.exp(w), N, M, layout)),
    mutant("the norm of a block, not its mean", patterns.block_norms, _in_the_output),
    mutant("the mean of |w| in a block", patterns.block_norms, _mean_magnitude),
    mutant("blocks are not made smaller where they do not divide", patterns.block_sides,
           lambda right: lambda shape, rows, columns, layout="channels": (rows, columns),
           "block_norms"),
]  # fmt: skip


def test_the_reference_conforms() -> None:
    report = check(REFERENCE, CASES)
    assert report.ok, format_report(report)
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("wrong", MUTANTS, ids=[one.name for one in MUTANTS])
def test_it_is_caught_at_its_operation(wrong: Mutant) -> None:
    with replaced(wrong.original, wrong.wrong(wrong.original)), np.errstate(all="ignore"):
        report = check(REFERENCE, CASES)
    failed = {r.case.operation for r in report.results if r.status in ("fail", "error")}
    assert failed == wrong.found_at, format_report(report)
