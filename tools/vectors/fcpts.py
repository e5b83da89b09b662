"""A step of Algorithm 1 and a run of several, derived a second time on a small network.

The network: convolution 3x3 (padding 1), batch norm, ReLU, convolution 3x3 (stride 2, padding 1),
batch norm, ReLU, mean over the pixels, linear layer with bias.  Its arrays come as lists in the
order of ``PARAMETERS`` and ``BUFFERS``; outputs that join several arrays are flattened in that
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import exp, log, mp, mpf, sqrt

from tools.vectors import equations, layers, methods
from tools.vectors.exact import Decisions, exact, indices, total, zeros

PARAMETERS = (
    "conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "bn2.weight", "bn2.bias",
    "linear.weight", "linear.bias",
)  # fmt: skip
BUFFERS = ("bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var")
PRUNABLE = (0, 3, 6)
BATCH_NORM = {"momentum": 0.1, "epsilon": 1e-5}
WINDOWS = ([1, 1], [2, 2])  # strides

Outputs = dict[str, Any]


@dataclass
class State:
    """The state that a step changes."""

    parameters: list[np.ndarray]
    buffers: list[np.ndarray]
    velocities: list[np.ndarray]
    threshold_parameters: np.ndarray
    threshold_velocities: np.ndarray


def _forward(
    decide: Decisions,
    p: Sequence[np.ndarray],
    buffers: Sequence[Any],
    images: Any,
    training: bool,
    c: dict[str, Any],
) -> dict[str, Any]:
    """Return every value from the images to the logits."""
    x, seen, new_buffers = exact(images), {}, []
    if "mean" in c:
        x = layers.normalise_forward(decide, x, c["mean"], c["std"])["y"]
    for block, stride in enumerate(WINDOWS):
        weight, gamma, beta = p[3 * block : 3 * block + 3]
        seen[f"in{block}"] = x
        x = layers.convolution_forward(decide, x, weight, None, stride, [1, 1], [1, 1], 1)["y"]
        seen[f"conv{block}"] = x
        mean, variance = buffers[2 * block : 2 * block + 2]
        normed = layers.batch_norm_forward(
            decide, x, gamma, beta, mean, variance, training, **BATCH_NORM
        )
        new_buffers += [normed["running_mean"], normed["running_var"]]
        seen[f"sum{block}"] = normed["y"]
        if "mean" in c and block == 1:
            seen[f"sum{block}"] = normed["y"] + _shortcut(decide, seen["in1"], p)
        x = layers.relu_forward(decide, seen[f"sum{block}"])["y"]
    seen["relu"] = x
    seen["pooled"] = layers.global_average_pool_forward(decide, x)["y"]
    logits = layers.linear_forward(decide, seen["pooled"], p[6], p[7])["y"]
    return seen | {"logits": logits, "buffers": new_buffers}


def _backward(
    decide: Decisions,
    p: Sequence[np.ndarray],
    buffers: Sequence[Any],
    seen: dict[str, Any],
    dlogits: np.ndarray,
    training: bool,
    c: dict[str, Any],
) -> list[np.ndarray]:
    """Chain the layers' second derivations; return the gradients of all parameters."""
    last = layers.linear_backward(decide, dlogits, seen["pooled"], p[6], p[7])
    dx = layers.global_average_pool_backward(decide, last["dx"], seen["relu"])["dx"]
    gradients = [last["dweight"], last["dbias"]]
    dshortcut: Any = 0
    for block in (1, 0):
        dx = layers.relu_backward(decide, dx, seen[f"sum{block}"])["dx"]
        if "mean" in c and block == 1:
            dshortcut = _shortcut_backward(decide, dx, seen["in1"], p)
        mean, variance = buffers[2 * block : 2 * block + 2]
        weight, gamma, beta = p[3 * block : 3 * block + 3]
        norm = layers.batch_norm_backward(
            decide, dx, seen[f"conv{block}"], gamma, beta, running_mean=mean,
            running_var=variance, training=training, **BATCH_NORM,
        )  # fmt: skip
        conv = layers.convolution_backward(
            decide, norm["dx"], seen[f"in{block}"], weight, None, WINDOWS[block], [1, 1], [1, 1], 1
        )
        dx = conv["dx"] + dshortcut if block == 1 else conv["dx"]
        gradients = [conv["dweight"], norm["dgamma"], norm["dbeta"], *gradients]
    return gradients


