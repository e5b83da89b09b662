"""Mistakes that an implementation from the docs alone showed to have no name."""

from __future__ import annotations

import numpy as np
import pytest
from held_out import RELEASED, _gauss, _kde
from interventions import Mutant, run_mutant
from scipy.special import log_softmax

from fcpts_ref.oracle.diverge import diverge

SHORT = {"steps": 2}


def _symmetric(c):
    p, q = log_softmax(c["dense_logits"], axis=1), log_softmax(c["sparse_logits"], axis=1)
    return ((np.exp(p) - np.exp(q)) * (p - q)).sum(axis=1).mean()


def _mirrored(c):
    return np.repeat(c.value.mean(axis=1, keepdims=True), 2, axis=1)


MISTAKES = {
    "kl-symmetric": Mutant("", {"reconstruction_loss": _symmetric}, run=SHORT),
    "kernel-deviation-of-magnitudes": Mutant(
        "", {"densities": _kde(_gauss, lambda w: 0.5 * np.abs(w).std(ddof=1))}, run=SHORT
    ),
    "kernel-both-signs": Mutant("", {"densities": _mirrored}, run=SHORT),
    "drate-product": Mutant(
        "", {"drate_dthreshold": lambda c: c["densities"].prod(axis=1)}, run=SHORT
    ),
    "surrogate-approximate-sign": Mutant(
        "",
        {"dmask_dthreshold": lambda c: -np.maximum(1 - np.abs(np.abs(c.w) - c.t), 0)},
        run=SHORT,
    ),
    "drec-root": Mutant(
        "", {"dreconstruction_dthreshold": lambda c: c.value / np.sqrt(c.N)}, run=SHORT
    ),
    "dweight-rescaled": Mutant(
        "", {"dweight": lambda c: c.value / c[f"mask/{c.item}"].mean()}, run=SHORT
    ),
    "sigmoid-derivative-of-tanh": Mutant(
        "",
        {"dthreshold_parameter": lambda c: c["dthreshold"] * (1 - c["thresholds"] ** 2)},
        run=SHORT | RELEASED,
    ),
    "schedule-a-step-late": Mutant(
        "", {"rate_factor": lambda c: 8 / 64 * max(c.state.step, 1) / 3}, run={"steps": 3}
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_cause_is_named(name):
    finding = diverge(run_mutant(MISTAKES[name])).finding
    assert finding is not None
    assert [one.name for one in finding.explanations] == [name]
