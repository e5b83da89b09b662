"""Equations 1-14 of "Fast and Controllable Post-training Sparsity", one function each.

R. Gong, Y. Yong, Z. Wang, J. Guo, X. Wei, Y. Ma, X. Liu: Fast and Controllable Post-training
Sparsity: Learning Optimal Sparsity Allocation with Global Constraint in Minutes, AAAI 2024
(arXiv:2405.05808).  "Convention n" is row n of ``fcpts_ref.spec.conventions.OPEN_POINTS``.

Every function is pure: it draws nothing at random and changes nothing in place.  The result has
the dtype of the inputs; float64 is the reference.  In one layer W is the
weight, t its threshold, M its mask, r its sparsity rate and N its number of weights; L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fcpts_ref.checks import (
    check_choice,
    check_result,
    check_same_shape,
    finite_array,
    floating_array,
    positive_in,
    real_number,
    uniform_bins,
    whole_number,
)
from fcpts_ref.errors import InputError
from fcpts_ref.spec.conventions import EQUALITY_WIDTH, SURROGATE_WIDTH, AtTarget, Tie
from fcpts_ref.spec.precise import kl_and_difference, normal_mass

Array = NDArray[Any]
Scalar = Any  # a NumPy scalar of the inputs' dtype


# Equation 1


def mask(weight: ArrayLike, threshold: float, *, tie: Tie = "pruned") -> Array:
    """Equation 1 (Preliminary): M = 0.5 sgn(|W| - t) + 0.5.

    Convention 1: ``tie="pruned"`` gives 0 where |w| = t (the paper's sgn is -1 unless its
    argument is positive); ``tie="half"`` gives 0.5 there (sgn(0) = 0).

    weight: any shape, finite; threshold: in the weights' unit, at least 0.
    Returns an array of 0 and 1 (and 0.5) with the shape and dtype of ``weight``.
    Raises InputError for a weight that is not finite, a threshold below 0 or not finite, or an
    unknown tie.
    """
    W = finite_array(weight, "weight")
    t = _threshold(threshold)
    check_choice(tie, "tie", ("pruned", "half"))
    magnitude = np.abs(W)
    at_threshold = W.dtype.type(0.5 if tie == "half" else 0)
    M = np.where(magnitude > t, W.dtype.type(1), W.dtype.type(0))
    return np.asarray(np.where(magnitude == t, at_threshold, M))


# Equation 2


def sparse_weight(weight: ArrayLike, mask: ArrayLike) -> Array:
    """Equation 2 (Preliminary), the argument of f: M * W, elementwise.

    weight, mask: the same shape; returns an array like ``weight``.
    Raises InputError if the shapes differ.
    """
    W, M = floating_array(weight, "weight"), floating_array(mask, "mask")
    check_same_shape(W, M, "weight", "mask")
    return np.asarray(W * M.astype(W.dtype, copy=False))


class MaskableNetwork(Protocol):
    """The network f of Equation 2: its weights, a copy with other weights, its output."""

    @property
    def parameters(self) -> Mapping[str, Array]: ...

    def with_parameters(self, parameters: Mapping[str, Array]) -> MaskableNetwork: ...

    def __call__(self, images: Array) -> Array: ...


def sparse_output(network: MaskableNetwork, images: Array, masks: Mapping[str, ArrayLike]) -> Array:
    """Equation 2 (Preliminary): Y_sparse = f(X, M * W).

    images: (B, C, H, W) in [0, 1]; masks: by the name of the weight; weights not named stay dense.
    Returns the logits (B, classes); batch norm uses its running statistics.
    Raises InputError for a mask of an unknown weight or of another shape.
    """
    if not callable(network) or not hasattr(network, "with_parameters"):
        raise InputError(
            f"network is of type {type(network).__name__}; expected one such as fcpts_ref.Network"
        )
    if not isinstance(masks, Mapping):
        raise InputError(
            f"masks is of type {type(masks).__name__}; expected masks by the name of the weight"
        )
    unknown = [name for name in masks if name not in network.parameters]
    if unknown:
        raise InputError(f"mask for {unknown[0]!r}: the network has no weight of that name")
    masked = {name: sparse_weight(network.parameters[name], masks[name]) for name in masks}
    return network.with_parameters({**network.parameters, **masked})(images)


# Equations 3-5: the objective


def control_loss(rates: ArrayLike, sizes: ArrayLike, target: float) -> Scalar:
    """Equation 3 (Controllable Sparsity Reconstruction): L_c = |sum(r_i N_i) / sum(N_i) - r_0|.

    rates: (L,) in [0, 1]; sizes: (L,) numbers of weights; target: r_0 in [0, 1).
    Returns a scalar, a fraction of all weights.
    Raises InputError for rates or a target out of range, or sizes that are negative, all 0 or not
    one per rate.
    """
    r, N = _rates_and_sizes(rates, sizes)
    return r.dtype.type(np.abs(_excess(r, N, target)))


def reconstruction_loss(
    dense_logits: ArrayLike, sparse_logits: ArrayLike, *, temperature: float = 1.0
) -> Scalar:
    """Equation 4 (Controllable Sparsity Reconstruction): L_rec = KL(Y_dense || Y_sparse).

    T^2 mean_n sum_k p_nk (log p_nk - log q_nk), p = softmax(dense / T), q = softmax(sparse / T).
    Convention 5: the paper has no temperature (T = 1); the released code has T = 4.
    Convention 6: Y are the logits of the network.

    dense_logits, sparse_logits: (B, classes).  Returns a scalar in nats, the mean over the batch.
    Raises InputError for shapes that differ, logits that are not finite, T <= 0, or a result that
    is not finite.
    """
    dense, sparse, T, dtype = _logits(dense_logits, sparse_logits, temperature)
    with np.errstate(over="ignore", invalid="ignore"):
        kl, _ = kl_and_difference(dense, sparse, T)  # sum_k p (log p - log q), (B,)
        loss = (kl.mean() * T * T).astype(dtype)
    check_result(loss, "the reconstruction loss", _TOO_LARGE)
    return loss


def reconstruction_loss_gradient(
    dense_logits: ArrayLike, sparse_logits: ArrayLike, *, temperature: float = 1.0
) -> Array:
    """The derivative of Equation 4 with respect to the sparse logits: (T / B) (q - p).

    docs/derivations.md derives it.
    Arguments and errors as in ``reconstruction_loss``; returns (B, classes).
    """
    dense, sparse, T, dtype = _logits(dense_logits, sparse_logits, temperature)
    B = len(dense)
    with np.errstate(over="ignore", invalid="ignore"):
        _, q_minus_p = kl_and_difference(dense, sparse, T)
        gradient = (q_minus_p * (T / B)).astype(dtype)
    check_result(gradient, "the gradient of the reconstruction loss", _TOO_LARGE)
    return np.asarray(gradient)


def total_loss(reconstruction: float, control: float, *, control_weight: float = 1.0) -> Scalar:
    """Equation 5 (Controllable Sparsity Reconstruction): L = L_rec + L_c.

    Convention 13: ``control_weight`` multiplies L_c; 1 in the paper and in the released code.
    Raises InputError for losses that are not numbers, or a weight that is negative or not finite.
    """
    expected = "a finite number >= 0"
    if real_number(control_weight, "control_weight", expected) < 0:
        raise InputError(f"control_weight is {control_weight}; expected {expected}")
    for value, name in ((reconstruction, "reconstruction"), (control, "control")):
        floating_array(value, name)
    return reconstruction + control_weight * control


# Equations 7-9: gradients with respect to the rate


def rate_gradient(dreconstruction_drate: ArrayLike, dcontrol_drate: ArrayLike) -> Array:
    """Equation 7 (Differentiable Sparsity Allocation): dL/dr = dL_rec/dr + dL_c/dr.

    Both (L,); returns (L,).  Raises InputError if the shapes differ.
    """
    drec = floating_array(dreconstruction_drate, "dreconstruction_drate")
    dcontrol = floating_array(dcontrol_drate, "dcontrol_drate")
    check_same_shape(drec, dcontrol, "dreconstruction_drate", "dcontrol_drate")
    return drec + dcontrol


def control_loss_gradient(
    rates: ArrayLike, sizes: ArrayLike, target: float, *, at_target: AtTarget = "negative"
) -> Array:
    """Equation 8: dL_c/dr_l = N_l / sum(N_i) where the global rate is above r_0, else minus that.

    Convention 12: at equality the paper's "otherwise" makes it negative; the released code's
    derivative of abs is 0 there (``at_target="zero"``).  Equal means that the two rates differ by
    at most ``EQUALITY_WIDTH`` epsilons of the rates' dtype, so that rounding decides nothing.

    Arguments and errors as in ``control_loss``; returns (L,).
    """
    r, N = _rates_and_sizes(rates, sizes)
    check_choice(at_target, "at_target", ("negative", "zero"))
    excess = _excess(r, N, target)
    equal = abs(excess) <= EQUALITY_WIDTH * np.finfo(r.dtype).eps
    if equal and at_target == "zero":
        return np.zeros_like(r)
    share = (N / N.sum()).astype(r.dtype)
    return np.asarray(share if excess > 0 and not equal else -share)


def reconstruction_rate_gradient(
    dloss_dmask: ArrayLike, dmask_dthreshold: ArrayLike, dthreshold_drate: float
) -> Scalar:
    """Equation 9: dL_rec/dr = dL_rec/dM . dM/dt . dt/dr, summed over the weights of the layer.

    Convention 3: pruned weights count too, so dL/dM = dL/dW_sparse * W is needed for them as well.

    dloss_dmask, dmask_dthreshold: the shape of the weight; dthreshold_drate: the inverse of
    Equation 11.
    Returns a scalar.  Raises InputError if the shapes differ.
    """
    dt_dr = real_number(dthreshold_drate, "dthreshold_drate", "a finite number")
    dL_dt = reconstruction_threshold_gradient(dloss_dmask, dmask_dthreshold)
    return dL_dt * dL_dt.dtype.type(dt_dr)


def mask_threshold_gradient(weight: ArrayLike, threshold: float) -> Array:
    """dM/dt, the factor of Equations 9 and 14 that the paper does not give: a surrogate.

    Convention 2, the clipped straight-through estimator: d sgn(u)/du := 1 where -1 < u < 1 and
    u = |w| - t, else 0; so dM/dt = -0.5 there, else 0.

    Arguments and errors as in ``mask``; returns an array like ``weight``.
    """
    W = finite_array(weight, "weight")
    inside = _within_surrogate(np.abs(W), _threshold(threshold))
    return np.asarray(np.where(inside, W.dtype.type(-0.5), W.dtype.type(0)))


# Equations 10-12: the bridge between threshold and rate


def sparsity_rate(weight: ArrayLike, threshold: float, *, strict: bool = False) -> Scalar:
    """Equation 10 (Bridge function), "the exact r": the share of the weights that are pruned.

    Convention 9: ``strict=False`` counts |w| <= t, which matches Equation 1; ``strict=True``
    counts |w| < t, as the released code does.

    weight: any shape with at least one element.  Returns a scalar in [0, 1].
    Raises InputError for an empty layer, and as in ``mask``.
    """
    W = _samples(weight, "weight")
    t = _threshold(threshold)
    magnitude = np.abs(W)
    pruned = np.count_nonzero(magnitude < t if strict else magnitude <= t)
    return W.dtype.type(pruned / W.size)


def sparsity_rate_integral(threshold: float, samples: ArrayLike, bandwidth: float) -> Scalar:
    """Equation 10 (Bridge function): r = integral of p(w) from -t to t, p as in Equation 12.

    In closed form: mean_i [Phi((t - w_i) / h) - Phi((-t - w_i) / h)], Phi the normal distribution.

    samples: (n,) weights; bandwidth: h > 0, both in the weights' unit.  Returns a scalar in [0, 1].
    Raises InputError as in ``density``.
    """
    samples, h = _kernel_arguments(samples, bandwidth)
    t = np.float64(samples.dtype.type(_threshold(threshold)))
    w, h = samples.astype(np.float64), np.float64(h)  # ndtr supports only float32 and float64
    # Phi(b) - Phi(a) = Phi(-a) - Phi(-b): mirrored so that both arguments lie in the lower tail,
    # where Phi keeps its relative precision.
    centre = np.abs(w)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # Phi of infinity is 0 or 1
        rate = normal_mass((-t - centre) / h, (t - centre) / h, t / h, -centre / h).mean()
    return samples.dtype.type(rate)


def rate_threshold_gradient(
    density_at_threshold: ArrayLike, density_at_minus_threshold: ArrayLike
) -> Scalar:
    """Equation 11 (Bridge function): dr/dt = p(t) + p(-t).

    Two densities (per unit of weight), scalars or one per layer; returns the same.
    Raises InputError if the shapes differ.
    """
    p = floating_array(density_at_threshold, "density_at_threshold")
    p_minus = floating_array(density_at_minus_threshold, "density_at_minus_threshold")
    check_same_shape(p, p_minus, "density_at_threshold", "density_at_minus_threshold")
    return p + p_minus


def density(points: ArrayLike, samples: ArrayLike, bandwidth: float) -> Array:
    """Equation 12 (Differentiable Estimation): p(w) = 1 / (n h) sum_i K((w - w_i) / h).

    K is the standard normal density.  Convention 10: the paper has n = 100 sampled weights.
    Convention 11: the caller chooses whether its h = 0.5 is absolute or in standard deviations;
    here h is in the weights' unit.

    points: any shape; samples: (n,) or any shape, n >= 1.  Returns an array like ``points``,
    per unit of weight.
    Raises InputError for no samples, values that are not finite, or h <= 0.
    """
    w, h = _kernel_arguments(samples, bandwidth)
    x = finite_array(points, "points").astype(w.dtype, copy=False)
    with np.errstate(over="ignore", under="ignore"):  # K of infinity is 0
        z = (x[..., np.newaxis] - w) / h  # points.shape + (n,)
        p = np.exp(-0.5 * z * z).mean(axis=-1) / (h * np.sqrt(w.dtype.type(2 * np.pi)))
    check_result(p, "the density", f"the bandwidth {h} is too small; use a larger one")
    return np.asarray(p)


def histogram_density(points: ArrayLike, samples: ArrayLike, bins: int = 100) -> Array:
    """The histogram that the released code uses in place of Equation 12 (convention 10).

    ``bins`` bins of equal width span the samples; the density in a bin is its count / (n width).
    The largest sample is counted in the last bin, but points are looked up in half-open bins,
    [low, high): the density is 0 outside them, and so at the largest sample itself.  If all
    samples are equal, it is 0 everywhere.

    points: any shape; samples: any shape, n >= 1.  Returns an array like ``points``.
    Raises InputError for no samples, values that are not finite, bins < 1, or samples too close
    together or too far from each other for bins of equal width in their dtype.
    """
    w = _samples(samples, "samples").ravel()
    x = finite_array(points, "points").astype(w.dtype, copy=False)
    whole_number(bins, "bins", 1)
    low, high = w.min(), w.max()
    if low == high:
        return np.zeros_like(x)
    edges, width = uniform_bins(low, high, bins, w.size)
    counts, _ = np.histogram(w, bins=edges)
    heights = (counts / (w.size * width)).astype(w.dtype)
    k = np.searchsorted(edges, x, side="right") - 1
    inside = (k >= 0) & (k < bins)
    return np.asarray(np.where(inside, heights[np.clip(k, 0, bins - 1)], w.dtype.type(0)))


# Equations 13 and 14: gradients with respect to the threshold


def control_threshold_gradient(dcontrol_drate: ArrayLike, drate_dthreshold: ArrayLike) -> Array:
    """Equation 13 (Transfer the learning of r to t): dL_c/dt = dL_c/dr . dr/dt.

    docs/derivations.md writes the chain out, with the density of Equation 12.

    Both (L,): Equation 8 and Equation 11; returns (L,).  Raises InputError if the shapes differ.
    """
    dcontrol = floating_array(dcontrol_drate, "dcontrol_drate")
    drate = floating_array(drate_dthreshold, "drate_dthreshold")
    check_same_shape(dcontrol, drate, "dcontrol_drate", "drate_dthreshold")
    return dcontrol * drate


def reconstruction_threshold_gradient(
    dloss_dmask: ArrayLike, dmask_dthreshold: ArrayLike
) -> Scalar:
    """Equation 14 (Transfer the learning of r to t): dL_rec/dt = dL_rec/dM . dM/dt.

    Summed over all weights of the layer, pruned ones included (convention 3).
    Both the shape of the weight; returns a scalar.  Raises InputError if the shapes differ.
    """
    dM = floating_array(dloss_dmask, "dloss_dmask")
    surrogate = floating_array(dmask_dthreshold, "dmask_dthreshold")
    check_same_shape(dM, surrogate, "dloss_dmask", "dmask_dthreshold")
    return (dM * surrogate).sum()


EQUATIONS: dict[int, tuple[Callable[..., Any], ...]] = {
    1: (mask,),
    2: (sparse_weight, sparse_output),
    3: (control_loss,),
    4: (reconstruction_loss, reconstruction_loss_gradient),
    5: (total_loss,),
    6: (),
    7: (rate_gradient,),
    8: (control_loss_gradient,),
    9: (reconstruction_rate_gradient, mask_threshold_gradient),
    10: (sparsity_rate, sparsity_rate_integral),
    11: (rate_threshold_gradient,),
    12: (density, histogram_density),
    13: (control_threshold_gradient,),
    14: (reconstruction_threshold_gradient,),
}
"""The functions of each equation, by its number in the paper.

