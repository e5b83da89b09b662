"""Outcomes of finished runs, averaged over seeds into the lines of a table."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from fcpts_ref.experiments.evaluate import Row
from fcpts_ref.experiments.paper import paper_top1
from fcpts_ref.experiments.summary import Summary
from fcpts_ref.pruning.names import NEW_STATISTICS

UNFINISHED = " (unfinished)"
"""After the name of a method in outcomes of runs that were stopped early."""


class Scores(NamedTuple):
    """Shares: the accuracy of a classifier, or the mean average precision of a detector."""

    top1: float | None
    top5: float | None
    mean_precision: float | None = None


@dataclass(frozen=True)
class Outcome:
    """One row of one finished run.  Scores are shares; dense: those of the network unpruned.

    agreement, divergence: with the dense network's outputs, as in ``Row``.  mean_precision: of
    detectors.
    """

    data: str
    network: str
    weights: str  # the name of the network's file
    network_sha256: str
    method: str
    rate: float
    achieved: float
    seed: int
    top1: float | None
    top5: float | None
    seconds: float
    setup: str = ""  # ``setup_of``: only outcomes with equal ones are averaged
    complete: bool = True  # False: the run was stopped early
    dense: Scores | None = None
    paper: tuple[float, float] | None = None  # top-1, drop
    agreement: float | None = None
    divergence: float | None = None
    mean_precision: float | None = None


Dense = Mapping[tuple[str, str], Scores]
"""The scores of dense networks by data and the network's SHA-256."""


def outcomes(summary: Summary, dense: Dense) -> list[Outcome]:
    """Return the rows of a run's own method: as pruned, and with re-estimated statistics."""
    pinned, label = summary.pinned, summary.method
    own = next((row for row in summary.rows if row.requested is None), None)
    known = dense.get((summary.data, pinned.network_sha256))
    paper = paper_top1(
        summary.data, summary.network, pinned.job.target, pinned.job.method, pinned.settings
    )
    return [
        Outcome(
            data=summary.data,
            network=summary.network,
            weights=Path(pinned.job.network).stem,
            network_sha256=pinned.network_sha256,
            method=row.name,
            rate=pinned.job.target,
            achieved=row.achieved,
            seed=pinned.job.seed,
            top1=row.top1,
            top5=row.top5,
            seconds=summary.method_seconds,
            setup=setup_of(summary),
            complete=summary.complete,
            dense=scores_of(own) if own else known,
            paper=paper if row.name == label else None,
            agreement=row.agreement,
            divergence=row.divergence,
            mean_precision=row.mean_precision,
        )
        for row in summary.rows
        if row.requested is not None and row.name in (label, label + NEW_STATISTICS)
    ]


def scores_of(row: Row) -> Scores | None:
    """Return the scores of a row, None without labels or annotations."""
    scores = Scores(row.top1, row.top5, row.mean_precision)
    return None if scores.top1 is None and scores.mean_precision is None else scores


def setup_of(summary: Summary) -> str:
    """Return a short checksum of everything that decides a run except data, rate and seed.

    Runs that were stopped early have others than those that were not.
    """
    pinned, job = summary.pinned, summary.pinned.job
    layers = (job.keep_dense, job.max_rates, job.rates, job.granularity, job.cost, job.projections)
    run = (pinned.settings, pinned.calibration, job.engine, summary.complete)
    parts = (pinned.network_sha256, job.method, *run, layers)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Line:
    """One line of the table: the mean over seeds.

    dense, dense_mean_precision: top-1 and mean average precision of the dense network.
    spread, drop: of top-1, for a detector of its mean average precision.  spread: the standard
    deviation over seeds (n - 1), None for one seed.  setup: equal for lines that differ only in
    rate (``setup_of``).
    """

    data: str
    network: str
    network_sha256: str
    method: str
    setup: str
    rate: float
    achieved: float
    seeds: int
    top1: float | None
    spread: float | None
    top5: float | None
    dense: float | None
    drop: float | None
    seconds: float
    paper_top1: float | None
    paper_drop: float | None
    agreement: float | None = None
    divergence: float | None = None
    mean_precision: float | None = None
    dense_mean_precision: float | None = None

    @property
    def measure(self) -> str:
        """The name of the score that ``spread`` and ``drop`` belong to."""
        detects = self.mean_precision is not None or self.dense_mean_precision is not None
        return "mAP" if detects else "top-1"

    @property
    def score(self) -> float | None:
        """Top-1, or the mean average precision of a detector."""
        return self.mean_precision if self.measure == "mAP" else self.top1

    @property
    def dense_score(self) -> float | None:
        """The same of the dense network."""
        return self.dense_mean_precision if self.measure == "mAP" else self.dense


