"""Accuracy of a pruned network beside that of the dense one and of one-shot pruning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.inputs import Inputs
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.progress import Progress
from fcpts_ref.experiments.statistics import re_estimate_batch_norm
from fcpts_ref.experiments.training import accuracy
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.names import HALVES, NEW_STATISTICS
from fcpts_ref.pruning.registry import make_method, sparsify
from fcpts_ref.pruning.units import pruned_share

BASELINES = ("l2norm", "erk")
"""The paper's two allocations."""


@dataclass(frozen=True)
class Row:
    """A network in the table of accuracies; all numbers are shares.

    requested: the target, None for the dense network.  drop: the loss of top-1 against the dense
    network, None if that was not evaluated.
    """

    name: str
    requested: float | None
    achieved: float
    top1: float
    top5: float
    drop: float | None


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
    dataset = inputs.dataset
    test = dataset.as_floats(dataset.test.images, inputs.network.dtype)
    rows: list[Row] = []
    with progress.count("evaluating", len(candidates) * len(test)) as on_batch:
        for one in candidates:
            engine = make_engine(one.network.graph, job.engine, threads=threads)
            labels = dataset.test.labels
            found = accuracy(one.network, test, labels, engine=engine, on_batch=on_batch)
            dense = rows[0].top1 if rows else found.top1
            drop = dense - found.top1 if job.baselines else None
            rate = pruned_share(one.network.graph, one.network.parameters, job.cost)
            rows.append(Row(one.name, one.requested, rate, found.top1, found.top5, drop))
    return rows


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