Equation 6, the minimisation over W and r as a whole, is the method itself: ``fcpts_ref.sparsify``.
"""


# Checks of the arguments


def _samples(values: ArrayLike, name: str) -> Array:
    array = finite_array(values, name)
    if array.size == 0:
        raise InputError(f"{name} is empty (shape {array.shape}); expected at least one weight")
    return array


def _threshold(threshold: float) -> np.float64:
    """The threshold in float64 whatever the weights' dtype, so that comparing |w| is exact."""
    expected = "one finite magnitude >= 0"
    t = real_number(threshold, "threshold", expected)
    if t < 0:
        raise InputError(f"threshold is {threshold}; expected {expected}")
    return np.float64(t)


def _target(target: float) -> float:
    expected = "a sparsity rate in [0, 1)"
    rate = real_number(target, "target", expected)
    if not 0 <= rate < 1:
        raise InputError(f"target is {target}; expected {expected}")
    return rate


def _rates_and_sizes(rates: ArrayLike, sizes: ArrayLike) -> tuple[Array, Array]:
    """Rates (L,) in their own dtype, sizes (L,) in float64 or wider: N may overflow float16."""
    r, N = floating_array(rates, "rates"), floating_array(sizes, "sizes")
    if r.ndim != 1 or r.size == 0 or N.shape != r.shape:
        raise InputError(
            f"rates have shape {r.shape} and sizes {N.shape}; expected one of each for every layer"
        )
    if not ((r >= 0) & (r <= 1)).all():
        raise InputError(f"rates are {r.tolist()}; expected shares in [0, 1]")
    N = N.astype(np.result_type(r, np.float64))
    with np.errstate(over="ignore"):
        fits = (N >= 0).all() and 0 < N.sum() < np.inf
    if not fits:
        raise InputError(f"sizes are {N.tolist()}; expected numbers of weights, not all 0")
    return r, N


