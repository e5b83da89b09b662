"""Allocations, budgets and optimisers derived a second time.

Allocations by sorting everything and counting one by one; optimisers step by step in extended
precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import cos, log, mp, mpf, pi, sqrt

from tools.vectors.exact import Decisions, exact, indices, zeros

Outputs = dict[str, Any]


# Allocations: every weight carries its score, its layer and its place


def pruned_count(decide: Decisions, target: float, size: int) -> Outputs:
    """round(target * size), halves to the even neighbour."""
    wanted = mpf(target) * size
    below = int(mp.floor(wanted))
    sign = decide.compare(wanted - below, mpf("0.5"))
    up = sign > 0 or (sign == 0 and below % 2 == 1)
    return {"count": mpf(below + up)}


def _budget(decide: Decisions, target: float, size: int) -> int:
    return int(pruned_count(decide, target, size)["count"])


def _rates_by_score(decide: Decisions, scores: list[list[mpf]], target: float) -> Outputs:
    """Prune the lowest scores of all layers; equals in the order of layers, then of weights."""
    everything = [
        (score, layer, place)
        for layer, layer_scores in enumerate(scores)
        for place, score in enumerate(layer_scores)
    ]
    everything.sort()
    count = _budget(decide, target, len(everything))
    if 0 < count < len(everything):
        decide.compare(everything[count - 1][0], everything[count][0])
    rates = []
    for layer, layer_scores in enumerate(scores):
        lost = sum(1 for entry in everything[:count] if entry[1] == layer)
        rates.append(mpf(lost) / len(layer_scores))
    return {"rates": np.array(rates, dtype=object)}


def allocation_uniform(decide: Decisions, weights: Any, target: float) -> Outputs:
    return {"rates": np.array([mpf(target) for _ in weights], dtype=object)}


def allocation_erk(decide: Decisions, weights: Any, target: float) -> Outputs:
    kept = (1 - mpf(target)) * sum(w.size for w in weights)
    return {"rates": _erk(decide, weights, kept)}


def allocation_erk_floor(decide: Decisions, weights: Any, target: float) -> Outputs:
    """Count down from the weights of each layer while the pruned share stays within the target."""
    kept = 0
    for w in weights:
        pruned = 0
        while pruned + 1 <= mpf(target) * w.size:
            pruned += 1
        kept += w.size - pruned
    return {"rates": _erk(decide, weights, mpf(kept))}


def _erk(decide: Decisions, weights: Any, kept: mpf) -> np.ndarray:
    """Raise one scale until the layers' capped densities fill the budget exactly.

    A layer of score s has density min(1, scale * s).  The kept weights grow with the scale, so
    the answer lies between two of the scales at which a layer becomes dense.
    """
    score = [mpf(sum(w.shape)) / w.size for w in weights]
    caps = sorted({1 / s for s in score})
    scale = None
    for k in range(len(caps) + 1):  # k of the caps lie below the scale
        dense = [s for s in score if 1 / s in caps[:k]]
        free = [i for i, s in enumerate(score) if s not in dense]
        fixed = sum(w.size for i, w in enumerate(weights) if i not in free)
        if not free:
            break
        trial = (kept - fixed) / mp.fsum(score[i] * weights[i].size for i in free)
        above = k == 0 or trial >= caps[k - 1]
        if above and decide.compare(trial, caps[k]) <= 0:
            scale = trial
            break
    assert scale is not None
    return np.array([1 - min(mpf(1), scale * s) for s in score], dtype=object)


def allocation_global_magnitude(decide: Decisions, weights: Any, target: float) -> Outputs:
    scores = [[abs(w) for w in exact(weight).ravel()] for weight in weights]
    return _rates_by_score(decide, scores, target)


def allocation_l1_norm(decide: Decisions, weights: Any, target: float) -> Outputs:
    scores = []
    for weight in weights:
        magnitudes = [abs(w) for w in exact(weight).ravel()]
        scores.append([m / mp.fsum(magnitudes) for m in magnitudes])
    return _rates_by_score(decide, scores, target)


def allocation_l2_norm(decide: Decisions, weights: Any, target: float) -> Outputs:
    scores = []
    for weight in weights:
        magnitudes = [abs(w) for w in exact(weight).ravel()]
        norm = sqrt(mp.fsum(m * m for m in magnitudes))
        scores.append([m / norm for m in magnitudes])
    return _rates_by_score(decide, scores, target)


def allocation_lamp(decide: Decisions, weights: Any, target: float) -> Outputs:
    """Score by w^2 over the sum of the layer's squares from w^2 up, one weight at a time."""
    scores = []
    for weight in weights:
        squares = [w * w for w in exact(weight).ravel()]
        order = sorted(range(len(squares)), key=lambda i: (squares[i], i))
        layer = [mpf(0)] * len(squares)
        for rank, i in enumerate(order):
            layer[i] = squares[i] / mp.fsum(squares[j] for j in order[rank:])
        scores.append(layer)
    return _rates_by_score(decide, scores, target)


