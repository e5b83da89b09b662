"""Mistakes in batch norm, its running statistics, and the normalised input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.oracle.mistakes.values import stored_of, value_of, wide


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
