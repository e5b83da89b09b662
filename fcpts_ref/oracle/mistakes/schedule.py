"""Mistakes in the factor on the learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values
from fcpts_ref.oracle.replay import rate_factor
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH

OF = ("rate_factor",)


def _of(text: str, formula: str, look: str = "", point: int = 16) -> Mistake:
    return Mistake(text, formula, OF, look, point)


NAMES = {
    "rate-constant": _of(
        "the learning rate is constant", "1", "no scheduler, or it is never stepped"
    ),
    "rate-constant-by-batch": _of("the learning rate is constant but for the batch", "B / 64"),
    "rate-not-by-batch": _of(
        "the learning rate is not scaled by B / 64",
        "warm-up, then half a cosine",
        "batches of 64 hide it",
    ),
    "rate-by-batch-of-256": _of(
        "the learning rate is scaled by B / 256",
        "B / 256 times the schedule",
        "0.04 is the rate for a batch of 256, 0.01 that for 64: one of the two was converted twice",
    ),
    "rate-by-batch-root": _of(
        "scaled by the square root of the batch", "sqrt(B / 64) times the schedule"
    ),
    "rate-by-batch-inverse": _of(
        "divided by the batch, not multiplied", "64 / B times the schedule"
    ),
    "warmup-from-0": _of(
        "warm-up off by one: the first step does not move",
        "step / warm-up",
        "the first factor is 0",
    ),
    "warmup-to-below-1": _of(
        "warm-up off by one: (step + 1) / (steps + 1)", "(step + 1) / (warm-up + 1)"
    ),
    "warmup-by-epoch": _of("warm-up in whole epochs", "(epoch + 1) / warm-up epochs"),
    "cosine-early": _of(
        "warm-up off by one: cosine begins a step early", "cosine of step - warm-up + 1"
    ),
    "cosine-over-all-steps": _of(
        "the cosine runs over all steps, warm-up included",
        "0.5 (1 + cos(pi step / steps))",
        "as in the authors' code: the warm-up is not taken off its argument",
    ),
    "cosine-to-the-last-step": _of(
        "the cosine reaches 0 at the last step",
        "0.5 (1 + cos(pi (step - warm-up) / (steps - warm-up - 1)))",
    ),
    "cosine-by-epoch": _of(
        "the cosine changes once an epoch",
        "0.5 (1 + cos(pi epoch / epochs)), epochs counted after warm-up",
        "the scheduler is stepped per epoch, not per batch",
    ),
    "cosine-quarter": _of(
        "a quarter of a cosine", "cos(pi/2 (step - warm-up) / (steps - warm-up))"
    ),
    "decay-linear": _of("a linear decay, no cosine", "1 - (step - warm-up) / (steps - warm-up)"),
    "schedule-of-1024-images": _of(
        "the schedule is that of 1,024 calibration images",
        "steps counted from 1,024 images",
        point=17,
    ),
    "schedule-of-10240-images": _of(
        "the schedule is that of 10,240 calibration images",
        "steps counted from 10,240 images",
        point=17,
    ),
}


def _rate_factor(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    for name, value in _factors(evidence):
        yield name, np.asarray(value)


def _factors(evidence: Evidence) -> Iterator[tuple[str, float]]:
    setting, number = evidence.setting, evidence.state.step
    schedule, scale = setting.schedule, evidence.batch / LEARNING_RATE_BATCH
    plain = float(evidence.value) / scale
    yield "rate-constant", 1.0
    yield "rate-constant-by-batch", scale
    yield "rate-not-by-batch", plain
    yield "rate-by-batch-of-256", plain * evidence.batch / 256
    yield "rate-by-batch-root", plain * math.sqrt(scale)
    yield "rate-by-batch-inverse", plain / scale
    if schedule is None:
        return
    per_epoch = schedule.calibration_images // schedule.batch_size
    epochs, steps = schedule.epochs, schedule.epochs * per_epoch
    warm_epochs = setting.conventions.warmup_epochs
    warmup = min(warm_epochs * per_epoch, steps)

    def after_warmup(factor: float) -> float:
        return float(evidence.value) if number < warmup else scale * factor

    def cosine(numerator: float, denominator: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * numerator / max(denominator, 1)))

    left = max(steps - warmup, 1)
    if number < warmup:
        yield "warmup-from-0", scale * number / warmup
        yield "warmup-to-below-1", scale * (number + 1) / (warmup + 1)
        yield "warmup-by-epoch", scale * (number // per_epoch + 1) / warm_epochs
        yield "cosine-by-epoch", scale * (number + 1) / warmup
    else:
        yield (
            "cosine-by-epoch",
            scale * cosine(number // per_epoch - warm_epochs, epochs - warm_epochs),
        )
    yield "cosine-early", after_warmup(cosine(number - warmup + 1, left))
    yield "cosine-over-all-steps", after_warmup(cosine(number, steps))
    yield "cosine-over-all-steps", scale * cosine(number, steps)
    yield "cosine-to-the-last-step", after_warmup(cosine(number - warmup, left - 1))
    yield "cosine-quarter", after_warmup(math.cos(math.pi / 2 * (number - warmup) / left))
    yield "decay-linear", after_warmup(1 - (number - warmup) / left)
    for images in (1_024, 10_240):
        if images >= schedule.batch_size and number < epochs * (images // schedule.batch_size):
            other = replace(setting, schedule=replace(schedule, calibration_images=images))
            yield f"schedule-of-{images}-images", rate_factor(other, number, evidence.batch, 1.0)


VALUES: dict[str, Values] = {"rate_factor": _rate_factor}
