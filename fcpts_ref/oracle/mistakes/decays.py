"""Other schedules of the learning rate: a floor, another start, restarts, other decays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.replay import rate_factor
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH
from fcpts_ref.spec.optim import warmup_cosine


def _rate_factor(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    schedule, k = evidence.setting.schedule, evidence.state.step
    if schedule is None:
        return
    per_epoch = schedule.calibration_images // schedule.batch_size
    steps = schedule.epochs * per_epoch
    warmup = min(evidence.setting.conventions.warmup_epochs * per_epoch, steps)
    scale = evidence.batch / LEARNING_RATE_BATCH
    plain = float(evidence.value) / scale
    for name, low, high in _ends(k, warmup, plain):
        yield name, _between(low, high, scale)
    epoch = max(k - warmup, 0) // per_epoch
    for name, shape in _shapes(k - warmup, max(steps - warmup, 1), per_epoch, epoch).items():
        yield name, np.asarray(scale * (plain if k < warmup else shape))
    for name, shape in _shapes(k, steps, per_epoch, k // per_epoch).items():
        yield name, np.asarray(scale * shape)
    for name, other_step in (
        ("schedule-by-epoch", per_epoch * (k // per_epoch)),
        ("schedule-a-step-early", k + 1),
    ):
        value = rate_factor(evidence.setting, other_step, evidence.batch, 1.0)
        yield name, np.asarray(value)
    conventions = evidence.setting.conventions
    in_epochs = warmup_cosine(
        k // per_epoch, schedule.epochs, conventions.warmup_epochs, conventions.cosine
    )
    yield "schedule-by-epoch", np.asarray(scale * in_epochs)
    for epochs in (2, 3, 4, 5, 10):
        other = evidence.with_choices({"warmup_epochs": epochs})
        yield (
            f"warmup-epochs{MARK}{epochs}",
            np.asarray(rate_factor(other, k, evidence.batch, 1.0)),
        )
    if k < warmup:  # which may be there beside the decay
        yield "decay-polynomial", Constant(lambda found: (), lambda c: evidence.value)
    for start in (0, warmup):
        if k >= start:
            yield "decay-polynomial", _polynomial(1 - (k - start) / (steps - start), scale)
    for name, times in (("decay-by-step", k), ("decay-by-epoch", k // per_epoch)):
        for start in (0, warmup):
            yield name, _exponential(times - (start if name.endswith("step") else 0), scale)


def _ends(k: int, warmup: int, plain: float) -> Iterator[tuple[str, float, float]]:
    """Yield what moves by a constant c: the factor is c low + (1 - c) high."""
    if k < warmup:
        yield "warmup-from", 1.0, k / warmup
        yield "warmup-from", 1.0, (k + 1) / warmup
        if warmup > 1:
            yield "warmup-from", 1 - k / (warmup - 1), k / (warmup - 1)
    else:
        yield "schedule-floor", 1.0, plain


def _between(end: float, plain: float, scale: float) -> Constant:
    """c times one end and 1 - c times the plain factor."""

    def read(found: Array) -> list[float]:
        return [] if end == plain else [(float(found) / scale - plain) / (end - plain)]

    return Constant(read, lambda c: np.asarray(scale * (c * end + (1 - c) * plain)), (0.0, 1.0))


def _shapes(k: int, steps: int, per_epoch: int, epoch: int) -> dict[str, float]:
    """Return the decays at step k of these steps."""
    k = max(k, 0)
    done, within = k / steps, (k % per_epoch) / per_epoch
    return {
        "schedule-without-decay": 1.0,
        "schedule-restarts": 0.5 * (1 + math.cos(math.pi * within)),
        "decay-quadratic": (1 - done) ** 2,
        "decay-root": math.sqrt(max(1 - done, 0.0)),
        "decay-by-thirds": 0.1 ** ((3 * k) // steps),
        "decay-by-half": 0.1 ** ((2 * k) // steps),
        "decay-inverse": 1 / (1 + k),
        "decay-inverse-root": 1 / math.sqrt(1 + k),
        "decay-inverse-epoch": 1 / (1 + epoch),
    }


def _polynomial(left: float, scale: float) -> Constant:
    """The share of the steps that is left to the power of the constant."""

    def read(found: Array) -> list[float]:
        share = float(found) / scale
        return [math.log(share) / math.log(left)] if 0 < left < 1 and share > 0 else []

    return Constant(read, lambda c: np.asarray(scale * left**c), (0.0, 0.5, 1.0, 2.0))


def _exponential(times: int, scale: float) -> Constant:
    """The factor c to the power of ``times``."""

    def read(found: Array) -> list[float]:
        share = float(found) / scale
        return [share ** (1 / times)] if times > 0 and share > 0 else []

    power: Callable[[float], Array] = partial(_power, times, scale)
    return Constant(read, power, (0.0, 1.0))


def _power(times: int, scale: float, c: float) -> Array:
    return np.asarray(scale * c ** max(times, 0))


VALUES: dict[str, Values] = {"rate_factor": _rate_factor}
