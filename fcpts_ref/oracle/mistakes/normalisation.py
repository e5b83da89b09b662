"""Mistakes in batch norm, its running statistics, and the normalised input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values
from fcpts_ref.oracle.mistakes.values import value_of, stored_of, wide

FORWARD, BUFFER = ("activation", "dense_activation"), ("new_buffer",)


def _of(text: str, formula: str, look: str = "") -> Mistake:
    return Mistake(text, formula, FORWARD, look, 15)


def _buffer(text: str, formula: str, look: str = "") -> Mistake:
    return Mistake(text, formula, BUFFER, look, 15)


NAMES = {
    "bn-unbiased": _of("normalised by the unbiased variance", "var with 1 / (M - 1)", "torch.var's default"),
    "bn-epsilon-outside": _of("epsilon is added to the deviation, not the variance", "sqrt(var) + epsilon"),
    "bn-epsilon-0": _of("epsilon is 0", "sqrt(var)"),
    "bn-epsilon-0.001": _of("epsilon is 0.001", "sqrt(var + 1e-3)", "the default of Keras"),
    "bn-epsilon-1e-05": _of("epsilon is 1e-05", "sqrt(var + 1e-5)", "the default of PyTorch"),
    "bn-variance-for-deviation": _of("divided by the variance, not by its root", "(x - mean) / (var + epsilon)", "sqrt is missing"),
    "bn-second-moment": _of("the second moment for the variance", "sqrt(mean(x^2) + epsilon)", "the mean is not taken off first"),
    "bn-without-mean": _of("the mean is not taken off", "x / sqrt(var + epsilon)"),
    "bn-without-gamma": _of("gamma is missing", "(x - mean) / sqrt(var + epsilon) + beta", "affine=False"),
    "bn-without-beta": _of("beta is missing", "gamma (x - mean) / sqrt(var + epsilon)"),
    "bn-one-plus-gamma": _of("1 + gamma in place of gamma", "(1 + gamma) (x - mean) / sqrt(var + epsilon) + beta"),
    "bn-per-image": _of("the statistics of every image on its own", "mean and variance over the pixels", "instance norm"),
    "bn-per-pixel": _of("the statistics of every pixel over the batch", "mean and variance over the images", "axis=0"),
    "bn-other-statistics": _of("running statistics where the batch's are due, or the other way round", "mean and variance of the other kind", "train() and eval()"),
    "bn-missing": _of("batch norm is missing", "x"),
    "input-not-normalised": _of("the input is not normalised", "x"),
    "input-mean-not-subtracted": _of("the input's mean is not taken off", "x / std"),
    "input-not-divided": _of("the input is not divided by its deviation", "x - mean"),
    "input-multiplied": _of("the input is multiplied by its deviation", "(x - mean) std"),
    "input-by-variance": _of("the input is divided by its variance", "(x - mean) / std^2"),
    "input-mean-after": _of("the mean is taken off after the division", "x / std - mean"),
    "input-channels-reversed": _of("mean and deviation of the channels in the other order", "BGR for RGB", "OpenCV reads BGR"),
    "statistics-frozen": _buffer("running statistics stay as they were", "running", "batch norm in eval(), or copies are updated"),
    "statistics-momentum-swapped": _buffer("momentum the other way round: m running + (1 - m) batch", "m running + (1 - m) batch", "the momentum of Keras is 1 minus PyTorch's"),
    "statistics-of-batch": _buffer("the batch's statistics, not running ones", "batch", "momentum 1"),
    "statistics-biased": _buffer("the running variance takes the batch's biased variance", "batch variance with 1 / M"),
    "statistics-unbiased-twice": _buffer("the variance is made unbiased twice", "batch variance times (M / (M - 1))^2"),
    "statistics-second-moment": _buffer("the second moment for the variance", "mean(x^2)"),
    "statistics-deviation": _buffer("the standard deviation in place of the variance", "sqrt(batch variance)"),
    "statistics-moved-twice": _buffer("running statistics move twice", "the update is made twice", "the sparse network is run twice in training mode"),
    "statistics-momentum-0.01": _buffer("momentum 0.01", "0.99 running + 0.01 batch", "0.99 of Keras"),
    "statistics-momentum-0.2": _buffer("momentum 0.2", "0.8 running + 0.2 batch"),
    "statistics-momentum-0.5": _buffer("momentum 0.5", "0.5 running + 0.5 batch"),
    "statistics-of-dense": _buffer("the dense network's batch statistics", "those of f(X, W)", "both networks share the module"),
    "statistics-from-dense": _buffer("moved from the dense network's running statistics", "(1 - m) running_dense + m batch"),
    "statistics-weighted-equally": _buffer("the mean of all steps so far", "running + (batch - running) / (step + 1)", "momentum=None"),
}  # fmt: skip


def batch_norm_values(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    """Yield batch norm's value with each mistake."""
    x, stored = value_of(evidence, node.inputs[0]), stored_of(evidence, node)
    gamma, beta, epsilon = stored["weight"], stored["bias"], node.attributes["epsilon"]
    c = evidence.conventions
    mode = c.teacher_batch_norm if evidence.dense else c.student_batch_norm
    batch = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    running = stored["running_mean"], stored["running_var"]
    used, other = (batch, running) if mode == "training" else (running, batch)
    mean, variance = used

    def of(mean: Array, divisor: Array, scale: Array = gamma, shift: Array = beta) -> Array:
        return np.asarray(wide(scale) * (x - wide(mean)) / wide(divisor) + wide(shift))

    deviation = np.sqrt(variance + epsilon)
    M = x.size // x.shape[1]
    if mode == "training":
        yield "bn-unbiased", of(mean, np.sqrt(variance * M / max(M - 1, 1) + epsilon))
        yield "bn-second-moment", of(mean, np.sqrt((x * x).mean(axis=(0, 2, 3)) + epsilon))
        for name, axes in (("bn-per-image", (2, 3)), ("bn-per-pixel", (0,))):
            part, spread = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
            yield name, wide(gamma) * (x - part) / np.sqrt(spread + epsilon) + wide(beta)
    yield "bn-epsilon-outside", of(mean, np.sqrt(variance) + epsilon)
    for value in {0.0, 1e-3, 1e-5} - {epsilon}:
        yield f"bn-epsilon-{value:g}", of(mean, np.sqrt(variance + value))
    yield "bn-variance-for-deviation", of(mean, variance + epsilon)
    yield "bn-without-mean", of(np.zeros_like(mean), deviation)
    yield "bn-without-gamma", of(mean, deviation, np.ones_like(gamma))
    yield "bn-without-beta", of(mean, deviation, gamma, np.zeros_like(beta))
    yield "bn-one-plus-gamma", of(mean, deviation, 1 + gamma)
    yield "bn-other-statistics", of(other[0], np.sqrt(other[1] + epsilon))
    yield "bn-missing", x


