"""No false alarm: faithful variations agree over 30 steps, each going on from its own state."""

from __future__ import annotations

import numpy as np
import pytest
from independent import Forms, run
from small_networks import make_images
from traced_networks import BATCH, IMAGE_COUNT, network

from fcpts_ref.oracle import trace as recording
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.replay import begin, rate_factor, target_of
from fcpts_ref.pruning.fcpts.method import FCPTS

STEPS = 30
PROFILES = {
    "paper": {"profile": "paper"},
    "released": {"profile": "released"},
    "extended": {"profile": "extended", "augmentation": "none"},
}
VARIATIONS = {
    "as the reference": Forms(),
    "sigmoid by tanh": Forms(sigmoid="tanh"),
    "sigmoid as a ratio": Forms(sigmoid="ratio"),
    "softmax without a shift": Forms(softmax="plain"),
    "softmax by logaddexp": Forms(softmax="logs"),
    "KL by log(p / q)": Forms(kl="ratio"),
    "KL by entropies": Forms(kl="entropies"),
    "batch norm by moments": Forms(norm="moments"),
    "sums in the other order": Forms(sums="reversed"),
    "sums one by one": Forms(sums="one by one"),
    "convolution by columns": Forms(convolution="columns"),
    "SGD by differences": Forms(sgd="difference"),
    "torch.optim": Forms(sgd="torch"),
    "few quantities recorded": Forms(record="few", sigmoid="ratio", norm="moments"),
    "float32": Forms(dtype=np.float32),
    "float32, other forms": Forms(
        dtype=np.float32,
        sigmoid="tanh",
        softmax="logs",
        kl="ratio",
        norm="moments",
        sums="reversed",
    ),
}


def faithful(profile, forms):
    method = FCPTS(**({"epochs": STEPS // 3, "batch_size": BATCH} | PROFILES[profile]))
    net = network()
    images = make_images(net.graph, IMAGE_COUNT)
    setting = recording._make_setting(net, images, 0.6, method)
    before, _ = begin(setting)
    drawn = list(recording._run_inputs(setting, images, method, np.random.default_rng(0)))
    return run(
        setting,
        [(inputs.images, inputs.samples) for _, inputs in drawn],
        [rate_factor(setting, number, BATCH, 1.0) for number, _ in drawn],
        [target_of(setting, number) for number, _ in drawn],
        before["initial_rates"],
        forms,
    )


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", VARIATIONS)
def test_a_faithful_variation_agrees(name, profile):
    if VARIATIONS[name].sgd == "torch":
        pytest.importorskip("torch")
    trace = faithful(profile, VARIATIONS[name])
    assert len(trace.steps) == STEPS
    result = diverge(trace)
    assert result.ok, (result.finding.step, result.finding.name, result.finding.difference.message)
