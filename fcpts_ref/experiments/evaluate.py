"""Accuracy of a pruned network beside that of the dense one and of one-shot pruning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.detection import detections_of, precision
from fcpts_ref.experiments.inputs import Inputs
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.progress import Progress
from fcpts_ref.experiments.statistics import re_estimate_batch_norm
from fcpts_ref.experiments.training import accuracy_of
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.names import HALVES, NEW_STATISTICS
from fcpts_ref.pruning.registry import make_method, sparsify
from fcpts_ref.pruning.units import pruned_share
from fcpts_ref.spec.equations import reconstruction_loss

Array = NDArray[Any]

BASELINES = ("l2norm", "erk")
"""The paper's two allocations."""


@dataclass(frozen=True)
class Row:
    """A network in the table of accuracies; all numbers are shares.

    requested: the target, None for the dense network.  drop: the loss of top-1 against the dense
    network, None if that was not evaluated.  top1, top5, drop: None without labels.
    agreement: the share of images with the dense network's prediction; divergence: KL(dense ||
    this network) of the outputs, the mean over images, in nats; None if the job asks for neither.
    mean_precision: VOC's mean average precision by 11 points; None but for detectors on annotated
    images, whose drop is its loss.
    """

    name: str
    requested: float | None
    achieved: float
    top1: float | None
    top5: float | None
    drop: float | None
    agreement: float | None = None
    divergence: float | None = None
    mean_precision: float | None = None


class Candidate(NamedTuple):
    """A network to evaluate."""

    name: str
    requested: float | None
    network: Network


def evaluate(
    job: Job,
    name: str,
    pruned: Network,
    inputs: Inputs,
    *,
    threads: int | None,
    progress: Progress,
) -> list[Row]:
    """Evaluate the pruned network, called ``name``, and the job's networks for comparison."""
    candidates: list[Candidate] = []
    if job.baselines:
        candidates.append(Candidate("dense", None, inputs.network))
        candidates += _one_shots(job, inputs, threads, progress)
    candidates.append(Candidate(name, job.target, pruned))
    if job.storage == "float16":
        candidates.append(Candidate(name + HALVES, job.target, rounded(pruned)))
    if job.batch_norm:
        candidates += _with_new_statistics(job, candidates, inputs, threads)
    if inputs.network.graph.is_detector:
        return _detector_rows(job, candidates, inputs, threads, progress)
    test, compares = inputs.test, job.agreement or inputs.labels is None
    passes = len(candidates) + (compares and not job.baselines)
    rows: list[Row] = []
    with progress.count("evaluating", passes * len(test or ())) as on_batch:

        def logits(network: Network) -> Array | None:
            if test is None:
                return None
            engine = make_engine(network.graph, job.engine, threads=threads)
            return predict(network, test, engine=engine, on_batch=on_batch)

        dense = logits(inputs.network) if compares or job.baselines else None
        for one in candidates:
            own = dense if one.network is inputs.network else logits(one.network)
            rate = pruned_share(one.network.graph, one.network.parameters, job.cost)
            row = Row(one.name, one.requested, rate, *_scores(own, inputs.labels), None)
            if compares and own is not None and dense is not None:
                row = replace(
                    row, agreement=agreement(dense, own), divergence=divergence(dense, own)
                )
            if job.baselines and row.top1 is not None:
                first = rows[0].top1 if rows else row.top1
                row = replace(row, drop=None if first is None else first - row.top1)
            rows.append(row)
    return rows


def _detector_rows(
    job: Job,
    candidates: list[Candidate],
    inputs: Inputs,
    threads: int | None,
    progress: Progress,
) -> list[Row]:
    """Return the rows of detectors."""
    truth = inputs.truth
    rows: list[Row] = []
    images = 0 if truth is None else len(truth.objects)
    with progress.count("evaluating", len(candidates) * images) as on_batch:
        for one in candidates:
            mean = None
            if truth is not None:
                engine = make_engine(one.network.graph, job.engine, threads=threads)
                found = detections_of(one.network, inputs.test, engine=engine, on_batch=on_batch)
                mean = precision(found, truth.objects, truth.classes).mean
            rate = pruned_share(one.network.graph, one.network.parameters, job.cost)
            row = Row(one.name, one.requested, rate, None, None, None, mean_precision=mean)
            if job.baselines and mean is not None:
                first = rows[0].mean_precision if rows else mean
                row = replace(row, drop=None if first is None else first - mean)
            rows.append(row)
    return rows


def _scores(logits: Array | None, labels: Array | None) -> tuple[float | None, float | None]:
    """Return top-1 and top-5, None without images or labels."""
    if logits is None or labels is None:
        return None, None
    found = accuracy_of(logits, labels)
    return found.top1, found.top5


def agreement(dense: Array, sparse: Array) -> float:
    """Return the share of images for which two networks' largest logits (N, classes) agree."""
    return float(np.mean(dense.argmax(axis=1) == sparse.argmax(axis=1)))


def divergence(dense: Array, sparse: Array) -> float:
    """Return KL(softmax(dense) || softmax(sparse)), the mean over images, in nats (Equation 4)."""
    wide = dense.astype(np.float64), sparse.astype(np.float64)
    return float(reconstruction_loss(*wide, temperature=1.0))


def rounded(network: Network) -> Network:
    """Return the network with its prunable weights rounded to float16."""
    arrays = {name: network.parameters[name] for name in network.graph.prunable}
    halves = {name: a.astype(np.float16).astype(a.dtype) for name, a in arrays.items()}
    return network.with_parameters({**network.parameters, **halves})


def _with_new_statistics(
    job: Job, candidates: list[Candidate], inputs: Inputs, threads: int | None
) -> list[Candidate]:
    """Return the pruned networks with re-estimated batch-norm statistics; POT has no batch norm."""
    network = inputs.network
    engine = make_engine(network.graph, job.engine, threads=threads)
    return [
        Candidate(
            one.name + NEW_STATISTICS,
            one.requested,
            re_estimate_batch_norm(one.network, inputs.images, engine=engine),
        )
        for one in candidates
        if one.requested is not None and one.network.graph == network.graph
    ]


def _one_shots(
    job: Job, inputs: Inputs, threads: int | None, progress: Progress
) -> Iterator[Candidate]:
    """Yield one-shot pruning by the paper's two allocations, unless they empty a layer."""
    for allocation in BASELINES:
        method = make_method("one-shot", allocation=allocation)
        if method == job.make_method():
            continue
        try:
            pruned = sparsify(
                inputs.network,
                inputs.images,
                target=job.target,
                method="one-shot",
                allocation=allocation,
                engine=job.engine,
                threads=threads,
                keep_dense=job.keep_dense,
                max_rates=job.max_rates,
                rates=job.rates,
                granularity=job.granularity,
                cost=job.cost,
            ).network
        except InputError as error:
            progress.note(f"no one-shot row: {error}")
            continue
        yield Candidate(method.label, job.target, pruned)