def input_values(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    """Yield the normalised input with each mistake."""
    x, stored = value_of(evidence, node.inputs[0]), stored_of(evidence, node)
    mean, std = wide(stored["mean"]), wide(stored["std"])
    yield "input-not-normalised", x
    yield "input-mean-not-subtracted", x / std
    yield "input-not-divided", x - mean
    yield "input-multiplied", (x - mean) * std
    yield "input-by-variance", (x - mean) / (std * std)
    yield "input-mean-after", x / std - mean
    yield "input-channels-reversed", (x - mean[::-1]) / std[::-1]


def _new_buffer(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    node_name, _, short = evidence.item.rpartition(".")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == node_name)
    x, old = value_of(evidence, node.inputs[0]), evidence.state.buffers[evidence.item]
    m, M = node.attributes["momentum"], x.size // x.shape[1]
    unbiased = M / max(M - 1, 1)

    def statistics(x: Array) -> Array:
        axes = (0, 2, 3)
        return np.asarray(
            x.mean(axis=axes) if short == "running_mean" else x.var(axis=axes) * unbiased
        )

    def moved(batch: Array, rate: float = m, running: Array = old) -> Array:
        return np.asarray((1 - rate) * running + rate * batch)

    batch = statistics(x)
    yield "statistics-frozen", old
    yield "statistics-momentum-swapped", moved(batch, 1 - m)
    yield "statistics-of-batch", batch
    yield "statistics-moved-twice", moved(batch, running=moved(batch))
    for rate in {0.01, 0.2, 0.5} - {m, 1 - m}:
        yield f"statistics-momentum-{rate:g}", moved(batch, rate)
    yield (
        "statistics-from-dense",
        moved(batch, running=evidence.setting.network.buffers[evidence.item]),
    )
    yield "statistics-weighted-equally", moved(batch, 1 / (evidence.state.step + 1))
    if short == "running_var":
        yield "statistics-biased", moved(batch / unbiased)
        yield "statistics-unbiased-twice", moved(batch * unbiased)
        yield "statistics-second-moment", moved((x * x).mean(axis=(0, 2, 3)))
        yield "statistics-second-moment", moved((x * x).mean(axis=(0, 2, 3)) * unbiased)
        yield "statistics-deviation", moved(np.sqrt(batch))
    source = node.inputs[0]
    dense = evidence.given.get(f"dense_activation/{source}")
    if dense is not None:
        yield "statistics-of-dense", moved(statistics(dense))
        yield "statistics-moved-twice", moved(batch, running=moved(statistics(dense)))


VALUES: dict[str, Values] = {"new_buffer": _new_buffer}
