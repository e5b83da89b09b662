"""STR, LTP and ProbMask derived a second time.

Values one weight at a time in extended precision; gradients by numerical differentiation of the
values; the projection of scores by bisection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import exp, log, mpf

from tools.vectors.exact import Decisions, differentiate, exact, indices, total, zeros

Outputs = dict[str, Any]
MARGIN = mpf("1e-6")  # of ProbMask's scores, convention PM-2
HALVINGS = 300  # of the projection's bracket: the error falls below 80 digits


def _sigmoid(x: Any) -> mpf:
    return 1 / (1 + exp(-x))


def _logit(p: Any) -> mpf:
    return log(p / (1 - p))


# STR


def _shrink(w: mpf, t: mpf) -> mpf:
    return w - t if w > t else w + t if w < -t else mpf(0)


def soft_threshold(decide: Decisions, weight: Any, threshold: float) -> Outputs:
    """Move every weight towards 0 by t, and not beyond."""
    w, t = exact(weight), mpf(threshold)
    result = zeros(w.shape)
    for i in indices(w.shape):
        decide.compare(abs(w[i]), t)
        result[i] = _shrink(w[i], t)
    return {"effective": result}


def soft_threshold_gradients(
    decide: Decisions, weight: Any, threshold: float, deffective: Any
) -> Outputs:
    """Differentiate the sum of dL/dW~ W~ by the weights and by t; 0 at the kink."""
    w, t, up = exact(weight), mpf(threshold), exact(deffective)
    kink = np.array([decide.compare(abs(w[i]), t) == 0 for i in indices(w.shape)]).reshape(w.shape)
    up[kink] = mpf(0)

    def by_weight(x: Any) -> np.ndarray:
        return np.array([_shrink(v, t) for v in x.ravel()], dtype=object).reshape(w.shape)

    def by_threshold(x: Any) -> np.ndarray:
        return np.array([_shrink(v, x[0]) for v in w.ravel()], dtype=object).reshape(w.shape)

    return {
        "dweight": differentiate(by_weight, w, up),
        "dthreshold": differentiate(by_threshold, exact([threshold]), up)[0],
    }


# LTP


def _soft(w: Any, tau: Any, temperature: Any) -> np.ndarray:
    """Return a of every weight."""
    values = [_sigmoid((v * v - tau) / temperature) for v in np.ravel(w)]
    return np.array(values, dtype=object).reshape(np.shape(w))


def soft_mask_temperature(decide: Decisions, weight: Any, scale: float) -> Outputs:
    """Return T0 times the mean squared deviation of the magnitudes from their mean."""
    magnitudes = [abs(v) for v in exact(weight).ravel()]
    mean = total(magnitudes) / len(magnitudes)
    return {
        "temperature": mpf(scale) * total([(m - mean) ** 2 for m in magnitudes]) / len(magnitudes)
    }


def soft_mask(decide: Decisions, weight: Any, threshold: float, temperature: float) -> Outputs:
    return {"mask": _soft(exact(weight), mpf(threshold), mpf(temperature))}


def soft_count(decide: Decisions, mask: Any) -> Outputs:
    return {"count": total(exact(mask))}


def soft_mask_gradients(
    decide: Decisions,
    weight: Any,
    threshold: float,
    temperature: float,
    deffective: Any,
    penalty: float,
    exact_gradient: bool,
) -> Outputs:
    """Differentiate the sum of dL/dv w a, plus penalty times the sum of a.

    As published, the weights' gradient takes a as a constant.
    """
    w, tau, T = exact(weight), mpf(threshold), mpf(temperature)
    up, constant = exact(deffective), _soft(w, tau, T)

    def loss(x: Any, t: Any) -> np.ndarray:
        a = _soft(x, t, T)
        return np.asarray(up * x * a + mpf(penalty) * a)

    def by_weight(x: Any) -> np.ndarray:
        return loss(x, tau) if exact_gradient else np.asarray(up * x * constant)

    ones = np.full(w.shape, mpf(1), dtype=object)
    return {
        "dweight": differentiate(by_weight, w, ones),
        "dthreshold": differentiate(lambda t: loss(w, t[0]), exact([threshold]), ones)[0],
    }


# ProbMask


def logistic_noise(decide: Decisions, uniform: Any) -> Outputs:
    """The logarithm of the odds, as a difference of two Gumbel variables' distribution has it."""
    u = exact(uniform)
    return {"noise": np.array([_logit(p) for p in u.ravel()], dtype=object).reshape(u.shape)}


def _inside(score: mpf) -> mpf:
    return min(max(score, MARGIN), 1 - MARGIN)


def _relaxed(scores: Any, noise: Any, temperature: Any) -> np.ndarray:
    pairs = zip(np.ravel(scores), np.ravel(noise), strict=True)
    values = [_sigmoid((_logit(s) + n) / temperature) for s, n in pairs]
    return np.array(values, dtype=object).reshape(np.shape(scores))


def _clipped(scores: Any) -> np.ndarray:
    s = exact(scores)
    return np.array([_inside(v) for v in s.ravel()], dtype=object).reshape(s.shape)


def relaxed_mask(decide: Decisions, scores: Any, noise: Any, temperature: float) -> Outputs:
    return {"mask": _relaxed(_clipped(scores), exact(noise), mpf(temperature))}


def relaxed_mask_gradient(
    decide: Decisions, scores: Any, noise: Any, temperature: float, dmask: Any
) -> Outputs:
    """Differentiate the relaxed mask at the scores, moved within the margins."""
    z, T = exact(noise), mpf(temperature)
    gradient = differentiate(lambda s: _relaxed(s, z, T), _clipped(scores), exact(dmask))
    return {"dscores": gradient}


def project_scores(decide: Decisions, scores: Any, count: float) -> Outputs:
    """Find by bisection the shift v >= 0 for which the clipped scores sum to at most the count."""
    flat = [mpf(v.item()) for layer in scores for v in np.ravel(layer)]

    def at(v: mpf) -> list[mpf]:
        return [min(max(s - v, mpf(0)), mpf(1)) for s in flat]

    low, high = mpf(0), max([*flat, mpf(0)])
    if total(at(low)) <= mpf(count):
        high = low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if total(at(middle)) > mpf(count) else (low, middle)
    return {"scores": np.array(at(high), dtype=object)}


def cubic_density(
    decide: Decisions, progress: float, final: float, start: float, stop: float
) -> Outputs:
    """All weights until ``start``, the final share from ``stop`` on, a cubic between them."""
    p, r, a, b = mpf(progress), mpf(final), mpf(start), mpf(stop)
    left = min(max((b - p) / (b - a), mpf(0)), mpf(1))
    return {"density": r + (1 - r) * left**3}


def falling_temperature(decide: Decisions, progress: float, last: float) -> Outputs:
    return {"temperature": 1 + (mpf(last) - 1) * mpf(progress)}