# Thresholds and masks that meet a count


def threshold_of_count(decide: Decisions, weight: Any, count: int) -> Outputs:
    """Return the largest pruned magnitude; 0 if nothing is pruned."""
    magnitudes = sorted(abs(w) for w in exact(weight).ravel())
    return {"threshold": magnitudes[count - 1] if count else mpf(0)}


def mask_of_count(decide: Decisions, weight: Any, count: int) -> Outputs:
    """Prune exactly the ``count`` smallest; of equals the first in row-major order."""
    w = exact(weight).ravel()
    order = sorted(range(len(w)), key=lambda i: (abs(w[i]), i))
    if 0 < count < len(order):
        decide.compare(abs(w[order[count - 1]]), abs(w[order[count]]))
    mask = zeros((len(w),))
    for i in order[count:]:
        mask[i] = mpf(1)
    return {"mask": mask.reshape(weight.shape)}


def exact_masks(decide: Decisions, weights: Any, thresholds: Any, count: int) -> Outputs:
    """Return the concatenated masks of all layers: the ``count`` smallest |w| / t are pruned.

    Ties in the ratio are broken by the smaller |w|, then by layer, then in row-major order.  The
    largest weight of a layer is pruned last.
    """
    entries: list[tuple[bool, Any, Any, int]] = []
    for layer, weight in enumerate(weights):
        magnitudes = [abs(w) for w in exact(weight).ravel()]
        largest = magnitudes.index(max(magnitudes))
        t = mpf(thresholds[layer].item())
        for place, m in enumerate(magnitudes):
            ratio = mpf(0) if m == 0 else mp.inf if t == 0 else m / t
            entries.append((place == largest, ratio, m, len(entries)))
    order = sorted(entries)
    if 0 < count < len(order):
        last, next_one = order[count - 1], order[count]
        unreached = last[1] == next_one[1] == mp.inf  # of layers with t = 0: magnitudes decide
        if last[0] == next_one[0]:
            key = 2 if unreached else 1
            if unreached or mp.isfinite(next_one[1]):
                decide.compare(last[key], next_one[key])
    mask = zeros((len(order),))
    for *_, place in order[count:]:
        mask[place] = mpf(1)
    return {"mask": mask}


# Optimisers


