"""Another optimiser in the place of SGD, from the gradients of all steps since the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values

SMALL = 1e-8
BETAS = (0.9, 0.999)

Direction = Callable[[list[Array]], Array]
"""Of the gradients of all steps, the last one last: what is multiplied by the learning rate."""


def _averages(gradients: list[Array], beta: float, *, squared: bool) -> Array:
    average = np.zeros_like(gradients[0])
    for g in gradients:
        average = beta * average + (1 - beta) * (g * g if squared else g)
    return average


def _adam(gradients: list[Array]) -> Array:
    first, second = (
        _averages(gradients, beta, squared=squared) / (1 - beta ** len(gradients))
        for beta, squared in zip(BETAS, (False, True), strict=True)
    )
    return np.asarray(first / (np.sqrt(second) + SMALL))


def _adam_uncorrected(gradients: list[Array]) -> Array:
    first, second = (
        _averages(gradients, beta, squared=squared)
        for beta, squared in zip(BETAS, (False, True), strict=True)
    )
    return np.asarray(first / (np.sqrt(second) + SMALL))


def _rmsprop(gradients: list[Array]) -> Array:
    second = _averages(gradients, 0.99, squared=True)
    return np.asarray(gradients[-1] / (np.sqrt(second) + SMALL))


def _adagrad(gradients: list[Array]) -> Array:
    total = np.sum([g * g for g in gradients], axis=0)
    return np.asarray(gradients[-1] / (np.sqrt(total) + 1e-10))


OPTIMISERS: dict[str, Direction] = {
    "adam": _adam,
    "adam-uncorrected": _adam_uncorrected,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "sign": lambda gradients: np.sign(gradients[-1]),
}


def _gradients(evidence: Evidence, name: str) -> list[Array]:
    """Return the gradients of all steps; none if one was not recorded."""
    history = evidence.history
    if len(history) != evidence.state.step or any(name not in one for one in history):
        return []
    return [*(np.asarray(one[name]) for one in history), evidence.given[name]]


def _new_parameter(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    name, c = evidence.item, evidence.conventions
    rate, decay = c.learning_rate * evidence.given["rate_factor"], c.weight_decay
    w, gradients = evidence.state.parameters[name], _gradients(evidence, f"dparameter/{name}")
    if not gradients:
        return
    weights = [np.asarray(one[f"inputs/parameters/{name}"]) for one in evidence.history]
    decayed = [g + decay * x for g, x in zip(gradients, [*weights, w], strict=True)]
    for optimiser, direction in OPTIMISERS.items():
        yield f"update-{optimiser}", w - rate * direction(decayed)
        yield f"update-{optimiser}", w - rate * direction(gradients)
        yield f"update-{optimiser}", w - rate * (direction(gradients) + decay * w)
    yield "update-adam", w - rate * (_adam(gradients) + 0.01 * w)  # AdamW's own default


def _new_threshold_parameters(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    c, s = evidence.conventions, evidence.state.threshold_parameters
    gradients = _gradients(evidence, "dthreshold_parameter")
    if not gradients:
        return
    for optimiser, direction in OPTIMISERS.items():
        if optimiser == "sign":  # that is "thresholds-by-sign"
            continue
        for rate in (c.threshold_learning_rate, c.learning_rate):
            new = s - rate * evidence.given["rate_factor"] * direction(gradients)
            yield (
                f"thresholds-{optimiser}",
                np.maximum(new, 0) if c.threshold_parameter == "threshold" else new,
            )


VALUES: dict[str, Values] = {
    "new_parameter": _new_parameter,
    "new_threshold_parameters": _new_threshold_parameters,
}
