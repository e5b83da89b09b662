"""Equations 1-14 derived a second time, term by term in extended precision.

Every function takes a ``Decisions`` and the inputs of its operation by name, and returns the
outputs by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import erf, exp, log, mp, mpf, pi, sqrt

from tools.vectors.exact import Decisions, differentiate, exact, indices, total, zeros
from tools.vectors.layers import (
    convolution_forward,
    global_average_pool_forward,
    linear_forward,
    relu_forward,
)

Outputs = dict[str, Any]


def mask(decide: Decisions, weight: Any, threshold: float, tie: str) -> Outputs:
    weight, result = exact(weight), zeros(weight.shape)
    at_threshold = {"pruned": mpf(0), "half": mpf("0.5")}[tie]
    for index in indices(weight.shape):
        sign = decide.compare(abs(weight[index]), threshold)
        result[index] = {1: mpf(1), 0: at_threshold, -1: mpf(0)}[sign]
    return {"mask": result}


def sparse_weight(decide: Decisions, weight: Any, mask: Any) -> Outputs:
    return {"sparse_weight": exact(weight) * exact(mask)}


def sparse_output(
    decide: Decisions,
    images: Any,
    convolution_weight: Any,
    linear_weight: Any,
    linear_bias: Any,
    convolution_mask: Any,
    linear_mask: Any,
) -> Outputs:
    """Convolution 3x3 with padding 1, ReLU, mean over the pixels, linear layer."""
    kernel = exact(convolution_weight) * exact(convolution_mask)
    x = convolution_forward(decide, images, kernel, None, [1, 1], [1, 1], [1, 1], 1)["y"]
    x = global_average_pool_forward(decide, relu_forward(decide, x)["y"])["y"]
    matrix = exact(linear_weight) * exact(linear_mask)
    return {"logits": linear_forward(decide, x, matrix, linear_bias)["y"]}


def _excess(rates: Any, sizes: Any, target: float) -> mpf:
    r, N = exact(rates), exact(sizes)
    return total(r * N) / total(N) - mpf(target)


def control_loss(decide: Decisions, rates: Any, sizes: Any, target: float) -> Outputs:
    return {"loss": abs(_excess(rates, sizes, target))}


def control_loss_gradient(
    decide: Decisions, rates: Any, sizes: Any, target: float, at_target: str
) -> Outputs:
    excess = _excess(rates, sizes, target)
    sign = decide.compare(excess + mpf(target), target)
    epsilon = np.finfo(rates.dtype).eps if rates.dtype.kind == "f" else np.finfo(float).eps
    if abs(excess) <= 4 * mpf(float(epsilon)):
        sign = 0
    if sign == 0:
        sign = {"negative": -1, "zero": 0}[at_target]
    N = exact(sizes)
    return {"gradient": sign * N / total(N)}


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    result = zeros(logits.shape)
    for n in range(logits.shape[0]):
        normaliser = log(mp.fsum(exp(value) for value in logits[n]))
        for k in range(logits.shape[1]):
            result[n, k] = logits[n, k] - normaliser
    return result


def _divergence(dense: np.ndarray, sparse: np.ndarray, temperature: mpf) -> mpf:
    log_p, log_q = _log_softmax(dense / temperature), _log_softmax(sparse / temperature)
    terms = [exp(log_p[i]) * (log_p[i] - log_q[i]) for i in indices(dense.shape)]
    return temperature**2 * mp.fsum(terms) / dense.shape[0]


def reconstruction_loss(
    decide: Decisions, dense_logits: Any, sparse_logits: Any, temperature: float
) -> Outputs:
    return {"loss": _divergence(exact(dense_logits), exact(sparse_logits), mpf(temperature))}


def reconstruction_loss_gradient(
    decide: Decisions, dense_logits: Any, sparse_logits: Any, temperature: float
) -> Outputs:
    dense, T = exact(dense_logits), mpf(temperature)

    def loss(sparse: np.ndarray) -> np.ndarray:
        return np.array(_divergence(dense, sparse, T), dtype=object)

    return {"gradient": differentiate(loss, exact(sparse_logits), np.array(mpf(1), dtype=object))}


def total_loss(
    decide: Decisions, reconstruction: float, control: float, control_weight: float
) -> Outputs:
    return {"loss": mpf(reconstruction) + mpf(control_weight) * mpf(control)}


def rate_gradient(decide: Decisions, dreconstruction_drate: Any, dcontrol_drate: Any) -> Outputs:
    return {"gradient": exact(dreconstruction_drate) + exact(dcontrol_drate)}


def mask_threshold_gradient(decide: Decisions, weight: Any, threshold: float) -> Outputs:
    weight, result = exact(weight), zeros(weight.shape)
    for index in indices(weight.shape):
        u = abs(weight[index]) - mpf(threshold)
        inside = decide.compare(u, -1) > 0 and decide.compare(u, 1) < 0
        result[index] = mpf("-0.5") if inside else mpf(0)
    return {"gradient": result}


def reconstruction_rate_gradient(
    decide: Decisions, dloss_dmask: Any, dmask_dthreshold: Any, dthreshold_drate: float
) -> Outputs:
    inner = total(exact(dloss_dmask) * exact(dmask_dthreshold))
    return {"gradient": inner * mpf(dthreshold_drate)}


def reconstruction_threshold_gradient(
    decide: Decisions, dloss_dmask: Any, dmask_dthreshold: Any
) -> Outputs:
    return {"gradient": total(exact(dloss_dmask) * exact(dmask_dthreshold))}


def sparsity_rate(decide: Decisions, weight: Any, threshold: float, strict: bool) -> Outputs:
    weight, pruned = exact(weight), 0
    for index in indices(weight.shape):
        sign = decide.compare(abs(weight[index]), threshold)
        pruned += sign < 0 or (sign == 0 and not strict)
    return {"rate": mpf(pruned) / weight.size}


def sparsity_rate_integral(
    decide: Decisions, threshold: float, samples: Any, bandwidth: float
) -> Outputs:
    t, h = mpf(threshold), mpf(bandwidth) * sqrt(mpf(2))
    terms = [erf((t - w) / h) - erf((-t - w) / h) for w in exact(samples).ravel()]
    return {"rate": mp.fsum(terms) / (2 * len(terms))}


def rate_threshold_gradient(
    decide: Decisions, density_at_threshold: float, density_at_minus_threshold: float
) -> Outputs:
    return {"gradient": mpf(density_at_threshold) + mpf(density_at_minus_threshold)}


def density(decide: Decisions, points: Any, samples: Any, bandwidth: float) -> Outputs:
    h, w = mpf(bandwidth), exact(samples).ravel()
    points, result = exact(points), zeros(points.shape)
    for index in indices(points.shape):
        x = points[index]
        kernels = [exp(-(((x - each) / h) ** 2) / 2) / sqrt(2 * pi) for each in w]
        result[index] = mp.fsum(kernels) / (len(w) * h)
    return {"density": result}


def histogram_density(decide: Decisions, points: Any, samples: Any, bins: int) -> Outputs:
    """Count with the last bin closed, look up with every bin open above."""
    w = exact(samples).ravel().tolist()
    low, high = min(w), max(w)
    points, result = exact(points), zeros(points.shape)
    if low == high:
        return {"density": result}
    width = (high - low) / bins
    counts = [0] * bins
    for sample in w:
        if sample == high:  # equal to itself in any arithmetic
            counts[-1] += 1
        else:
            counts[_bin(decide, sample, low, width)] += 1
    for index in indices(points.shape):
        x = points[index]
        if decide.compare(x, low) >= 0 and decide.compare(x, high) < 0:
            result[index] = counts[_bin(decide, x, low, width)] / (len(w) * width)
    return {"density": result}


def _bin(decide: Decisions, x: mpf, low: mpf, width: mpf) -> int:
    if x == low:
        return 0
    position = (x - low) / width
    nearest = int(mp.nint(position))
    return nearest if decide.compare(position, nearest) >= 0 else nearest - 1


def control_threshold_gradient(
    decide: Decisions, dcontrol_drate: Any, drate_dthreshold: Any
) -> Outputs:
    return {"gradient": exact(dcontrol_drate) * exact(drate_dthreshold)}