def _shortcut(decide: Decisions, x: np.ndarray, p: Sequence[np.ndarray]) -> np.ndarray:
    """Every other pixel, with channels of zeros after its own."""
    taken = layers.subsample_forward(decide, x, 2)["y"]
    more = p[3].shape[0] - p[3].shape[1]
    return np.asarray(layers.zero_pad_forward(decide, taken, 0, more)["y"])


def _shortcut_backward(
    decide: Decisions, dy: np.ndarray, x: np.ndarray, p: Sequence[np.ndarray]
) -> np.ndarray:
    taken = layers.subsample_forward(decide, x, 2)["y"]
    more = p[3].shape[0] - p[3].shape[1]
    dtaken = layers.zero_pad_backward(decide, dy, taken, 0, more)["dx"]
    return np.asarray(layers.subsample_backward(decide, dtaken, x, 2)["dx"])


def fcpts_step(decide: Decisions, **inputs: Any) -> Outputs:
    """Take one step; return every quantity in the order of computation."""
    dense = [exact(array) for array in inputs["dense_parameters"]]
    teacher = [exact(array) for array in inputs["dense_buffers"]]
    outputs, _ = _step(decide, dense, teacher, _begin(inputs), inputs["images"], inputs)
    return outputs


def fcpts_run(decide: Decisions, **inputs: Any) -> Outputs:
    """Take one step per batch."""
    dense = [exact(array) for array in inputs["dense_parameters"]]
    teacher = [exact(array) for array in inputs["dense_buffers"]]
    state, history = _begin(inputs), []
    for step in range(inputs["images"].shape[0]):
        now = inputs | {
            "learning_rate": inputs["learning_rates"][step].item(),
            "threshold_learning_rate": inputs["threshold_learning_rates"][step].item(),
            "samples": inputs["samples"][step],
        }
        outputs, state = _step(decide, dense, teacher, state, inputs["images"][step], now)
        history.append(outputs)
    traced = ("reconstruction_loss", "control_loss", "rates", "new_thresholds")
    return {
        **{name: np.array([one[name] for one in history], dtype=object) for name in traced},
        "masks": history[-1]["masks"],
        "new_parameters": history[-1]["new_parameters"],
        "new_buffers": history[-1]["new_buffers"],
    }


def _begin(inputs: dict[str, Any]) -> State:
    return State(
        [exact(array) for array in inputs["parameters"]],
        [exact(array) for array in inputs["buffers"]],
        [exact(array) for array in inputs["velocities"]],
        exact(inputs["threshold_parameters"]),
        exact(inputs["threshold_velocities"]),
    )