def lines_of(results: Iterable[Outcome]) -> list[Line]:
    """Return the lines of a table: outcomes that differ only in the seed, averaged.

    They keep the order of ``results``, network by network and rate by rate.  Different networks or
    methods that share a name get distinct names.  A run that was repeated counts once.
    """
    groups: dict[tuple[str, str, float, str, str], dict[int, Outcome]] = {}
    for one in _with_names(list(results)):
        key = (one.data, one.network, one.rate, one.method, one.setup)
        groups.setdefault(key, {}).setdefault(one.seed, one)
    places = list(dict.fromkeys(key[:2] for key in groups))
    order = sorted(groups, key=lambda key: (places.index(key[:2]), key[2]))
    return [_line(list(groups[key].values())) for key in order]


def _with_names(results: Sequence[Outcome]) -> list[Outcome]:
    """Add the file's name to networks that share a name, and a number to methods that do.

    Methods of runs that were stopped early are marked.
    """
    files: dict[str, dict[str, str]] = {}
    setups: dict[tuple[str, str, str, bool], list[str]] = {}
    for one in results:
        files.setdefault(one.network, {})[one.network_sha256] = one.weights
        known = setups.setdefault(_sharing(one), [])
        if one.setup not in known:
            known.append(one.setup)
    named = []
    for one in results:
        own, network = files[one.network], one.network
        if len(own) > 1:
            alike = len(set(own.values())) < len(own)
            network += f" {one.network_sha256[:8] if alike else one.weights}"
        number = setups[_sharing(one)].index(one.setup) + 1
        base = one.method.removesuffix(NEW_STATISTICS)
        numbered = f"{base} #{number}" if number > 1 else base
        mark = "" if one.complete else UNFINISHED
        method = f"{numbered}{mark}{one.method[len(base) :]}"
        named.append(replace(one, network=network, method=method))
    return named


def _sharing(one: Outcome) -> tuple[str, str, str, bool]:
    """Return what outcomes share that need numbers if they have different setups."""
    return one.data, one.network_sha256, one.method, one.complete


def _line(group: Sequence[Outcome]) -> Line:
    first, top1 = group[0], _mean([one.top1 for one in group])
    precision = _mean([one.mean_precision for one in group])
    dense = [one.dense for one in group if one.dense]
    dense_top1 = _mean([one.top1 for one in dense])
    dense_precision = _mean([one.mean_precision for one in dense])
    score, dense_score = (top1, dense_top1) if precision is None else (precision, dense_precision)
    return Line(
        data=first.data,
        network=first.network,
        network_sha256=first.network_sha256,
        method=first.method,
        setup=first.setup,
        rate=first.rate,
        achieved=statistics.fmean([one.achieved for one in group]),
        seeds=len(group),
        top1=top1,
        spread=_spread([o.top1 if precision is None else o.mean_precision for o in group]),
        top5=_mean([one.top5 for one in group]),
        dense=dense_top1,
        drop=None if dense_score is None or score is None else dense_score - score,
        seconds=statistics.fmean([one.seconds for one in group]),
        paper_top1=first.paper[0] if first.paper else None,
        paper_drop=first.paper[1] if first.paper else None,
        agreement=_mean([one.agreement for one in group]),
        divergence=_mean([one.divergence for one in group]),
        mean_precision=precision,
        dense_mean_precision=dense_precision,
    )


def _spread(numbers: Sequence[float | None]) -> float | None:
    """Return the standard deviation of the numbers that are known, None for fewer than two."""
    known = [number for number in numbers if number is not None]
    return statistics.stdev(known) if len(known) > 1 else None


def _mean(numbers: Sequence[float | None]) -> float | None:
    """Return the mean, None if a number is missing or there is none."""
    known = [number for number in numbers if number is not None]
    return statistics.fmean(known) if known and len(known) == len(numbers) else None
