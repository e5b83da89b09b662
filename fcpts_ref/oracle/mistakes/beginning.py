"""Mistakes before a step computes anything: the allocation, the state, the schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fcpts_ref.oracle.evidence import Array, Candidate, Evidence
from fcpts_ref.oracle.replay import rate_factor
from fcpts_ref.spec.allocation import allocate, erk
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH


def _initial_rates(evidence: Evidence) -> Iterator[Candidate]:
    weights = {
        name: evidence.setting.network.parameters[name] for name in evidence.setting.network.sizes
    }
    target = evidence.setting.target
    rates = evidence.value
    for power in (0.5, 2.0):
        other = erk(weights, target, power=power).rates.values()
        yield 8, f"ERK with its ratio to the power {power:g}", np.array([*other])
    flat = {name: np.empty(w.shape[:2]) for name, w in weights.items()}
    raw = np.array([sum(w.shape) / math.prod(w.shape) for w in flat.values()])
    sizes = np.array([w.size for w in weights.values()])
    yield (
        8,
        "Erdos-Renyi without the kernel's sides",
        1 - (1 - target) * sizes.sum() * raw / (sizes @ raw),
    )
    yield None, "densities in place of sparsity rates", 1 - rates
    if len(evidence.mine.ravel()) == len(rates) - 1:
        for i, side in ((0, "first"), (-1, "last")):
            rest = {n: w for j, (n, w) in enumerate(weights.items()) if j != i % len(rates)}
            other = allocate(evidence.conventions.initial_allocation, rest, target).rates.values()
            yield 14, f"the {side} layer is left out", np.array([*other])


def _inputs(evidence: Evidence) -> Iterator[Candidate]:
    kind, _, name = evidence.item.partition("/")
    if kind in ("velocities", "threshold_velocities"):
        yield 16, "velocities are forgotten between steps", np.zeros_like(evidence.value)
    if kind == "buffers":
        yield (
            15,
            "running statistics are not kept from step to step",
            evidence.setting.network.buffers[name],
        )
    if evidence.item == "threshold_parameters" and "initial_rates" in evidence.expected:
        yield from _initial_thresholds(evidence)


def _initial_thresholds(evidence: Evidence) -> Iterator[Candidate]:
    network = evidence.setting.network
    magnitudes = [np.sort(np.abs(network.parameters[n]), axis=None) for n in network.graph.prunable]
    rates = evidence.expected["initial_rates"]
    counts = [round(r * m.size) for r, m in zip(rates, magnitudes, strict=True)]
    pairs = list(zip(magnitudes, counts, strict=True))
    smallest_kept = np.array([m[min(k, m.size - 1)] for m, k in pairs])
    largest_pruned = np.array([m[k - 1] if k else 0.0 for m, k in pairs])
    quantile = [np.quantile(m, r) for r, m in zip(rates, magnitudes, strict=True)]
    for text, t in (
        ("thresholds are the smallest kept magnitudes", smallest_kept),
        ("thresholds lie in the middle of two magnitudes", (smallest_kept + largest_pruned) / 2),
        ("thresholds are interpolated quantiles", np.array(quantile)),
        ("all thresholds begin at 0", np.zeros_like(rates)),
    ):
        yield 8, text, t
        with np.errstate(divide="ignore"):
            yield 8, f"{text}, as s with t = sigmoid(s)", np.log(t) - np.log1p(-t)
    with np.errstate(divide="ignore"):
        s = np.log(largest_pruned) - np.log1p(-largest_pruned)
    yield 7, "s with t = sigmoid(s) is stored, not t", s
    yield 7, "s is not kept at -30 or above", s
    yield 7, "t is stored, not s", largest_pruned


def _rate_factor(evidence: Evidence) -> Iterator[Candidate]:
    setting, number = evidence.setting, evidence.state.step
    schedule = setting.schedule
    yield 16, "the learning rate is constant", np.array(1.0)
    yield (
        16,
        "the learning rate is constant but for the batch",
        np.array(evidence.batch / LEARNING_RATE_BATCH),
    )
    yield (
        16,
        "the learning rate is not scaled by B / 64",
        evidence.value * LEARNING_RATE_BATCH / evidence.batch,
    )
    if schedule is None:
        return
    scale = evidence.batch / LEARNING_RATE_BATCH
    per_epoch = schedule.calibration_images // schedule.batch_size
    steps, warmup = schedule.epochs * per_epoch, setting.conventions.warmup_epochs * per_epoch

    def cosine(numerator: float, denominator: float) -> Array:
        return np.array(scale * 0.5 * (1 + math.cos(math.pi * numerator / max(denominator, 1))))

    if number < warmup:
        yield (
            16,
            "warm-up off by one: the first step does not move",
            np.array(scale * number / warmup),
        )
        yield (
            16,
            "warm-up off by one: (step + 1) / (steps + 1)",
            np.array(scale * (number + 1) / (warmup + 1)),
        )
    yield (
        16,
        "warm-up off by one: cosine begins a step early",
        cosine(number - warmup + 1, steps - warmup),
    )
    yield 16, "the cosine runs over all steps, warm-up included", cosine(number, steps)
    yield 16, "the cosine reaches 0 at the last step", cosine(number - warmup, steps - warmup - 1)
    for images in (1_024, 10_240):
        if images >= schedule.batch_size and number < schedule.epochs * (
            images // schedule.batch_size
        ):
            other = replace(setting, schedule=replace(schedule, calibration_images=images))
            factor = rate_factor(other, number, evidence.batch, 1.0)
            yield 17, f"the schedule is that of {images:,} calibration images", np.array(factor)


MISTAKES = {
    "initial_rates": _initial_rates,
    "inputs": _inputs,
    "rate_factor": _rate_factor,
}
"""Functions of the evidence, by quantity."""