def _step(
    decide: Decisions,
    dense: list[np.ndarray],
    teacher_buffers: list[np.ndarray],
    state: State,
    images: Any,
    c: dict[str, Any],
) -> tuple[Outputs, State]:
    """Take one step; ``c``: the conventions and settings by their names in the vectors."""
    t = _thresholds(state.threshold_parameters, c)
    weights = [state.parameters[i] for i in PRUNABLE]
    masks = [equations.mask(decide, w, t[i], c["tie"])["mask"] for i, w in enumerate(weights)]
    sparse = list(state.parameters)
    for i, place in enumerate(PRUNABLE):
        sparse[place] = masks[i] * weights[i]

    teacher_trains = c["teacher_batch_norm"] == "training"
    student_trains = c["student_batch_norm"] == "training"
    dense_logits = _forward(decide, dense, teacher_buffers, images, teacher_trains, c)["logits"]
    seen = _forward(decide, sparse, state.buffers, images, student_trains, c)
    logits, T = (dense_logits, seen["logits"]), c["temperature"]
    sizes = np.array([w.size for w in weights])
    rates = np.array(
        [
            equations.sparsity_rate(decide, w, t[i], c["strict_rate"])["rate"]
            for i, w in enumerate(weights)
        ],
        dtype=object,
    )
    L_rec = equations.reconstruction_loss(decide, *logits, T)["loss"]
    L_c = equations.control_loss(decide, rates, sizes, c["target"])["loss"]
    outputs: Outputs = {
        "masks": _flat(masks),
        "dense_logits": dense_logits,
        "sparse_logits": seen["logits"],
        "reconstruction_loss": L_rec,
        "rates": rates,
        "control_loss": L_c,
        "total_loss": L_rec + mpf(c["control_weight"]) * L_c,
    }

    dlogits = equations.reconstruction_loss_gradient(decide, *logits, T)["gradient"]
    gradients = _backward(decide, sparse, state.buffers, seen, dlogits, student_trains, c)
    dt = zeros(t.shape)
    learned = c.get("learn_rates", True)
    if c["control"] == "loss" and learned:
        part = _control_part(decide, weights, t, rates, sizes, c)
        outputs |= part
        dt = dt + mpf(c["control_weight"]) * part["dcontrol_dthreshold"]
    if c["reconstruction_moves_thresholds"] and learned:
        moved = _reconstruction_part(decide, weights, t, gradients)
        outputs["dreconstruction_dthreshold"] = moved
        dt = dt + moved
    if learned:
        outputs["dthreshold"] = dt
    for i, place in enumerate(PRUNABLE):
        gradients[place] = _through_mask(decide, gradients[place], weights[i], masks[i], t[i], c)
    outputs["dparameters"] = _flat(gradients)

    new = _descend(state, gradients, dt, t, c)
    new.buffers = seen["buffers"]
    if not learned:
        new.threshold_parameters = _at_rates(decide, new, c)
    elif c["control"] == "projection":
        new.threshold_parameters = _project(decide, new, c)
    outputs |= {
        "new_parameters": _flat(new.parameters),
        "new_velocities": _flat(new.velocities),
        "new_threshold_parameters": new.threshold_parameters,
        "new_threshold_velocities": new.threshold_velocities,
        "new_thresholds": _thresholds(new.threshold_parameters, c),
        "new_buffers": _flat(new.buffers),
    }
    return outputs, new


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays])


def _thresholds(parameters: np.ndarray, c: dict[str, Any]) -> np.ndarray:
    if c["threshold_parameter"] == "threshold":
        return parameters.copy()
    return np.array([1 / (1 + exp(-s)) for s in parameters], dtype=object)


def _control_part(
    decide: Decisions,
    weights: list[np.ndarray],
    t: np.ndarray,
    rates: np.ndarray,
    sizes: np.ndarray,
    c: dict[str, Any],
) -> Outputs:
    """Equation 13 with its factors: Equation 12 at t and -t, Equation 11, Equation 8."""
    p = zeros((len(t), 2))
    for i, w in enumerate(weights):
        points = np.array([t[i], -t[i]], dtype=object)
        if c["density"] == "histogram":
            found = equations.histogram_density(decide, points, w, c["histogram_bins"])
        else:
            drawn = w.ravel()[c["samples"][i]]
            found = equations.density(decide, points, drawn, _bandwidth(w, c))
        p[i] = found["density"]
    dr_dt = p[:, 0] + p[:, 1]
    dLc_dr = equations.control_loss_gradient(decide, rates, sizes, c["target"], c["at_target"])
    return {
        "densities": p,
        "drate_dthreshold": dr_dt,
        "dcontrol_drate": dLc_dr["gradient"],
        "dcontrol_dthreshold": dLc_dr["gradient"] * dr_dt,
    }


