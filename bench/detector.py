"""MobileNetV2-SSD-Lite, images of 300 x 300 pixels: an FCPTS step beside PyTorch, and detections.

The step as in ``step``, with the teacher's forward pass and the objective over both outputs; pass
``--batch 8`` for the batch of the documentation.  Detections: softmax, decoding and suppression of
one image's 3,000 priors in 20 classes, on one core, with scores of which a tenth or all pass the
least one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from bench.measure import alternate
from bench.works import Setting, compare, show, sparsify
from fcpts_ref.architectures.ssd import mobilenet_v2_ssd_lite, priors_of
from fcpts_ref.detection.nms import LEAST_SCORE, detect
from fcpts_ref.engines.blas_threads import blas_limit

TARGETS = {"FCPTS paper 90 %": 1.0, "FCPTS released 90 %": 1.0}
LIMIT = 10.0
"""Milliseconds that the detections of an image may take."""


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds and ratio of every work."""
    dtype, graph = np.dtype(arguments.dtype).type, mobilenet_v2_ssd_lite()
    results: dict[str, dict[str, float]] = {}
    setting = Setting(arguments.batch, arguments.threads, dtype, arguments.seed, graph)
    for name in TARGETS:
        if arguments.only in name:
            profile = name.split()[1]
            results[name] = compare(
                sparsify(setting, profile, 0.9), arguments.rounds, best=arguments.best
            )
            show(f"{graph.name}, batch {arguments.batch}: ms", {name: results[name]}, TARGETS)
    if arguments.only in "detections":
        works = detections(np.random.default_rng(arguments.seed))
        with blas_limit(1)():
            times = alternate(works, arguments.rounds, arguments.best, time.process_time)
        for name, found in times.items():
            results[name] = {"ours": found}
            print(f"{name:28}{found:10.1f} ms, at most {LIMIT:g}")
    return results


def detections(generator: np.random.Generator) -> dict[str, Callable[[], object]]:
    """The detections of an image, by the share of scores that pass the least one."""
    priors = priors_of(mobilenet_v2_ssd_lite()).astype(np.float32)
    codes = generator.standard_normal((len(priors), 4)).astype(np.float32)
    scores = generator.standard_normal((len(priors), 21)).astype(np.float32)
    few = scores.copy()
    few[:, 0] += 6  # background, as of most priors
    result: dict[str, Callable[[], object]] = {}
    for logits in (few, scores):
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        share = (p[:, 1:] > LEAST_SCORE).mean()
        result[f"detections, {share:.0%} pass"] = lambda own=logits: detect(own, codes, priors)
    return result
