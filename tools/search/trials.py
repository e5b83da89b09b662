"""The trials of a search: what each came to, and the best settings of every method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from fcpts_ref.experiments.grid import Cell
from fcpts_ref.experiments.summary import Summary
from fcpts_ref.storage.json_files import as_json


@dataclass(frozen=True)
class Trial:
    """One finished run, evaluated on held-out training images.

    name: of its settings in the configuration file; its method is the part before a comma.
    settings: those that differ from the method's defaults.  top1, agreement: shares; divergence: KL
    from the dense network, in nats.  reached: the rate before the projection onto the budget.
    seconds: of pruning alone.
    """

    network: str
    name: str
    settings: Mapping[str, Any]
    rate: float
    seed: int
    top1: float | None
    agreement: float | None
    divergence: float | None
    reached: float
    seconds: float

    @property
    def method(self) -> str:
        """The method that the settings belong to: "STR" of "STR, decay 0.1"."""
        return self.name.partition(",")[0]


def trial(cell: Cell, summary: Summary) -> Trial:
    """Return the trial of a finished cell."""
    row = next(row for row in summary.rows if row.requested is not None)
    job = cell.job
    settings = as_json({"method": job.method, **job.settings, "calibration": job.calibration})
    return Trial(
        cell.network, cell.method, settings, job.target, job.seed, row.top1, row.agreement,
        row.divergence, summary.rate_before_projection, summary.method_seconds,
    )  # fmt: skip


@dataclass(frozen=True)
class Mean:
    """The mean over seeds of trials with the same settings; spread: standard deviation of top-1."""

    network: str
    name: str
    rate: float
    seeds: int
    top1: float
    spread: float | None
    divergence: float | None
    reached: float
    seconds: float


def means(trials: Iterable[Trial]) -> list[Mean]:
    """Return the means over seeds, best first within a network, rate and method."""
    groups: dict[tuple[str, float, str], list[Trial]] = defaultdict(list)
    for one in trials:
        groups[one.network, one.rate, one.name].append(one)
    found = []
    for (network, rate, name), own in groups.items():
        tops = [one.top1 for one in own if one.top1 is not None]
        divergences = [one.divergence for one in own if one.divergence is not None]
        found.append(
            Mean(
                network=network,
                name=name,
                rate=rate,
                seeds=len(own),
                top1=fmean(tops) if tops else float("nan"),
                spread=stdev(tops) if len(tops) > 1 else None,
                divergence=fmean(divergences) if divergences else None,
                reached=fmean(one.reached for one in own),
                seconds=fmean(one.seconds for one in own),
            )
        )
    return sorted(found, key=lambda m: (m.network, m.rate, m.name.partition(",")[0], -m.top1))