def _bandwidth(weight: np.ndarray, c: dict[str, Any]) -> mpf:
    """Return the bandwidth: absolute, or relative to the layer's unbiased standard deviation."""
    if c["bandwidth"] == "absolute":
        return mpf(c["bandwidth_factor"])
    values = weight.ravel().tolist()
    mean = mp.fsum(values) / len(values)
    variance = mp.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mpf(c["bandwidth_factor"]) * sqrt(variance)


def _reconstruction_part(
    decide: Decisions, weights: list[np.ndarray], t: np.ndarray, gradients: list[np.ndarray]
) -> np.ndarray:
    """Equation 14: over all weights, dL/dM = dL/dW_sparse * W."""
    result = zeros(t.shape)
    for i, w in enumerate(weights):
        surrogate = equations.mask_threshold_gradient(decide, w, t[i])["gradient"]
        result[i] = total(gradients[PRUNABLE[i]] * w * surrogate)
    return result


def _through_mask(
    decide: Decisions,
    dsparse: np.ndarray,
    weight: np.ndarray,
    mask: np.ndarray,
    t: mpf,
    c: dict[str, Any],
) -> np.ndarray:
    """dL/dW = M * dL/dW_sparse; with convention 4 also where pruned, and through the mask."""
    dweight: np.ndarray = mask * dsparse
    if c.get("pruned_weight_gradient", "none") == "dense":
        dweight = dsparse + mpf(c.get("pruned_weight_pull", 0.0)) * (1 - mask) * weight
    if c["mask_gradient_reaches_weights"]:
        for index in indices(weight.shape):
            inside = decide.compare(abs(abs(weight[index]) - t), 1) < 0
            if inside:
                sign = mp.sign(weight[index])
                dweight[index] += dsparse[index] * weight[index] * sign / 2
    return dweight


def _descend(
    state: State,
    gradients: list[np.ndarray],
    dt: np.ndarray,
    t: np.ndarray,
    c: dict[str, Any],
) -> State:
    momentum, decay = mpf(c["momentum"]), mpf(c["weight_decay"])
    factor = mpf(c.get("rate_factor", 1.0))
    parameters, velocities = [], []
    for p, g, v in zip(state.parameters, gradients, state.velocities, strict=True):
        g = g + decay * p
        v = momentum * v + g
        move = g + momentum * v if c["nesterov"] else v
        parameters.append(p - factor * mpf(c["learning_rate"]) * move)
        velocities.append(v)
    if c["threshold_parameter"] == "sigmoid":
        dt = dt * t * (1 - t)
    velocity = momentum * state.threshold_velocities + dt
    move = dt + momentum * velocity if c["nesterov"] else velocity
    moved = state.threshold_parameters - factor * mpf(c["threshold_learning_rate"]) * move
    if c["threshold_parameter"] == "threshold":
        moved = np.array([max(value, mpf(0)) for value in moved], dtype=object)
    return State(parameters, state.buffers, velocities, moved, velocity)


def _at_rates(decide: Decisions, state: State, c: dict[str, Any]) -> np.ndarray:
    """The largest of the round(rate N) smallest magnitudes of each layer, or its logit."""
    weights = [state.parameters[place] for place in PRUNABLE]
    found = methods.initial_thresholds(
        decide, weights, c["initial_rates"], c["threshold_parameter"]
    )
    return np.asarray(found["parameters"])


def _project(decide: Decisions, state: State, c: dict[str, Any]) -> np.ndarray:
    """Multiply all thresholds by the midpoint of the count-th smallest |w| / t and the next."""
    t = _thresholds(state.threshold_parameters, c)
    weights = [state.parameters[place] for place in PRUNABLE]
    ratios = sorted(abs(w) / t[i] for i, weight in enumerate(weights) for w in weight.ravel())
    count = int(mp.nint(mpf(c["target"]) * len(ratios)))
    decide.compare(ratios[count - 1], ratios[count])
    t = t * (ratios[count - 1] + ratios[count]) / 2
    if c["threshold_parameter"] == "threshold":
        return np.asarray(t)
    return np.array([log(value / (1 - value)) for value in t], dtype=object)
