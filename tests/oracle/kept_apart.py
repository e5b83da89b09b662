"""Mutants written line by line of an implementation, and measured once before a cause was added."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from interventions import Mutant
from scipy.special import expit

from fcpts_ref import layers

RELEASED = {"profile": "released"}
RESIDUAL = {"kind": "residual"}
ABOVE = {"target": 0.51}


def softmax(y, axis=1):
    e = np.exp(y - y.real.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def loss_of(f):
    """The loss f(dense, sparse, T), and its gradient as automatic differentiation has it."""

    def value(c):
        return f(c["dense_logits"], c["sparse_logits"], c.c.temperature).real

    def gradient(c):
        d, s, T = c["dense_logits"], c["sparse_logits"], c.c.temperature
        g = np.empty_like(s)
        for at in np.ndindex(*s.shape):
            z = s.astype(complex)
            z[at] += 1e-30j
            g[at] = f(d, z, T).imag / 1e-30
        return g

    return {"reconstruction_loss": value, "dsparse_logits": gradient}


def each(f):
    """Densities p(t), p(-t) by layer."""

    def density(c):
        rows = []
        for (n, w), t, sample in zip(c.W.items(), c["thresholds"], c.inputs.samples, strict=True):
            rows.append(f(c, n, w, t, sample))
        return np.array(rows)

    return density


def kde(drawn, h, t, kernel=lambda z: np.exp(-z * z / 2) / math.sqrt(2 * math.pi)):
    z = (np.array([t, -t])[:, None] - drawn) / h
    return kernel(z).mean(axis=1) / h


def half(w):
    return 0.5 * w.std(ddof=1)


def hist(values, t, bins):
    heights, edges = np.histogram(values, bins=bins, density=True)
    k = np.searchsorted(edges, [t, -t], side="right") - 1
    inside = (k >= 0) & (k < len(heights))
    return np.where(inside, heights[np.clip(k, 0, len(heights) - 1)], 0.0)


def bn(change):
    """Batch norm whose value is changed; gradient left as it follows from the cache."""

    def patch(right):
        def forward(x, gamma, beta, mean, var, *, training, momentum=0.1, epsilon=1e-5):
            return change(right, x, gamma, beta, mean, var, training, momentum, epsilon)

        return forward

    return patch


def _rate_factor(step, annealed):
    """Batches of 8, three steps of warm-up, then a cosine over ``annealed`` steps."""
    if step < 3:
        return 8 / 64 * (step + 1) / 3
    return 8 / 64 * 0.5 * (1 + math.cos(math.pi * (step - 3) / annealed))


def _start(of):
    def wrong_begin(before, state):
        t = [
            of(np.abs(state.parameters[n]), r)
            for n, r in zip(state.allocation.rates, before["initial_rates"], strict=True)
        ]
        return before, replace(state, threshold_parameters=np.array(t))

    return {"wrong_begin": wrong_begin}


def _no_bias_beta(right, x, g, b, m, v, training, momentum, eps):
    return right(x, g, 0 * b, m, v, training=training, momentum=momentum, epsilon=eps)


def _population(right, x, g, b, m, v, training, momentum, eps):
    (y, mean, var), cache = right(x, g, b, m, v, training=training, momentum=momentum, epsilon=eps)
    return (
        y,
        mean,
        (1 - momentum) * v + momentum * x.var(axis=(0, 2, 3)) if training else var,
    ), cache


def _final_unscaled_by_layer(c):
    i = c.layers.index(c.item)
    a = np.abs(c[f"new_parameter/{c.item}"])
    k = round(float(c["rates"][i]) * a.size)
    kept = np.ones(a.size)
    kept[np.argsort(a, axis=None, kind="stable")[:k]] = 0
    return kept.reshape(a.shape)


KEPT_APART = [
    Mutant("the threshold is squared", {"mask": lambda c: (np.abs(c.w) > c.t**2) * 1.0}),
    Mutant("at least, not above", {"mask": lambda c: (np.abs(c.w) >= c.t) * 1.0}),
    Mutant(
        "the mask of the first layer everywhere it fits",
        {"mask": lambda c: (np.abs(c.w) > c["thresholds"][0]) * 1.0},
    ),
    Mutant(
        "sigmoid of the threshold", {"thresholds": lambda c: expit(c.state.threshold_parameters)}
    ),
    Mutant("beta is left out", patch=((layers.batch_norm_forward, bn(_no_bias_beta)),)),
    Mutant(
        "the running variance is the population's",
        patch=((layers.batch_norm_forward, bn(_population)),),
    ),
    Mutant(
        "the classifier has no bias",
        {
            "activation/linear": lambda c: (
                c["activation/flatten"] @ c["sparse_weight/linear.weight"].T
            )
        },
    ),
    Mutant(
        "flattened with channels last",
        {
            "activation/flatten": lambda c: (
                c["activation/average"].transpose(0, 2, 3, 1).reshape(8, -1)
            ),
            "dense_activation/flatten": lambda c: (
                c["dense_activation/average"].transpose(0, 2, 3, 1).reshape(8, -1)
            ),
        },
    ),
    Mutant(
        "images of 0 to 255",
        {
            n + "activation/normalise": lambda c: (
                (255 * c.inputs.images - c.setting.network.buffers["normalise.mean"][:, None, None])
                / c.setting.network.buffers["normalise.std"][:, None, None]
            )
            for n in ("", "dense_")
        },
        run=RESIDUAL,
    ),
    Mutant(
        "no square of T",
        loss_of(
            lambda d, s, T: (
                (softmax(d / T) * (np.log(softmax(d / T)) - np.log(softmax(s / T))))
                .sum(axis=1)
                .mean()
            )
        ),
        run=RELEASED,
    ),
    Mutant(
        "kl_div with reduction mean",
        loss_of(
            lambda d, s, T: (
                T * T * (softmax(d / T) * (np.log(softmax(d / T)) - np.log(softmax(s / T)))).mean()
            )
        ),
    ),
    Mutant(
        "kl_div with its arguments exchanged",
        loss_of(
            lambda d, s, T: (
                T
                * T
                * (softmax(s / T) * (np.log(softmax(s / T)) - np.log(softmax(d / T))))
                .sum(axis=1)
                .mean()
            )
        ),
    ),
    Mutant(
        "cross-entropy with the teacher's classes",
        loss_of(lambda d, s, T: -np.log(softmax(s))[np.arange(len(s)), d.argmax(axis=1)].mean()),
    ),
    Mutant("MSE of the logits", loss_of(lambda d, s, T: ((d - s) ** 2).mean())),
    Mutant("rates of what is kept", {"rates": lambda c: 1 - c.value}),
    Mutant(
        "rates below, not at",
        {
            "rates": lambda c: np.array(
                [np.mean(np.abs(w) < t) for w, t in zip(c.W.values(), c["thresholds"], strict=True)]
            )
        },
    ),
    Mutant(
        "rates by the density's integral",
        {
            "rates": lambda c: np.array(
                [
                    np.mean(
                        [
                            0.5
                            * (
                                math.erf((t - x) / half(w) / math.sqrt(2))
                                - math.erf((-t - x) / half(w) / math.sqrt(2))
                            )
                            for x in w.ravel()[s]
                        ]
                    )
                    for w, t, s in zip(c.W.values(), c["thresholds"], c.inputs.samples, strict=True)
                ]
            )
        },
    ),
    Mutant("L_c squared", {"control_loss": lambda c: c.excess**2}, run=ABOVE),
    Mutant(
        "L_c has weight 10",
        {"total_loss": lambda c: c["reconstruction_loss"] + 10 * c["control_loss"]},
        run=ABOVE,
    ),
    Mutant("the sign of Equation 8", {"dcontrol_drate": lambda c: -c.value}, run=ABOVE),
    Mutant("h is 0.5 itself", {"densities": each(lambda c, n, w, t, s: kde(w.ravel()[s], 0.5, t))}),
    Mutant(
        "h by the sample's deviation",
        {
            "densities": each(
                lambda c, n, w, t, s: kde(w.ravel()[s], 0.5 * w.ravel()[s].std(ddof=1), t)
            )
        },
    ),
    Mutant(
        "h by numpy's deviation",
        {"densities": each(lambda c, n, w, t, s: kde(w.ravel()[s], 0.5 * w.std(), t))},
    ),
    Mutant("twice p(t)", {"drate_dthreshold": lambda c: 2 * c["densities"][:, 0]}),
    Mutant("ten bins", {"densities": each(lambda c, n, w, t, s: hist(w, t, 10))}, run=RELEASED),
    Mutant(
        "the straight-through gradient is 1",
        {"dmask_dthreshold": lambda c: np.full_like(c.w, -1.0)},
    ),
    Mutant("dM without the weight", {"dmask": lambda c: c[f"dsparse_weight/{c.item}"]}),
    Mutant("a mean over the layer", {"dreconstruction_dthreshold": lambda c: c.value / c.N}),
    Mutant("gradients reach pruned weights", {"dweight": lambda c: c[f"dsparse_weight/{c.item}"]}),
    Mutant(
        "no momentum", {"velocity": lambda c: c[f"dparameter/{c.item}"] + c.c.weight_decay * c.w}
    ),
    Mutant(
        "PyTorch's other momentum: the rate inside",
        {
            "velocity": lambda c: (
                c.c.momentum * c.state.velocities[c.item]
                + c.c.learning_rate
                * c["rate_factor"]
                * (c[f"dparameter/{c.item}"] + c.c.weight_decay * c.w)
            )
        },
    ),
    Mutant("decay of 5e-4", {"velocity": lambda c: c.value + (5e-4 - c.c.weight_decay) * c.w}),
    Mutant(
        "decay on the thresholds",
        {"threshold_velocity": lambda c: c.value + c.c.weight_decay * c.state.threshold_parameters},
    ),
    Mutant(
        "one optimiser for both: the weights' rate",
        {
            "new_threshold_parameters": lambda c: np.maximum(
                c.state.threshold_parameters
                - c.c.learning_rate * c["rate_factor"] * c["threshold_velocity"],
                0,
            )
        },
    ),
    Mutant(
        "thresholds may be negative",
        {
            "new_threshold_parameters": lambda c: (
                c.state.threshold_parameters
                - 10 * c["rate_factor"] * c["threshold_velocity"] * 0
                - c.c.threshold_learning_rate * c["rate_factor"] * c["threshold_velocity"]
            )
        },
        run=RESIDUAL | {"choices": {"threshold_learning_rate": 0.5}},
    ),
    Mutant(
        "the scheduler steps first",
        {"rate_factor": lambda c: _rate_factor(c.state.step + 1, 9)},
        run={"steps": 6},
    ),
    Mutant(
        "T_max is all steps",
        {"rate_factor": lambda c: _rate_factor(c.state.step, 12)},
        run={"steps": 6},
    ),
    Mutant("thresholds start at 0.01", run=_start(lambda a, r: 0.01)),
    Mutant(
        "thresholds start one rank too high",
        run=_start(lambda a, r: np.sort(a, axis=None)[round(r * a.size)]),
    ),
    Mutant(
        "the end at the last rates",
        {"final_mask": _final_unscaled_by_layer},
        run={"choices": {"threshold_learning_rate": 0.5}},
    ),
    Mutant("the teacher's batch is reversed", {"dense_logits": lambda c: c.value[::-1].copy()}),
    Mutant(
        "every layer draws with one seed",
        {
            "densities": each(
                lambda c, n, w, t, s: kde(
                    w.ravel()[np.random.default_rng(0).integers(0, w.size, 100)], half(w), t
                )
            )
        },
    ),
]

RIGHT: dict[str, tuple[str, ...]] = {
    "the threshold is squared": ("mask-squared-threshold",),
    "at least, not above": ("ties-kept",),
    "the mask of the first layer everywhere it fits": ("mask-of-other-threshold",),
    "sigmoid of the threshold": ("threshold-sigmoid-of-t",),
    "beta is left out": ("bn-without-beta",),
    "the running variance is the population's": ("statistics-biased",),
    "the classifier has no bias": ("bias-missing",),
    "flattened with channels last": ("flatten-channels-last",),
    "images of 0 to 255": ("input-scaled=255",),
    "no square of T": ("kl-without-T2",),
    "kl_div with reduction mean": ("kl-mean-over-classes",),
    "kl_div with its arguments exchanged": ("kl-swapped",),
    "cross-entropy with the teacher's classes": ("kl-hard-labels",),
    "MSE of the logits": ("mse-logits",),
    "rates of what is kept": ("rate-of-kept",),
    "rates below, not at": ("strict_rate=True",),
    "rates by the density's integral": ("rate-integral",),
    "L_c squared": ("control-squared",),
    "L_c has weight 10": ("total-weight=10",),
    "the sign of Equation 8": ("dcontrol-sign",),
    "h is 0.5 itself": ("bandwidth='absolute'",),
    "h by the sample's deviation": ("kernel-sample-deviation",),
    "h by numpy's deviation": ("kernel-biased-deviation",),
    "twice p(t)": ("drate-twice-one-side",),
    "ten bins": ("histogram-bins=10",),
    "the straight-through gradient is 1": ("surrogate-doubled",),
    "dM without the weight": ("dmask-without-weight",),
    "a mean over the layer": ("drec-mean",),
    "gradients reach pruned weights": (
        "dweight-unmasked",
        "pruned_weight_gradient='dense'",
    ),
    "no momentum": ("velocity-forgotten",),
    "PyTorch's other momentum: the rate inside": ("velocity-with-rate-twice",),
    "decay of 5e-4": ("weight_decay=0.0005",),
    "decay on the thresholds": ("threshold-decay",),
    "one optimiser for both: the weights' rate": (
        "threshold_learning_rate=0.01",
        "thresholds-by-weight-rate",
    ),
    "thresholds may be negative": ("thresholds-negative",),
    "the scheduler steps first": ("schedule-a-step-early",),
    "T_max is all steps": ("slip=0.5 (1 + cos(pi (k - warmup) / (steps)))",),
    "thresholds start at 0.01": ("start-constant=0.01",),
    "thresholds start one rank too high": ("start-smallest-kept",),
    "the end at the last rates": ("projection-keeps-mask",),
    "the teacher's batch is reversed": ("moved=images reversed",),
    "every layer draws with one seed": (),
}
"""The causes that are right; two, where they are the same in these steps."""
