"""Mutants as engineers write them in PyTorch or JAX, most of them before the catalogue was read.

``RIGHT`` was added afterwards, when all had been measured and what was missed had been mended.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from held_out import RELEASED
from interventions import Mutant
from kept_apart import each, kde
from scipy.special import expit, log_softmax, softmax

from fcpts_ref import layers

AXES = (0, 2, 3)
RESIDUAL = {"kind": "residual"}
MUTANTS: dict[str, Mutant] = {}
RIGHT: dict[str, tuple[str, ...]] = {}
"""The causes that are right; several, where they are the same in these steps."""


def mutant(right, wrong=None, patch=(), **run):
    """Add a mutant under the names of its right causes."""
    causes = (right,) if isinstance(right, str) else right
    name = f"{causes[0]} {sum(other.startswith(causes[0]) for other in MUTANTS) + 1}"
    MUTANTS[name] = Mutant(name, wrong or {}, tuple(patch), run)
    RIGHT[name] = causes


def excess(c):
    """|w| - t."""
    return np.abs(c.w) - c.t


def new_velocity(c):
    """The decayed gradient, and the velocity from before the step."""
    return c[f"dparameter/{c.item}"] + c.c.weight_decay * c.w, c.state.velocities[c.item]


def rate_of(c):
    return c.c.learning_rate * c["rate_factor"]


# Masks


HALF = ("mask-in-half-precision", "mask-stale", "mask-for-good")
mutant(HALF, {"mask": lambda c: np.abs(c.w).astype(np.float16) > np.float16(c.t)})
mutant("mask-of-squares", {"mask": lambda c: c.w**2 > c.t})
mutant("mask-sigmoid=100", {"mask": lambda c: expit(excess(c) / 0.01)})
mutant(
    ("mask-for-good", "mask-stale", "mask-in-half-precision"),
    {"mask": lambda c: c.value * c.earlier.get(c.name, 1)},
    steps=4,
)
mutant("weight-rescaled", {"sparse_weight": lambda c: c.value / c[f"mask/{c.item}"].mean()})


def without_last(c):
    r, share = c["rates"][:-1], c.N[:-1] / c.N[:-1].sum()
    return float(r @ share - c.setting.target), np.append(share, 0)


mutant(
    ("layer-not-pruned", "control-of-pruned-layers"),
    {
        "mask": lambda c: np.ones_like(c.w) if c.item == "linear.weight" else None,
        "rates": lambda c: np.append(c.value[:-1], 0),
        "control_loss": lambda c: abs(without_last(c)[0]),
        "dcontrol_drate": lambda c: (1 if without_last(c)[0] > 0 else -1) * without_last(c)[1],
    },
)

# Networks


def by_images(right):
    """The running variance is made unbiased by the number of images."""

    def forward(x, g, b, m, v, *, training, momentum=0.1, epsilon=1e-5):
        (y, mean, var), cache = right(
            x, g, b, m, v, training=training, momentum=momentum, epsilon=epsilon
        )
        if training:
            var = (1 - momentum) * v + momentum * x.var(axis=AXES) * len(x) / (len(x) - 1)
        return (y, mean, var), cache

    return forward


mutant("statistics-unbiased-over=images", patch=[(layers.batch_norm_forward, by_images)])


def in_halves(right):
    def forward(x, *arrays, **settings):
        (y, m, v), first = right(x[: len(x) // 2], *arrays, **settings)
        (z, _, _), second = right(x[len(x) // 2 :], *arrays, **settings)
        return (np.concatenate([y, z]), m, v), (first, second)

    return forward


def in_halves_back(right):
    def backward(dy, caches):
        parts = [right(part, cache) for part, cache in zip(np.split(dy, 2), caches, strict=True)]
        (a, b, c), (d, e, f) = parts
        return np.concatenate([a, d]), b + e, c + f

    return backward


mutant(
    "bn-in-parts=2",
    patch=[(layers.batch_norm_forward, in_halves), (layers.batch_norm_backward, in_halves_back)],
)
mutant(
    "arrays-of-student",
    {
        "dense_logits": lambda c: replace(c.setting.network, parameters=dict(c.state.parameters))(
            c.inputs.images
        )
    },
    without=("dense_activation",),
)
mutant(
    "fed=columns reversed",
    {"dense_logits": lambda c: c.setting.network(c.inputs.images[..., ::-1])},
    without=("dense_activation",),
)


def dropped(c):
    if c.item != "flatten":
        return None
    return np.where(np.random.default_rng(0).random(c.value.shape) < 0.5, 0, 2 * c.value)


mutant("dropped=0.5", {"activation": dropped})


def padded_at_end(right):
    def forward(x, weight, bias=None, *, stride=1, padding=0, **more):
        if stride in (2, (2, 2)):
            padding = (0, 0, 1, 1)
        return right(x, weight, bias, stride=stride, padding=padding, **more)

    return forward


mutant(
    "convolution-padding-at-end", patch=[(layers.convolution_forward, padded_at_end)], **RESIDUAL
)

# Losses


def late_temperature(c):
    T = c.c.temperature
    log_p, log_q = log_softmax(c["dense_logits"] / T, 1), log_softmax(c["sparse_logits"], 1) / T
    return T * T * (np.exp(log_p) * (log_p - log_q)).sum(1).mean()


def late_temperature_gradient(c):
    T = c.c.temperature
    return T / c.B * (softmax(c["sparse_logits"], 1) - softmax(c["dense_logits"] / T, 1))


mutant(
    "kl-temperature-after-softmax",
    {"reconstruction_loss": late_temperature, "dsparse_logits": late_temperature_gradient},
    **RELEASED,
)


def ramped(c):
    reached = (c["rates"] * c.N).sum() / c.N.sum()
    return reached - c.setting.target * (1 - (1 - (c.state.step + 1) / 12) ** 3)


mutant(
    "control-ramp",
    {
        "control_loss": lambda c: abs(ramped(c)),
        "dcontrol_drate": lambda c: np.sign(ramped(c)) * c.N / c.N.sum(),
    },
)
mutant("rate-without-derivative", {"dcontrol_dthreshold": lambda c: 0 * c.value})
mutant("rate-is-0", {"rates": lambda c: np.array([(w == 0).mean() for w in c.W.values()])})
PAIRS = {
    "rates": lambda w, t: expit((t - np.abs(w)) / 0.05).mean(),
    "drate_dthreshold": lambda w, t: 0.5 * (np.abs(np.abs(w) - t) < 1).mean(),
}


def by_layer(of):
    return lambda c: np.array([of(*x) for x in zip(c.W.values(), c["thresholds"], strict=True)])


mutant("rate-soft=20", {"rates": by_layer(PAIRS["rates"])})
mutant("drate-by-surrogate", {"drate_dthreshold": by_layer(PAIRS["drate_dthreshold"])})

# Densities


def histogram(t, w, low, high, shift=0):
    heights, edges = np.histogram(w, 100, (low, high))
    k = np.searchsorted(edges, [t, -t], side="right") - 1 + shift
    inside = (k >= 0) & (k < 100)
    return np.where(inside, heights[k.clip(0, 99)] / w.size / (high - low) * 100, 0)


SAMPLES: dict[str, np.ndarray] = {}


def of_first_step(c, n, w, t, s):
    if c.state.step == 0:
        SAMPLES[n] = w.ravel()[s]
    return kde(SAMPLES[n], 0.5 * w.std(ddof=1), t)


mutant(
    "histogram-next-bin",
    {"densities": each(lambda c, n, w, t, s: histogram(t, w, w.min(), w.max(), 1))},
    **RELEASED,
)
mutant(
    "histogram-range=-1 to 1",
    {"densities": each(lambda c, n, w, t, s: histogram(t, w, -1, 1))},
    **RELEASED,
)
mutant("kernel-drawn=in the first step", {"densities": each(of_first_step)}, steps=4)
mutant(
    "kernel-over-factor",
    {
        "densities": each(
            lambda c, n, w, t, s: kde(w.ravel()[s], 0.5 * w.std(ddof=1), t) * w.std(ddof=1)
        )
    },
)
mutant(
    "kernel-scott",
    {"densities": each(lambda c, n, w, t, s: kde(w.ravel()[s], w.std(ddof=1) * 100**-0.2, t))},
)

# Gradients


def long_tailed(c):
    u = np.abs(excess(c))
    return -np.where(u <= 0.4, 2 - 4 * u, np.where(u <= 1, 0.4, 0))


def slope(c):
    return expit(excess(c)) * expit(-excess(c))


mutant("surrogate-long-tailed", {"dmask_dthreshold": long_tailed})
mutant(
    ("surrogate-sigmoid", "dweight-through-surrogate"),
    {
        "dmask_dthreshold": lambda c: -slope(c),
        "dweight": lambda c: c.value + c[f"dsparse_weight/{c.item}"] * np.abs(c.w) * slope(c),
    },
)
mutant(
    "dmask-by-sign",
    {
        "dreconstruction_dthreshold": lambda c: np.array(
            [
                (c[f"dsparse_weight/{n}"] * np.sign(w) * c[f"dmask_dthreshold/{n}"]).sum()
                for n, w in c.W.items()
            ]
        )
    },
    without=("dmask/",),
)


def late_mask(c):
    v = c.c.momentum * c.state.threshold_velocities + c["dthreshold"]
    t = c["thresholds"] - c.c.threshold_learning_rate * c["rate_factor"] * v
    return c[f"dsparse_weight/{c.item}"] * (np.abs(c.w) > t[c.layers.index(c.item)])


mutant(("dweight-mask-of-new-thresholds", "dweight-mask-of-new-weights"), {"dweight": late_mask})


def pruned(c):
    return c[f"sparse_weight/{c.item}"] if c.item in c.layers else c.w


mutant(
    "pruned-in-place",
    {
        "dmask": lambda c: c[f"dsparse_weight/{c.item}"] * pruned(c),
        "dmask_dthreshold": lambda c: np.where(np.abs(np.abs(pruned(c)) - c.t) < 1, -0.5, 0),
        "densities": each(
            lambda c, n, w, t, s: kde(
                c[f"sparse_weight/{n}"].ravel()[s], 0.5 * c[f"sparse_weight/{n}"].std(ddof=1), t
            )
        ),
        "velocity": lambda c: (
            c.c.momentum * c.state.velocities[c.item]
            + c[f"dparameter/{c.item}"]
            + c.c.weight_decay * pruned(c)
        ),
        "new_parameter": lambda c: pruned(c) - rate_of(c) * c[f"velocity/{c.item}"],
    },
)

# Updates


def gradient_norm(c):
    """Return the norm of all gradients together, which are seen one by one, in the right step."""
    from fcpts_ref.oracle.replay import replay

    right, _ = replay(c.setting, c.inputs)
    names = [n for n in right if n.startswith("dparameter/")]
    return math.sqrt(sum((right[n] ** 2).sum() for n in (*names, "dthreshold_parameter")))


def clipped(c):
    return c.value * min(1, 0.5 / (gradient_norm(c) + 1e-6))


def in_batch_norm(c):
    return c.item.startswith("bn")


mutant("gradient-norm-clipped=0.5", {"dparameter": clipped, "dthreshold_parameter": clipped})
mutant(
    "parameter-not-learned",
    {
        "velocity": lambda c: c.state.velocities[c.item] if in_batch_norm(c) else None,
        "new_parameter": lambda c: c.w if in_batch_norm(c) else None,
    },
)
mutant(
    "velocity-forgotten-each-epoch",
    {
        "velocity": lambda c: None if c.state.step % 3 else new_velocity(c)[0],
        "threshold_velocity": lambda c: None if c.state.step % 3 else c["dthreshold_parameter"],
    },
    steps=5,
)
mutant(
    "decay-towards-dense",
    {"velocity": lambda c: c.value - c.c.weight_decay * c.setting.network.parameters[c.item]},
)
mutant(
    "update-in-part",
    {
        "new_threshold_parameters": lambda c: np.append(
            c.state.threshold_parameters[:-1], c.value[-1]
        )
    },
)


def factor(of):
    return {"rate_factor": lambda c: of(c.state.step) * c.B / 64}


mutant(
    "schedule-by-epoch",
    factor(lambda k: 1 if k < 3 else 0.5 * (1 + math.cos(math.pi * (k // 3 - 1) / 3))),
    steps=8,
)
mutant(
    "decay-polynomial=0.9",
    factor(lambda k: (k + 1) / 3 if k < 3 else (1 - (k - 3) / 9) ** 0.9),
    steps=7,
)

# The start


def starting(rates=None, ranked=lambda w, k: w[k - 1] if k else 0.0):
    def begin(before, state):
        weights = [np.sort(np.abs(state.parameters[n]), axis=None) for n in state.allocation.rates]
        shapes = [state.parameters[n].shape for n in state.allocation.rates]
        r = before["initial_rates"] if rates is None else rates(shapes)
        t = [ranked(w, round(x * w.size)) for w, x in zip(weights, r, strict=True)]
        before = {**before, "initial_rates": r}
        return before, replace(state, threshold_parameters=np.array(t))

    return {"wrong_begin": begin}


def erdos_renyi(shapes):
    N = np.array([math.prod(s) for s in shapes])
    ratio = np.array([sum(s[:2]) / math.prod(s[:2]) for s in shapes])
    dense = ratio * 0.5 * N.sum() / (ratio @ N) > 1  # they cannot be sparser than dense
    scale = (0.5 * N.sum() - N[dense].sum()) / (ratio * N)[~dense].sum()
    return np.where(dense, 0, 1 - scale * ratio)


mutant("erk-without-kernel", **starting(erdos_renyi))
mutant("start-relative", **starting(ranked=lambda w, k: w[k - 1] / w[-1] if k else 0.0))