def _excess(r: Array, N: Array, target: float) -> Scalar:
    """The global rate sum(r_i N_i) / sum(N_i) minus r_0, in float64 or wider."""
    return (r * N).sum() / N.sum() - r.dtype.type(_target(target))


def _within_surrogate(magnitude: Array, t: np.float64) -> Array:
    """Whether -1 < |w| - t < 1, exactly: |w| - 1 and t - 1 round only where it is beyond doubt."""
    m, width = magnitude.astype(np.result_type(magnitude, t), copy=False), SURROGATE_WIDTH
    return np.asarray(((m - width < t) | (m <= t)) & ((t - width < m) | (t <= m)))


_TOO_LARGE = "logits or temperature are too large; scale them down"


def _logits(
    dense_logits: ArrayLike, sparse_logits: ArrayLike, temperature: float
) -> tuple[Array, Array, Scalar, np.dtype[Any]]:
    """The logits and the temperature in float64 or wider, and the dtype of the result."""
    dense = finite_array(dense_logits, "dense_logits")
    sparse = finite_array(sparse_logits, "sparse_logits")
    check_same_shape(dense, sparse, "dense_logits", "sparse_logits")
    if dense.ndim != 2 or dense.size == 0:
        raise InputError(f"logits have shape {dense.shape}; expected (batch, classes), not empty")
    dtype = np.result_type(dense, sparse)
    T = positive_in(temperature, "temperature", "a finite number above 0", dtype)
    wide = np.result_type(dtype, np.float64)
    return dense.astype(wide), sparse.astype(wide), wide.type(T), dtype


def _kernel_arguments(samples: ArrayLike, bandwidth: float) -> tuple[Array, Scalar]:
    w = _samples(samples, "samples").ravel()
    expected = (
        "a finite number above 0 "
        "(equal weights have no standard deviation to scale it by: use an absolute one)"
    )
    return w, positive_in(bandwidth, "bandwidth", expected, w.dtype)


__all__ = [
    "EQUATIONS",
    "control_loss",
    "control_loss_gradient",
    "control_threshold_gradient",
    "density",
    "histogram_density",
    "mask",
    "mask_threshold_gradient",
    "rate_gradient",
    "rate_threshold_gradient",
    "reconstruction_loss",
    "reconstruction_loss_gradient",
    "reconstruction_rate_gradient",
    "reconstruction_threshold_gradient",
    "sparse_output",
    "sparse_weight",
    "sparsity_rate",
    "sparsity_rate_integral",
    "total_loss",
]
