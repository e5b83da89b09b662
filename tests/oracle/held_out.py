"""Mutants kept apart: written before the catalogue of causes, to measure it.

``RIGHT`` was added afterwards: the names in the catalogue that describe each mistake, if any.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from interventions import Mutant
from scipy.special import log_softmax, softmax

from fcpts_ref import layers

RELEASED = {"profile": "released"}
RESIDUAL = {"kind": "residual"}
ABOVE = {"target": 0.51}


def _kde(kernel, bandwidth=None, values=lambda w: w):
    def density(c):
        rows = []
        for (w, t), sample in zip(
            zip(c.W.values(), c["thresholds"], strict=True), c.inputs.samples, strict=True
        ):
            h = 0.5 * w.std(ddof=1) if bandwidth is None else bandwidth(w)
            drawn = values(w).ravel()[sample]
            z = (np.array([t, -t])[:, None] - drawn) / h
            rows.append(kernel(z).mean(axis=1) / h)
        return np.array(rows)

    return density


def _gauss(z):
    return np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _log(y, T):
    return log_softmax(y / T, axis=1)


def _kl(p_log, q_log):
    return (np.exp(p_log) * (p_log - q_log)).sum(axis=1).mean()


def _losses(c):
    return c["dense_logits"], c["sparse_logits"], c.c.temperature


def _teacher_only(c):
    d, s, T = _losses(c)
    return T * T * _kl(_log(d, T), _log(s, 1))


def _student_only(c):
    d, s, T = _losses(c)
    return T * T * _kl(_log(d, 1), _log(s, T))


def _clipped(c):
    d, s, T = _losses(c)
    p, q = softmax(d / T, axis=1), softmax(s / T, axis=1)
    return T * T * (p * (np.log(p + 1e-8) - np.log(q + 1e-8))).sum(axis=1).mean()


def _jensen(c):
    d, s, T = _losses(c)
    p, q = softmax(d / T, axis=1), softmax(s / T, axis=1)
    m = (p + q) / 2
    p_to_m, q_to_m = ((a * np.log(a / m)).sum(axis=1).mean() for a in (p, q))
    return T * T * (p_to_m + q_to_m) / 2


def _histogram(measure):
    def density(c):
        return np.array([measure(w, t) for w, t in zip(c.W.values(), c["thresholds"], strict=True)])

    return density


def _look_up(heights, edges, points):
    k = np.searchsorted(edges, points, side="right") - 1
    inside = (k >= 0) & (k < len(heights))
    return np.where(inside, heights[np.clip(k, 0, len(heights) - 1)], 0.0)


def _mass(w, t):
    counts, edges = np.histogram(w, bins=100)
    return _look_up(counts / w.size, edges, np.array([t, -t]))


def _symmetric(w, t):
    top = np.abs(w).max()
    heights, edges = np.histogram(w, bins=100, range=(-top, top), density=True)
    return _look_up(heights, edges, np.array([t, -t]))


def _bn_square(right):
    def forward(x, gamma, beta, mean, var, *, training, momentum=0.1, epsilon=1e-5):
        (y, *running), cache = right(
            x, gamma, beta, mean, var, training=training, momentum=momentum, epsilon=epsilon
        )
        v = x.var(axis=(0, 2, 3)) if training else var
        root = np.sqrt(v + epsilon)[:, None, None]
        return ((y - beta[:, None, None]) / root + beta[:, None, None], *running), cache

    return forward


def _bn_momentum(value):
    return lambda right: (
        lambda *arrays, momentum=0.1, **other: right(*arrays, momentum=value, **other)
    )


def _leaky(c):
    node = next((n for n in c.setting.network.graph.nodes if c.item in n.inputs), None)
    if node is None or node.operation != "relu":
        return None
    x = c[f"activation/{c.item}"]
    return np.where(x > 0, 1.0, 0.01) * c[f"dactivation/{node.name}"]


def _stale_mask(c):
    return c.earlier.get(f"mask/{c.item}")


def _neighbour(c):
    i = c.layers.index(c.item)
    return (np.abs(c.w) > c["thresholds"][i - 1]) * 1.0


def _floor_counts(c):
    ratios = {
        n: np.abs(c[f"new_parameter/{n}"]) / c["new_thresholds"][i] for i, n in enumerate(c.layers)
    }
    everything = np.sort(np.concatenate([r.ravel() for r in ratios.values()]))
    cut = everything[math.floor(c.setting.target * everything.size)]
    return (ratios[c.item] >= cut) * 1.0


def _ceil_start(right):
    return lambda weight, count: right(weight, min(count + 1, weight.size)) if count else 0.0


def _begin_from(change):
    def wrong_begin(before, state):
        s = change(state, before)
        state = replace(state, threshold_parameters=s)
        return before, state

    return wrong_begin


def _interpolated(state, before):
    magnitudes = [np.abs(state.parameters[n]) for n in state.allocation.rates]
    return np.array(
        [np.quantile(m, r) for m, r in zip(magnitudes, before["initial_rates"], strict=True)]
    )


HELD_OUT = [
    # before the step
    Mutant(
        "thresholds start at an interpolated quantile",
        run={"wrong_begin": _begin_from(_interpolated)},
    ),
    Mutant(
        "thresholds start at the median",
        run={
            "target": 0.7,
            "wrong_begin": _begin_from(
                lambda state, _: np.array(
                    [np.median(np.abs(state.parameters[n])) for n in state.allocation.rates]
                )
            ),
        },
    ),
    Mutant(
        "the schedule steps once an epoch",
        {
            "rate_factor": lambda c: (
                8
                / 64
                * (
                    1 / 3
                    if c.state.step < 3
                    else 0.5 * (1 + math.cos(math.pi * (c.state.step // 3 - 1) / 3))
                )
            )
        },
        run={"steps": 6},
    ),
    Mutant(
        "the batch scales by a square root",
        {"rate_factor": lambda c: c.value * 64 / 8 * math.sqrt(8 / 64)},
    ),
    Mutant("the batch scales from 256", {"rate_factor": lambda c: c.value / 4}),
    Mutant(
        "a linear decay",
        {
            "rate_factor": lambda c: (
                8
                / 64
                * ((c.state.step + 1) / 3 if c.state.step < 3 else 1 - (c.state.step - 3) / 9)
            )
        },
        run={"steps": 6},
    ),
    Mutant(
        "thresholds by softplus",
        {"thresholds": lambda c: np.log1p(np.exp(c.state.threshold_parameters))},
        run=RELEASED,
    ),
    Mutant(
        "thresholds by exp",
        {"thresholds": lambda c: np.exp(c.state.threshold_parameters)},
        run=RELEASED,
    ),
    # masks
    Mutant("squares are compared with the threshold", {"mask": lambda c: (c.w**2 > c.t) * 1.0}),
    Mutant("the neighbour's threshold", {"mask": _neighbour}),
    Mutant(
        "the mask of the step before",
        {"mask": _stale_mask},
        run={"steps": 4, "choices": {"threshold_learning_rate": 0.05}},
    ),
    Mutant(
        "kept weights are scaled up",
        {"sparse_weight": lambda c: c.value / np.mean(c[f"mask/{c.item}"])},
    ),
    Mutant(
        "the dense weights are masked",
        {"sparse_weight": lambda c: c[f"mask/{c.item}"] * c.setting.network.parameters[c.item]},
        run={"steps": 3},
    ),
    # forward
    Mutant(
        "subsampling starts at 1",
        patch=(
            (
                layers.subsample_forward,
                lambda right: (
                    lambda x, *, stride: right(np.roll(x, (-1, -1), (2, 3)), stride=stride)
                ),
            ),
        ),
        run=RESIDUAL,
    ),
    Mutant(
        "zero channels at the end",
        patch=(
            (
                layers.zero_pad_forward,
                lambda right: lambda x, *, before, after: right(x, before=0, after=before + after),
            ),
        ),
        run=RESIDUAL,
    ),
    Mutant(
        "no ReLU after an addition",
        {
            "activation/layer1.0.relu2": lambda c: c["activation/layer1.0.add"],
            "dactivation/layer1.0.add": lambda c: c["dactivation/layer1.0.relu2"],
        },
        run=RESIDUAL,
    ),
    Mutant("batch norm divides by the variance", patch=((layers.batch_norm_forward, _bn_square),)),
    Mutant(
        "batch norm's momentum is 0.01", patch=((layers.batch_norm_forward, _bn_momentum(0.01)),)
    ),
    Mutant(
        "running variance by the second moment",
        {
            "new_buffer/bn1.running_var": lambda c: (
                0.9 * c.state.buffers["bn1.running_var"]
                + 0.1 * (c["activation/conv1"] ** 2).mean(axis=(0, 2, 3))
            ),
            "new_buffer/bn2.running_var": lambda c: (
                0.9 * c.state.buffers["bn2.running_var"]
                + 0.1 * (c["activation/conv2"] ** 2).mean(axis=(0, 2, 3))
            ),
        },
    ),
    Mutant(
        "the pool adds up",
        {
            "activation/pool": lambda c: (
                c.value * np.prod(c["activation/layer3.0.relu2"].shape[2:])
            ),
            "dactivation/layer3.0.relu2": lambda c: c.value * np.prod(c.value.shape[2:]),
        },
        run=RESIDUAL,
    ),
    Mutant(
        "the input is multiplied by its deviation",
        {
            "activation/normalise": lambda c: (
                (c.inputs.images - c.setting.network.buffers["normalise.mean"][:, None, None])
                * c.setting.network.buffers["normalise.std"][:, None, None]
            )
        },
        run=RESIDUAL,
    ),
    Mutant(
        "the input's mean is not taken off",
        {
            "activation/normalise": lambda c: (
                c.inputs.images / c.setting.network.buffers["normalise.std"][:, None, None]
            ),
            "dense_activation/normalise": lambda c: (
                c.inputs.images / c.setting.network.buffers["normalise.std"][:, None, None]
            ),
        },
        run=RESIDUAL,
    ),
    # losses
    Mutant(
        "the temperature to the fourth power",
        {"reconstruction_loss": lambda c: c.value * 16},
        run=RELEASED,
    ),
    Mutant(
        "the temperature on the teacher alone", {"reconstruction_loss": _teacher_only}, run=RELEASED
    ),
    Mutant(
        "the temperature on the student alone", {"reconstruction_loss": _student_only}, run=RELEASED
    ),
    Mutant("log of p plus 1e-8", {"reconstruction_loss": _clipped}),
    Mutant("Jensen and Shannon", {"reconstruction_loss": _jensen}),
    Mutant(
        "signed weights are counted",
        {
            "rates": lambda c: np.array(
                [np.mean(w <= t) for w, t in zip(c.W.values(), c["thresholds"], strict=True)]
            )
        },
    ),
    Mutant(
        "the loss is relative to the target",
        {"control_loss": lambda c: c.value / c.setting.target},
        run=ABOVE,
    ),
    Mutant(
        "the target is the kept share",
        {
            "control_loss": lambda c: abs(
                (c["rates"] * c.N).sum() / c.N.sum() - (1 - c.setting.target)
            ),
            "dcontrol_drate": lambda c: (
                np.sign((c["rates"] * c.N).sum() / c.N.sum() - (1 - c.setting.target))
                * c.N
                / c.N.sum()
            ),
        },
        run={"target": 0.7},
    ),
    Mutant(
        "the control loss counts weights",
        {"control_loss": lambda c: c.value * c.N.sum()},
        run=ABOVE,
    ),
    Mutant(
        "the control loss is left out",
        {"total_loss": lambda c: c["reconstruction_loss"]},
        run=ABOVE,
    ),
    Mutant(
        "the control loss enters squared",
        {"total_loss": lambda c: c["reconstruction_loss"] + c["control_loss"] ** 2},
        run=ABOVE,
    ),
    Mutant(
        "a number out of nowhere", {"total_loss": lambda c: 0.123 + 0.01 * c.state.step}, run=ABOVE
    ),
    Mutant(
        "the teacher is softened alone backwards",
        {
            "dsparse_logits": lambda c: (
                c.c.temperature
                / c.B
                * (
                    softmax(c["sparse_logits"], axis=1)
                    - softmax(c["dense_logits"] / c.c.temperature, axis=1)
                )
            )
        },
        run=RELEASED,
    ),
    # backward
    Mutant("ReLU leaks backwards", {"dactivation": _leaky}),
    Mutant(
        "an addition halves the gradient",
        patch=(
            (
                layers.add_backward,
                lambda right: lambda dy, cache: tuple(d / 2 for d in right(dy, cache)),
            ),
        ),
        run=RESIDUAL,
    ),
    Mutant(
        "the pool's gradient is not shared out",
        patch=(
            (layers.average_pool_backward, lambda right: lambda dy, cache: right(dy, cache) * 4),
        ),
    ),
    Mutant("weight gradients per image", {"dsparse_weight": lambda c: c.value / c.B}),
    # densities
    Mutant(
        "kernels of Epanechnikov", {"densities": _kde(lambda z: 0.75 * np.maximum(1 - z * z, 0))}
    ),
    Mutant(
        "the exponent lacks its half",
        {"densities": _kde(lambda z: np.exp(-z * z) / math.sqrt(2 * math.pi))},
    ),
    Mutant("kernels are not normalised", {"densities": _kde(lambda z: np.exp(-0.5 * z * z))}),
    Mutant("kernels are summed", {"densities": lambda c: c.value * c.c.density_samples}),
    Mutant(
        "the bandwidth is half the variance",
        {"densities": _kde(_gauss, lambda w: 0.5 * w.var(ddof=1))},
    ),
    Mutant(
        "the bandwidth by Scott's rule",
        {"densities": _kde(_gauss, lambda w: w.std(ddof=1) * 100**-0.2)},
    ),
    Mutant("the density of magnitudes", {"densities": _kde(_gauss, values=np.abs)}),
    Mutant("the histogram's mass", {"densities": _histogram(_mass)}, run=RELEASED),
    Mutant("a symmetric histogram", {"densities": _histogram(_symmetric)}, run=RELEASED),
    # thresholds
    Mutant("the mean of both densities", {"drate_dthreshold": lambda c: c.value / 2}),
    Mutant(
        "Equation 8 of a squared loss",
        {"dcontrol_drate": lambda c: 2 * c.excess * c.N / c.N.sum()},
        run=ABOVE,
    ),
    Mutant(
        "Equation 13 divides",
        {"dcontrol_dthreshold": lambda c: c["dcontrol_drate"] / c["drate_dthreshold"]},
        run=ABOVE,
    ),
    Mutant("the surrogate is -1", {"dmask_dthreshold": lambda c: 2 * c.value}),
    Mutant(
        "the surrogate of a Gaussian",
        {
            "dmask_dthreshold": lambda c: (
                -np.exp(-0.5 * (np.abs(c.w) - c.t) ** 2) / math.sqrt(2 * math.pi)
            )
        },
    ),
    Mutant("dM by the magnitude", {"dmask": lambda c: c[f"dsparse_weight/{c.item}"] * np.abs(c.w)}),
    Mutant("dM by the sign", {"dmask": lambda c: c[f"dsparse_weight/{c.item}"] * np.sign(c.w)}),
    Mutant(
        "the losses pull against each other",
        {"dthreshold": lambda c: c["dreconstruction_dthreshold"] - c["dcontrol_dthreshold"]},
        run=ABOVE,
    ),
    Mutant(
        "L_c counts tenfold",
        {"dthreshold": lambda c: c["dreconstruction_dthreshold"] + 10 * c["dcontrol_dthreshold"]},
        run=ABOVE,
    ),
    Mutant(
        "the sigmoid's derivative is t",
        {"dthreshold_parameter": lambda c: c["dthreshold"] * c["thresholds"]},
        run=RELEASED,
    ),
    # update
    Mutant(
        "decay on the masked weight",
        {
            "velocity": lambda c: (
                c.value + c.c.weight_decay * (c.seen.get(f"sparse_weight/{c.item}", c.w) - c.w)
            )
        },
    ),
    Mutant(
        "no decay on batch norm and biases",
        {"velocity": lambda c: c.value - (0 if c.w.ndim > 1 else c.c.weight_decay) * c.w},
    ),
    Mutant(
        "decoupled decay",
        {
            "velocity": lambda c: c.value - c.c.weight_decay * c.w,
            "new_parameter": lambda c: (
                c.w
                - c.c.learning_rate
                * c["rate_factor"]
                * (c[f"velocity/{c.item}"] + c.c.weight_decay * c.w)
            ),
        },
    ),
    Mutant(
        "batch norm is frozen",
        {"dparameter": lambda c: c.value * (0 if c.item.startswith("bn") else 1)},
    ),
    Mutant(
        "gradients are not set to 0", {"dparameter": lambda c: c.value + c.earlier.get(c.name, 0)}
    ),
    Mutant(
        "velocities are masked", {"velocity": lambda c: c.value * c.seen.get(f"mask/{c.item}", 1)}
    ),
    Mutant(
        "the velocity of the step before",
        {
            "new_parameter": lambda c: (
                c.w - c.c.learning_rate * c["rate_factor"] * c.state.velocities[c.item]
            )
        },
    ),
    Mutant(
        "thresholds climb",
        {
            "new_threshold_parameters": lambda c: np.maximum(
                c.state.threshold_parameters
                + c.c.threshold_learning_rate * c["rate_factor"] * c["threshold_velocity"],
                0,
            )
        },
    ),
    Mutant(
        "thresholds by the sign of their gradient",
        {
            "threshold_velocity": lambda c: (
                c.c.momentum * c.state.threshold_velocities + np.sign(c["dthreshold_parameter"])
            )
        },
    ),
    Mutant(
        "running statistics move twice",
        {"new_buffer": lambda c: c.value + 0.9 * (c.value - c.state.buffers[c.item])},
    ),
    Mutant(
        "the count is rounded down",
        {"final_mask": _floor_counts},
        run={"target": 0.516, "choices": {"threshold_learning_rate": 0.05}},
    ),
]

RIGHT: dict[str, tuple[str, ...]] = {
    "thresholds start at an interpolated quantile": ("start-quantile",),
    "thresholds start at the median": ("start-median",),
    "the schedule steps once an epoch": ("schedule-by-epoch",),
    "the batch scales by a square root": ("rate-by-batch-root",),
    "the batch scales from 256": ("rate-by-batch-of-256",),
    "a linear decay": ("decay-linear",),
    "thresholds by softplus": ("threshold-softplus",),
    "thresholds by exp": ("threshold-exp",),
    "squares are compared with the threshold": ("mask-of-squares",),
    "the neighbour's threshold": ("mask-of-other-threshold",),
    "the mask of the step before": ("mask-stale",),
    "kept weights are scaled up": ("weight-rescaled",),
    "the dense weights are masked": ("dense-weight-masked",),
    "subsampling starts at 1": ("subsample-offset",),
    "zero channels at the end": ("pad-at-end",),
    "no ReLU after an addition": ("relu-missing",),
    "batch norm divides by the variance": ("bn-variance-for-deviation",),
    "batch norm's momentum is 0.01": ("statistics-momentum=0.01",),
    "running variance by the second moment": ("statistics-second-moment",),
    "the pool adds up": ("pool-sum",),
    "the input is multiplied by its deviation": ("input-multiplied",),
    "the input's mean is not taken off": ("input-mean-not-subtracted",),
    "the temperature to the fourth power": ("kl-by-T4",),
    "the temperature on the teacher alone": ("kl-temperature-on-dense",),
    "the temperature on the student alone": ("kl-temperature-on-sparse",),
    "log of p plus 1e-8": ("kl-offset",),
    "Jensen and Shannon": ("kl-jensen-shannon",),
    "signed weights are counted": ("rate-signed",),
    "the loss is relative to the target": ("control-relative",),
    "the target is the kept share": ("control-of-kept-target",),
    "the control loss counts weights": ("control-counts",),
    "the control loss is left out": ("total-without-control",),
    "the control loss enters squared": ("total-squared",),
    "a number out of nowhere": (),
    "the teacher is softened alone backwards": ("kl-temperature-on-dense",),
    "ReLU leaks backwards": ("back-relu-leaks",),
    "an addition halves the gradient": ("back-add-halves",),
    "the pool's gradient is not shared out": ("back-pool-not-divided",),
    "weight gradients per image": ("dsparse-batch-twice",),
    "kernels of Epanechnikov": ("kernel-epanechnikov",),
    "the exponent lacks its half": ("kernel-without-half",),
    "kernels are not normalised": ("kernel-without-root",),
    "kernels are summed": ("kernel-without-n",),
    "the bandwidth is half the variance": ("kernel-variance",),
    "the bandwidth by Scott's rule": ("kernel-scott",),
    "the density of magnitudes": ("kernel-of-magnitudes",),
    "the histogram's mass": ("histogram-mass",),
    "a symmetric histogram": ("histogram-symmetric",),
    "the mean of both densities": ("drate-mean",),
    "Equation 8 of a squared loss": ("control-squared",),
    "Equation 13 divides": ("dcontrol-divided",),
    "the surrogate is -1": ("surrogate-doubled",),
    "the surrogate of a Gaussian": ("surrogate-gauss",),
    "dM by the magnitude": ("dmask-by-magnitude",),
    "dM by the sign": ("dmask-by-sign",),
    "the losses pull against each other": ("dthreshold-difference",),
    "L_c counts tenfold": ("dthreshold-weight=10",),
    "the sigmoid's derivative is t": ("sigmoid-derivative-t",),
    "decay on the masked weight": (
        "decay-of-masked-weight",
        "velocity-masked",
    ),
    "no decay on batch norm and biases": ("decay-missing",),
    "decoupled decay": ("decay-decoupled",),
    "batch norm is frozen": ("dparameter-frozen",),
    "gradients are not set to 0": ("dparameter-accumulated",),
    "velocities are masked": (
        "decay-of-masked-weight",
        "velocity-masked",
    ),
    "the velocity of the step before": ("update-by-old-velocity",),
    "thresholds climb": ("thresholds-ascend",),
    "thresholds by the sign of their gradient": ("threshold-velocity-by-sign",),
    "running statistics move twice": ("statistics-moved-twice",),
    "the count is rounded down": ("projection-rounded-down", "projection-at-weight"),
}
"""The causes that are right; two, where they are the same in these steps."""