def sgd(
    decide: Decisions,
    parameter: Any,
    gradients: Any,
    learning_rates: Any,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> Outputs:
    """Return all parameters after every step, and the last velocity."""
    p, v = exact(parameter), zeros(parameter.shape)
    history = zeros(gradients.shape)
    for step in range(gradients.shape[0]):
        for i in indices(p.shape):
            g = mpf(gradients[(step, *i)].item()) + mpf(weight_decay) * p[i]
            v[i] = mpf(momentum) * v[i] + g
            direction = g + mpf(momentum) * v[i] if nesterov else v[i]
            p[i] = p[i] - mpf(learning_rates[step].item()) * direction
            history[(step, *i)] = p[i]
    return {"parameters": history, "velocity": v}


def adam(
    decide: Decisions,
    parameter: Any,
    gradients: Any,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
) -> Outputs:
    """Return all parameters after every step; steps count from 1.

    The moments are written out as weighted sums over all gradients so far.
    """
    p, seen = exact(parameter), []
    history = zeros(gradients.shape)
    b1, b2 = mpf(beta1), mpf(beta2)
    for step in range(1, gradients.shape[0] + 1):
        seen.append(exact(gradients[step - 1]) + mpf(weight_decay) * p)
        p = p.copy()
        for i in indices(p.shape):
            m = mp.fsum((1 - b1) * b1 ** (step - k) * g[i] for k, g in enumerate(seen, 1))
            s = mp.fsum((1 - b2) * b2 ** (step - k) * g[i] ** 2 for k, g in enumerate(seen, 1))
            m, s = m / (1 - b1**step), s / (1 - b2**step)
            p[i] = p[i] - mpf(learning_rate) * m / (sqrt(s) + mpf(epsilon))
            history[(step - 1, *i)] = p[i]
    return {"parameters": history}


def schedule(decide: Decisions, steps: int, warmup: int) -> Outputs:
    """Return the factor on the learning rate at every step."""
    factors = zeros((steps,))
    for step in range(steps):
        if step < warmup:
            factors[step] = mpf(step + 1) / warmup
        else:
            factors[step] = (1 + cos(pi * (step - warmup) / (steps - warmup))) / 2
    return {"factors": factors}


# The beginning of a run


def initial_thresholds(
    decide: Decisions, weights: Any, rates: Any, threshold_parameter: str
) -> Outputs:
    """Sort each layer, take the round(rate N)-th magnitude (0 at rank 0), and its logit."""
    sizes = [weight.size for weight in weights]
    counts = [_budget(decide, mpf(r.item()), n) for r, n in zip(rates, sizes, strict=True)]
    return _thresholds_of(decide, weights, counts, threshold_parameter)


def initial_thresholds_rounded_down(
    decide: Decisions, weights: Any, rates: Any, threshold_parameter: str
) -> Outputs:
    """Take the largest magnitude whose rank is within rate N, at least the smallest of all."""
    sizes = [weight.size for weight in weights]
    counts = []
    for rate, size in zip(rates, sizes, strict=True):
        ranks = [rank for rank in range(1, size + 1) if rank <= mpf(rate.item()) * size]
        counts.append(max(ranks, default=1))
    return _thresholds_of(decide, weights, counts, threshold_parameter)


def _thresholds_of(
    decide: Decisions, weights: Any, counts: list[int], threshold_parameter: str
) -> Outputs:
    thresholds, parameters = [], []
    for weight, count in zip(weights, counts, strict=True):
        magnitudes = sorted(abs(value) for value in exact(weight).ravel())
        t = magnitudes[count - 1] if count else mpf(0)
        if 0 < count < len(magnitudes):
            decide.compare(magnitudes[count - 1], magnitudes[count])
        s = t
        if threshold_parameter == "sigmoid":
            s = max(log(t / (1 - t)), mpf(-30)) if t else mpf(-30)
        thresholds.append(t)
        parameters.append(s)
    return {
        "thresholds": np.array(thresholds, dtype=object),
        "parameters": np.array(parameters, dtype=object),
    }


def run_schedule(
    decide: Decisions, calibration_images: int, batch_size: int, epochs: int, warmup_epochs: int
) -> Outputs:
    """Whole batches alone make steps; the factor is scaled by batch / 64."""
    steps, warmup = _steps_of(calibration_images, batch_size, epochs, warmup_epochs)
    factors = []
    for step in range(steps):
        if step < warmup:
            factor = mpf(step + 1) / warmup
        else:
            factor = (1 + cos(pi * mpf(step - warmup) / (steps - warmup))) / 2
        factors.append(factor * batch_size / 64)
    return {"steps": mpf(steps), "factors": np.array(factors, dtype=object)}


def released_schedule(
    decide: Decisions, calibration_images: int, batch_size: int, epochs: int, warmup_epochs: int
) -> Outputs:
    """Keep a rate that is set after each step for the next; it starts at the warm-up's 0, or 1."""
    steps, warmup = _steps_of(calibration_images, batch_size, epochs, warmup_epochs)
    rate, factors = mpf(0) if warmup else mpf(1), []
    for step in range(steps):
        factors.append(rate * batch_size / 64)
        rate = mpf(step) / warmup if step < warmup else (1 + cos(pi * mpf(step) / steps)) / 2
    return {"steps": mpf(steps), "factors": np.array(factors, dtype=object)}


def _steps_of(
    calibration_images: int, batch_size: int, epochs: int, warmup_epochs: int
) -> tuple[int, int]:
    per_epoch = 0
    while (per_epoch + 1) * batch_size <= calibration_images:
        per_epoch += 1
    return epochs * per_epoch, warmup_epochs * per_epoch
