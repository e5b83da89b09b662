"""Mistakes in the factor on the learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.slips import SLIP
from fcpts_ref.oracle.replay import rate_factor
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH


def _rate_factor(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    for name, value in _factors(evidence):
        yield name, np.asarray(value)
    plain = evidence.value * LEARNING_RATE_BATCH
    yield from _slips(evidence)
    yield (
        "rate-by-batch-of",
        Constant(
            lambda found: ratio(plain, found),
            lambda batch: plain / batch,
            (64.0, 256.0, evidence.batch, evidence.batch**2),  # B / B^2 is 1 / B, a slip
        ),
    )


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

    yield "schedule-a-step-late", rate_factor(setting, max(number - 1, 0), evidence.batch, 1.0)
    if number:
        yield "schedule-a-step-late", rate_factor(setting, number - 1, evidence.batch, 1.0)
    else:
        yield "schedule-a-step-late", scale
    left = max(steps - warmup, 1)
    if number == warmup:
        yield "warmup-a-step-longer", scale * (number + 1) / max(warmup, 1)
    if number < warmup:
        yield "warmup-from-0", scale * number / warmup
        yield "warmup-squared", scale * ((number + 1) / warmup) ** 2
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


def _slips(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """Yield the warm-up or the cosine with one part replaced, as it is written."""
    setting, k = evidence.setting, evidence.state.step
    if setting.schedule is None:
        return
    per_epoch = setting.schedule.calibration_images // setting.schedule.batch_size
    steps = setting.schedule.epochs * per_epoch
    warmup = min(setting.conventions.warmup_epochs * per_epoch, steps)
    scale = evidence.batch / LEARNING_RATE_BATCH
    for text, factor in _warmups(k, warmup) if k < warmup else _cosines(k, steps, warmup):
        yield f"{SLIP}{MARK}{text}", np.asarray(scale * factor)


def _warmups(k: int, warmup: int) -> Iterator[tuple[str, float]]:
    for text, number in (("k", k), ("k - 1", k - 1), ("k + 2", k + 2), ("1", 1)):
        yield f"({text}) / warmup", number / warmup


def _cosines(k: int, steps: int, warmup: int) -> Iterator[tuple[str, float]]:
    choices: tuple[tuple[tuple[str, Any], ...], ...] = (
        (("0.5", 0.5), ("1", 1.0)),
        (("1 +", 1.0), ("", 0.0), ("1 -", 1.0)),
        (("cos", math.cos), ("sin", math.sin)),
        (("pi", math.pi), ("1", 1.0), ("2 pi", 2 * math.pi), ("pi / 2", math.pi / 2)),
        (("k - warmup", k - warmup), ("k", k), ("k + 1 - warmup", k + 1 - warmup), ("1", 1)),
        (
            ("steps - warmup", steps - warmup),
            ("steps", steps),
            ("steps + warmup", steps + warmup),
            ("warmup", warmup),
        ),
    )
    right = [parts[0] for parts in choices]
    for i, parts in enumerate(choices):
        for part in parts[1:]:
            (h, half), (p, plus), (f, function), (o, turn), (n, above), (d, below) = [
                part if j == i else one for j, one in enumerate(right)
            ]
            wave = function(turn * above / max(below, 1))
            text = f"{h} ({p} {f}({o} ({n}) / ({d})))".replace("( ", "(")
            yield text, half * (plus - wave if p == "1 -" else plus + wave)


VALUES: dict[str, Values] = {"rate_factor": _rate_factor}
