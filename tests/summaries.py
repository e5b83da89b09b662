"""Summaries of runs that never were, for tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fcpts_ref.experiments.evaluate import Row
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.outcomes import Scores
from fcpts_ref.experiments.pinned import PinnedJob
from fcpts_ref.experiments.summary import Layer, Summary

KNOWN = {("cifar10", "abc"): Scores(0.93, 0.999)}
LAYERS = ("conv1.weight", "linear.weight")
LEARNED: Mapping[str, Any] = {"epochs": 10, "learn_rates": True}


def summary(
    method: str = "FCPTS",
    top1: float = 0.9,
    seed: int = 0,
    rate: float = 0.9,
    settings: Mapping[str, Any] = LEARNED,
    network: str = "resnet32",
    weights: str = "w",
    stages_done: int = 2,
) -> Summary:
    """Of FCPTS on CIFAR-10, with two layers."""
    job = Job(network=weights, data="cifar10", target=rate, seed=seed, engine="numpy")
    return Summary(
        pinned=PinnedJob(job, settings, 100, "abc", "def"),
        versions={"fcpts-ref": "1", "python": "3", "numpy": "2", "numba": "0", "machine": "m"},
        method=method,
        network=network,
        data="cifar10",
        weights=1000,
        evaluation_images=10_000,
        stages_done=stages_done,
        stages=2,
        method_seconds=61.0,
        seconds=70.0,
        rate_before_projection=0.9001,
        dense_layers=(),
        left_out=(),
        rows=(Row(method, rate, rate, top1, 0.99, None),),
        layers=tuple(Layer(name, (5, 100), 500, 0.5, 0.5, 0.1) for name in LAYERS),
        allocations={"erk": (0.2, 0.9), "l2norm": (0.4, 0.8)},
    )


def detector_summary(precision: float | None = 0.5, **settings: Any) -> Summary:
    """The same of a detector, which has no top-1."""
    one = summary(**settings)
    rows = (replace(row, top1=None, top5=None, mean_precision=precision) for row in one.rows)
    return replace(one, rows=tuple(rows), network="mobilenet_v2_ssd_lite", data="voc")


KNOWN_DETECTOR = {("voc", "abc"): Scores(None, None, 0.7)}
