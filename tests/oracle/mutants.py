"""Subtly wrong implementations: each is the reference with one function replaced.

A mutant says which function is wrong and how, with which vectors ``check`` catches it, in which
run it shows, at which quantity ``diverge`` finds it, and which cause it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import log_softmax

from fcpts_ref import layers
from fcpts_ref.layers.windows import gather
from fcpts_ref.pruning.fcpts import step
from fcpts_ref.spec import allocation, budget, equations, optim, regrowth

Wrong = Callable[..., Any]


@dataclass(frozen=True)
class Mutant:
    """original: the function to replace; wrong: makes the wrong function from the right one.

    vectors: patterns of the cases to run.  run: settings of ``traced_networks.record``.
    found_at: the first quantity that differs; point and cause: its explanation.
    """

    name: str
    original: Wrong
    wrong: Callable[[Wrong], Wrong]
    vectors: tuple[str, ...]
    found_at: str
    point: int | None
    cause: str
    run: dict[str, Any] = field(default_factory=dict)


RELEASED = {"profile": "released"}
STEPS = ("fcpts_step",)


# Equations 1 to 5


def _keeps_ties(right: Wrong) -> Wrong:
    return lambda weight, threshold, *, tie="pruned": (
        (np.abs(weight) >= threshold) * right(weight, threshold, tie=tie).dtype.type(1)
    )


def _dense_first_layer(right: Wrong) -> Wrong:
    def mask(weight: Any, threshold: float, *, tie: Any = "pruned") -> Any:
        is_first = np.ndim(weight) == 4 and np.shape(weight)[1] <= 2
        return np.ones_like(weight) if is_first else right(weight, threshold, tie=tie)

    return mask


def _loss_of(formula: Callable[[Any, Any, float], Any]) -> Callable[[Wrong], Wrong]:
    """A reconstruction loss of log p and log q (B, classes) and T."""

    def make(right: Wrong) -> Wrong:
        def loss(dense: Any, sparse: Any, *, temperature: float = 1.0) -> Any:
            right(dense, sparse, temperature=temperature)  # refuses bad input
            log_p, log_q = (log_softmax(y / temperature, axis=1) for y in (dense, sparse))
            return formula(log_p, log_q, temperature)

        return loss

    return make


def _divergence(log_p: Any, log_q: Any) -> Any:
    return (np.exp(log_p) * (log_p - log_q)).sum(axis=1)


EQUATIONS = [
    Mutant(
        "weights on the threshold are kept",
        equations.mask,
        _keeps_ties,
        ("eq01",),
        "mask/conv1.weight",
        1,
        "kept",
    ),
    Mutant(
        "weights on the threshold are halved",
        equations.mask,
        lambda right: lambda w, t, *, tie="pruned": right(w, t, tie="half"),
        ("eq01",),
        "mask/conv1.weight",
        1,
        "tie='half'",
    ),
    Mutant(
        "the first layer is left dense",
        equations.mask,
        _dense_first_layer,
        ("eq01", "fcpts_step"),
        "mask/conv1.weight",
        14,
        "not pruned",
    ),
    Mutant(
        "weights shrink by the threshold",
        equations.sparse_weight,
        lambda right: (
            lambda w, m: np.sign(w) * np.maximum(np.abs(w) - np.abs(w[m == 0]).max(initial=0.0), 0)
        ),
        ("eq02",),
        "sparse_weight/conv1.weight",
        None,
        "soft threshold",
    ),
    Mutant(
        "no temperature",
        equations.reconstruction_loss,
        lambda right: lambda dense, sparse, *, temperature=1.0: right(dense, sparse),
        ("eq04",),
        "reconstruction_loss",
        5,
        "taken at T = 1",
        RELEASED,
    ),
    Mutant(
        "temperature without its square",
        equations.reconstruction_loss,
        _loss_of(lambda log_p, log_q, T: _divergence(log_p, log_q).mean()),
        ("eq04",),
        "reconstruction_loss",
        5,
        "not multiplied by T^2",
        RELEASED,
    ),
    Mutant(
        "the gradient forgets that logits are divided by T",
        equations.reconstruction_loss_gradient,
        lambda right: (
            lambda dense, sparse, *, temperature=1.0: (
                temperature * right(dense, sparse, temperature=temperature)
            )
        ),
        ("eq04",),
        "dsparse_logits",
        5,
        "derivative of logits / T",
        RELEASED,
    ),
    Mutant(
        "KL the other way round",
        equations.reconstruction_loss,
        _loss_of(lambda log_p, log_q, T: T * T * _divergence(log_q, log_p).mean()),
        ("eq04",),
        "reconstruction_loss",
        None,
        "swapped",
    ),
    Mutant(
        "the loss is summed over the batch",
        equations.reconstruction_loss,
        _loss_of(lambda log_p, log_q, T: T * T * _divergence(log_p, log_q).sum()),
        ("eq04",),
        "reconstruction_loss",
        5,
        "sum over the batch",
    ),
    Mutant(
        "the loss is averaged over the classes too",
        equations.reconstruction_loss,
        _loss_of(lambda log_p, log_q, T: T * T * _divergence(log_p, log_q).mean() / log_p.shape[1]),
        ("eq04",),
        "reconstruction_loss",
        5,
        "mean over the classes",
    ),
    Mutant(
        "mean squared error in place of KL",
        equations.reconstruction_loss,
        lambda right: lambda dense, sparse, *, temperature=1.0: ((dense - sparse) ** 2).mean(),
        ("eq04",),
        "reconstruction_loss",
        6,
        "mean squared error of the logits",
    ),
    Mutant(
        "the control loss is squared",
        equations.control_loss,
        lambda right: lambda *arguments: right(*arguments) ** 2,
        ("eq03",),
        "control_loss",
        13,
        "squared",
        {"target": 0.51},
    ),
    Mutant(
        "the control loss is weighted",
        equations.total_loss,
        lambda right: lambda rec, control, *, control_weight=1.0: rec + 2 * control,
        ("eq05",),
        "total_loss",
        13,
        "L_c is counted twice",
        {"target": 0.51},
    ),
]


# Equations 7 to 14


def _histogram_closed_above(right: Wrong) -> Wrong:
    def density(points: Any, samples: Any, bins: int = 100) -> Any:
        inside = right(points, samples, bins)
        if samples.min() == samples.max():
            return inside
        heights, edges = np.histogram(samples, bins=bins, density=True)
        k = np.searchsorted(edges, points, side="left") - 1
        return np.where((k >= 0) & (k < bins), heights[np.clip(k, 0, bins - 1)], 0.0)

    return density


def _without_pruned_weights(right: Wrong) -> Wrong:
    def part(problem: Any, W: Any, U: Any, t: Any, gradients: Any, observe: Any) -> Any:
        kept = {name: gradients[name] * (np.abs(W[name]) > t[i]) for i, name in enumerate(W)}
        return right(problem, W, U, t, gradients | kept, observe)

    return part


BRIDGE = [
    Mutant(
        "the rate counts strictly",
        equations.sparsity_rate,
        lambda right: lambda w, t, *, strict=False: right(w, t, strict=True),
        ("eq10",),
        "rates",
        9,
        "strict_rate=True",
    ),
    Mutant(
        "the rate is that of the kept",
        equations.sparsity_rate,
        lambda right: lambda w, t, *, strict=False: 1 - right(w, t, strict=strict),
        ("eq10",),
        "rates",
        9,
        "share of kept",
    ),
    Mutant(
        "the bandwidth is absolute",
        step.bandwidth_of,
        lambda right: lambda weight, conventions, *_: conventions.bandwidth_factor,
        STEPS,
        "densities",
        11,
        "bandwidth='absolute'",
    ),
    Mutant(
        "the bandwidth's deviation is biased",
        step.bandwidth_of,
        lambda right: lambda weight, conventions, *_: conventions.bandwidth_factor * weight.std(),
        STEPS,
        "densities",
        10,
        "biased standard deviation",
    ),
    Mutant(
        "kernels are not divided by the bandwidth",
        equations.density,
        lambda right: lambda points, samples, h: right(points, samples, h) * h,
        ("eq12",),
        "densities",
        10,
        "not divided by the bandwidth",
    ),
    Mutant(
        "a histogram of one bin too few",
        equations.histogram_density,
        lambda right: lambda points, samples, bins=100: right(points, samples, max(bins - 1, 1)),
        ("histogram_density",),
        "densities",
        10,
        "histogram_bins=99",
        RELEASED,
    ),
    Mutant(
        "histogram bins closed above",
        equations.histogram_density,
        _histogram_closed_above,
        ("histogram_density",),
        "densities",
        10,
        "closed above",
        {
            "kind": "lattice",
            "choices": {"density": "histogram", "histogram_bins": 64},
        },
    ),
    Mutant(
        "p(-t) is forgotten",
        equations.rate_threshold_gradient,
        lambda right: lambda plus, minus: plus,
        ("eq11",),
        "drate_dthreshold",
        None,
        "p(-t) is missing",
    ),
    Mutant(
        "Equation 8 with the other sign",
        equations.control_loss_gradient,
        lambda right: lambda *arguments, **choice: -right(*arguments, **choice),
        ("eq08",),
        "dcontrol_drate",
        None,
        "the sign",
        {"target": 0.51},
    ),
    Mutant(
        "Equation 8 is 0 at the target",
        equations.control_loss_gradient,
        lambda right: lambda *arguments, at_target="negative": right(*arguments, at_target="zero"),
        ("eq08",),
        "dcontrol_drate",
        12,
        "at_target='zero'",
        {"target": 0.0},
    ),
    Mutant(
        "layers count alike in Equation 8",
        equations.control_loss_gradient,
        lambda right: (
            lambda rates, *rest, **choice: np.sign(right(rates, *rest, **choice)) / len(rates)
        ),
        ("eq08",),
        "dcontrol_drate",
        None,
        "not weighted by N",
        {"target": 0.51},
    ),
    Mutant(
        "the surrogate has the other sign",
        equations.mask_threshold_gradient,
        lambda right: lambda w, t: -right(w, t),
        ("eq09",),
        "dmask_dthreshold/conv1.weight",
        2,
        "sign",
    ),
    Mutant(
        "the surrogate is not clipped",
        equations.mask_threshold_gradient,
        lambda right: lambda w, t: right(w, t) * 0 - 0.5,
        ("eq09",),
        "dmask_dthreshold/linear.weight",
        2,
        "not clipped",
        {"kind": "large"},
    ),
    Mutant(
        "Equation 14 is a mean",
        equations.reconstruction_threshold_gradient,
        lambda right: lambda dM, dM_dt: right(dM, dM_dt) / np.size(dM),
        ("eq14",),
        "dreconstruction_dthreshold",
        None,
        "mean over the weights",
    ),
    Mutant(
        "Equation 14 leaves the pruned weights out",
        step._reconstruction_part,
        _without_pruned_weights,
        STEPS,
        "dmask/conv1.weight",
        3,
        "pruned weights are left out",
    ),
    Mutant(
        "L_rec does not reach the thresholds",
        equations.reconstruction_threshold_gradient,
        lambda right: lambda dM, dM_dt: 0.0 * right(dM, dM_dt),
        STEPS,
        "dreconstruction_dthreshold",
        3,
        "does not reach",
    ),
]


# Layers


def _variance(x: Any, training: bool) -> tuple[Any, float]:
    M = x.size // x.shape[1]
    return x.var(axis=(0, 2, 3)), M / max(M - 1, 1)


def _biased_running_variance(right: Wrong) -> Wrong:
    def forward(x: Any, *rest: Any, training: bool, momentum: float = 0.1, **other: Any) -> Any:
        (y, mean, var), cache = right(x, *rest, training=training, momentum=momentum, **other)
        if training:
            biased, _ = _variance(x, training)
            var = (1 - momentum) * rest[3] + momentum * biased
        return (y, mean, var), cache

    return forward


def _normalised_by_unbiased_variance(right: Wrong) -> Wrong:
    def forward(x: Any, gamma: Any, beta: Any, *rest: Any, training: bool, **other: Any) -> Any:
        (y, *running), cache = right(x, gamma, beta, *rest, training=training, **other)
        if training:
            biased, ratio = _variance(x, training)
            epsilon = other.get("epsilon", 1e-5)
            factor = np.sqrt((biased + epsilon) / (biased * ratio + epsilon))
            wide = (slice(None), None, None)
            y = (y - beta[wide]) * factor[wide] + beta[wide]
        return (y, *running), cache

    return forward


def _momentum_turned_round(right: Wrong) -> Wrong:
    return lambda *arrays, momentum=0.1, **other: right(*arrays, momentum=1 - momentum, **other)


def _statistics_are_constants(right: Wrong) -> Wrong:
    def backward(dy: Any, cache: Any) -> Any:
        _, dgamma, dbeta = right(dy, cache)
        _, inverse, gamma, _ = cache
        return dy * (gamma * inverse)[:, None, None], dgamma, dbeta

    return backward


def _without_pruned(right: Wrong) -> Wrong:
    def backward(dy: Any, cache: Any) -> Any:
        dx, dweight, dbias = right(dy, cache)
        (weight,) = [a for a in cache if isinstance(a, np.ndarray) and a.shape == dweight.shape][:1]
        return dx, dweight * (weight != 0), dbias

    return backward


def _with_kernel(change: Wrong) -> Callable[[Wrong], Wrong]:
    return lambda right: (
        lambda dy, weight, shape, **geometry: right(dy, change(weight), shape, **geometry)
    )


def _last_maximum(right: Wrong) -> Wrong:
    def forward(x: Any, **settings: Any) -> Any:
        y, (shape, _, windows) = right(x, **settings)
        pixels = gather(x, windows, fill=-np.inf)
        flat = pixels.reshape(*pixels.shape[:4], -1)
        winner = flat.shape[-1] - 1 - flat[..., ::-1].argmax(axis=-1)
        return y, (shape, winner, windows)

    return forward


def _padding_does_not_count(right: Wrong) -> Wrong:
    def forward(x: Any, **window: Any) -> Any:
        y, cache = right(x, **window)
        return y / right(np.ones_like(x), **window)[0], cache

    return forward


LAYERS = [
    Mutant(
        "the running variance is biased",
        layers.batch_norm_forward,
        _biased_running_variance,
        ("batch_norm",),
        "new_buffer/bn1.running_var",
        15,
        "biased variance",
    ),
    Mutant(
        "batch norm divides by the unbiased variance",
        layers.batch_norm_forward,
        _normalised_by_unbiased_variance,
        ("batch_norm",),
        "activation/bn1",
        15,
        "unbiased variance",
    ),
    Mutant(
        "batch norm's momentum the other way round",
        layers.batch_norm_forward,
        _momentum_turned_round,
        ("batch_norm",),
        "new_buffer/bn1.running_mean",
        15,
        "the other way round",
    ),
    Mutant(
        "batch norm's statistics are taken for constants",
        layers.batch_norm_backward,
        _statistics_are_constants,
        ("batch_norm",),
        "dactivation/conv2",
        15,
        "taken for constants",
    ),
    Mutant(
        "the gradient misses pruned weights",
        layers.convolution_backward,
        _without_pruned,
        STEPS,
        "dsparse_weight/conv1.weight",
        3,
        "pruned weights get no gradient",
    ),
    Mutant(
        "the kernel is not flipped backwards",
        layers.convolution.convolution_input_gradient,
        _with_kernel(lambda weight: weight[:, :, ::-1, ::-1]),
        ("convolution",),
        "dactivation/max",
        None,
        "flipped",
    ),
    Mutant(
        "the kernel is transposed backwards",
        layers.convolution.convolution_input_gradient,
        _with_kernel(lambda w: w.swapaxes(2, 3) if w.shape[2] == w.shape[3] else w),
        ("convolution",),
        "dactivation/max",
        None,
        "rows and columns",
    ),
    Mutant(
        "the last of equal maxima wins",
        layers.max_pool_forward,
        _last_maximum,
        ("max_pool",),
        "dactivation/relu1",
        None,
        "the last maximum",
        {"kind": "dead"},
    ),
    Mutant(
        "padding does not count in the mean",
        layers.average_pool_forward,
        _padding_does_not_count,
        ("average_pool",),
        "dense_activation/average",
        None,
        "padding does not count",
    ),
    Mutant(
        "ReLU's derivative at 0 is 1",
        layers.relu_forward,
        lambda right: lambda x: (right(x)[0], (np.real(x) >= 0,)),
        ("relu",),
        "dactivation/bn1",
        None,
        "ReLU at 0",
        {"kind": "dead"},
    ),
]


# Allocation, schedule, optimiser, the end


def _sgd(change: Wrong) -> Callable[[Wrong], Wrong]:
    """An SGD step from g = gradient + decay, the parameter, velocity and settings."""

    def make(right: Wrong) -> Wrong:
        def sgd(
            parameter: Any,
            gradient: Any,
            velocity: Any,
            *,
            learning_rate: float,
            momentum: float = 0.0,
            weight_decay: float = 0.0,
            nesterov: bool = False,
        ) -> Any:
            return change(
                right,
                parameter,
                gradient,
                velocity,
                learning_rate,
                momentum,
                weight_decay,
                nesterov,
            )

        return sgd

    return make


def _lr_in_velocity(right, p, g, v, rate, momentum, decay, nesterov):
    v = momentum * v + rate * (g + decay * p)
    return p - v, v


def _frozen_where_no_gradient(right, p, g, v, rate, momentum, decay, nesterov):
    new, v = right(
        p, g, v, learning_rate=rate, momentum=momentum, weight_decay=decay, nesterov=nesterov
    )
    return np.where(g != 0, new, p), v


def _zero_where_no_gradient(right, p, g, v, rate, momentum, decay, nesterov):
    new, v = right(
        p, g, v, learning_rate=rate, momentum=momentum, weight_decay=decay, nesterov=nesterov
    )
    return np.where(g != 0, new, 0.0), v


def _with(**settings: Any) -> Callable[[Wrong], Wrong]:
    return lambda right: lambda *arrays, **other: right(*arrays, **(other | settings))


def _decay_everywhere(right: Wrong) -> Wrong:
    return lambda *arrays, weight_decay=3e-4, **other: right(
        *arrays, weight_decay=weight_decay or 3e-4, **other
    )


def _forgets_velocities(right: Wrong) -> Wrong:
    def descend(problem: Any, state: Any, *rest: Any) -> Any:
        zeros = {name: np.zeros_like(v) for name, v in state.velocities.items()}
        return right(problem, replace(state, velocities=zeros), *rest)

    return descend


def _no_sigmoid_derivative(right: Wrong) -> Wrong:
    def descend(problem: Any, state: Any, gradients: Any, dt: Any, t: Any, *rest: Any) -> Any:
        return right(problem, state, gradients, dt / (t * (1 - t)), t, *rest)

    return descend


def _cosine_over_all(right: Wrong) -> Wrong:
    def factor(step: int, steps: int, warmup: int, cosine: str = "", update: str = "") -> float:
        if step < warmup:
            return right(step, steps, warmup)
        return 0.5 * (1 + math.cos(math.pi * step / steps))

    return factor


def _plain_erdos_renyi(right: Wrong) -> Wrong:
    def erk(weights: Any, target: float, **power: Any) -> Any:
        flat = {name: w.reshape(*w.shape[:2], -1)[:, :, 0] for name, w in weights.items()}
        raw = {name: sum(w.shape) / w.size for name, w in flat.items()}
        sizes = {name: w.size for name, w in weights.items()}
        total = sum(sizes.values())
        scale = (1 - target) * total / sum(raw[n] * sizes[n] for n in raw)
        return allocation.Allocation({name: 1 - scale * raw[name] for name in raw})

    return erk


def _mask_at_weight(weights: Any, thresholds: Any, count: int, *_: Any) -> Any:
    """The masks of |w| / t >= the count-th smallest ratio, which prune one weight too few."""
    ratios = {name: np.abs(w) / thresholds[name] for name, w in weights.items()}
    every = np.sort(np.concatenate([r.ravel() for r in ratios.values()]))
    return {name: r >= every[count - 1] for name, r in ratios.items()}


UPDATE = [
    Mutant(
        "Erdos-Renyi without the kernel",
        allocation.erk,
        _plain_erdos_renyi,
        ("allocation_erk",),
        "initial_rates",
        8,
        "without the kernel",
        {"target": 0.9},
    ),
    Mutant(
        "thresholds begin at the smallest kept weight",
        budget.threshold_of_count,
        lambda right: lambda weight, count: right(weight, min(count + 1, weight.size)),
        ("threshold_of_count",),
        "inputs/threshold_parameters",
        8,
        "smallest kept",
    ),
    Mutant(
        "warm-up is off by one",
        optim.warmup_cosine,
        lambda right: (
            lambda step, steps, warmup, cosine="after warm-up", update="before": (
                step / warmup if step < warmup else right(step, steps, warmup)
            )
        ),
        ("schedule",),
        "rate_factor",
        16,
        "warm-up off by one",
    ),
    Mutant(
        "the cosine runs over the warm-up too",
        optim.warmup_cosine,
        _cosine_over_all,
        ("schedule",),
        "rate_factor",
        16,
        "over all steps",
        {"steps": (4,)},
    ),
    Mutant(
        "Nesterov momentum",
        optim.sgd_step,
        _with(nesterov=True),
        ("sgd", "fcpts_step"),
        "new_parameter/conv1.weight",
        16,
        "nesterov=True",
    ),
    Mutant(
        "no weight decay",
        optim.sgd_step,
        _with(weight_decay=0.0),
        ("sgd", "fcpts_step"),
        "velocity/conv1.weight",
        16,
        "weight_decay=0.0",
    ),
    Mutant(
        "weight decay on the thresholds too",
        optim.sgd_step,
        _decay_everywhere,
        STEPS,
        "threshold_velocity",
        16,
        "weight decay on the thresholds",
    ),
    Mutant(
        "the velocity holds the learning rate",
        optim.sgd_step,
        _sgd(_lr_in_velocity),
        ("sgd", "fcpts_step"),
        "velocity/conv1.weight",
        16,
        "holds the learning rate",
    ),
    Mutant(
        "velocities are forgotten",
        step._descend,
        _forgets_velocities,
        STEPS,
        "velocity/conv1.weight",
        16,
        "momentum",
    ),
    Mutant(
        "pruned weights are frozen",
        optim.sgd_step,
        _sgd(_frozen_where_no_gradient),
        STEPS,
        "new_parameter/conv1.weight",
        4,
        "not updated",
    ),
    Mutant(
        "pruned weights are set to zero after the update",
        optim.sgd_step,
        _sgd(_zero_where_no_gradient),
        STEPS,
        "new_parameter/conv1.weight",
        4,
        "set to 0",
    ),
    Mutant(
        "the sigmoid's derivative is missing",
        step._descend,
        _no_sigmoid_derivative,
        STEPS,
        "dthreshold_parameter",
        7,
        "of the sigmoid is missing",
        RELEASED,
    ),
    Mutant(
        "the last projection keeps the weight that it meets",
        budget.exact_masks,
        lambda right: _mask_at_weight,
        ("exact_masks",),
        "final_mask/conv2.weight",
        18,
        "a weight's own ratio",
        {"steps": (2,), "choices": {"threshold_learning_rate": 0.05}},
    ),
    Mutant(
        "no projection at the end",
        budget.exact_masks,
        lambda right: (
            lambda weights, thresholds, *_: {
                name: np.abs(w) > thresholds[name] for name, w in weights.items()
            }
        ),
        ("exact_masks",),
        "final_mask/conv1.weight",
        18,
        "no last projection",
        {"steps": (2,), "choices": {"threshold_learning_rate": 0.05}},
    ),
]

# Gradients of pruned weights (convention 4)


def _pull_of(form: Callable[[Any, Any], Any]) -> Callable[[Wrong], Wrong]:
    """A gradient with another pull; ``form`` of the weight and the mask."""
    return lambda right: lambda weight, mask, dsparse, pull=0.0: dsparse + pull * form(weight, mask)


PULLED = {"choices": {"pruned_weight_gradient": "dense", "pruned_weight_pull": 0.25}}


def _pull(name: str, form: Callable[[Any, Any], Any], cause: str) -> Mutant:
    return Mutant(
        name, regrowth.straight_through_gradient, _pull_of(form),
        ("straight_through_gradient", "fcpts_step"), "dweight/conv1.weight", 4, cause, PULLED,
    )  # fmt: skip


PRUNED = [
    _pull("the pull acts on kept weights", lambda w, m: m * w, "acts on the kept"),
    _pull("the pull is weight decay", lambda w, m: w, "acts on all weights"),
    _pull("the pull pushes", lambda w, m: (m - 1) * w, "away from 0"),
    _pull("the pull is that of |w|", lambda w, m: (1 - m) * np.sign(w), "of |w|"),
    _pull("the pull is missing", lambda w, m: 0 * w, "pull on pruned weights is missing"),
    Mutant(
        "pruned weights have the pull alone",
        regrowth.straight_through_gradient,
        lambda right: lambda w, m, dsparse, pull=0.0: right(w, m, dsparse * m, pull),
        ("straight_through_gradient", "fcpts_step"),
        "dweight/conv1.weight",
        4,
        "not the gradient",
        PULLED,
    ),
]

MUTANTS = [*EQUATIONS, *BRIDGE, *LAYERS, *UPDATE, *PRUNED]
