"""The summary of a run: the contents of its tables, as one value and one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.experiments.evaluate import BASELINES, Row
from fcpts_ref.experiments.inputs import Inputs
from fcpts_ref.experiments.pinned import PinnedJob
from fcpts_ref.experiments.stages import Finished
from fcpts_ref.graphs.network import Network, sparsity_rates
from fcpts_ref.spec.allocation import allocate
from fcpts_ref.storage.json_files import read_json, write_json
from fcpts_ref.storage.records import record_from_json

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Layer:
    """A layer's weights and the pruned share: allocated (before) and reached (after)."""

    name: str
    shape: tuple[int, ...]
    weights: int
    rate_before: float
    rate_after: float
    threshold: float


@dataclass(frozen=True)
class Summary:
    """The result of a run without its arrays.

    pinned: the job, its settings and the checksums of its inputs.  method: its name in tables.
    weights: of all prunable layers.  stages_done is less than stages if the run was stopped.
    method_seconds: of pruning alone, in all sessions; seconds: of the last session.
    dense_layers: layers that the initial allocation left dense; left_out: layers that the job keeps
    dense and that do not count in the target.
    allocations: rates by layer of the paper's two allocations, by name.
    versions: of the last session; begun_with: of the first.
    """

    pinned: PinnedJob
    versions: Mapping[str, str]
    method: str
    network: str
    data: str
    weights: int
    evaluation_images: int
    stages_done: int
    stages: int
    method_seconds: float
    seconds: float
    rate_before_projection: float
    dense_layers: tuple[str, ...]
    left_out: tuple[str, ...]
    rows: tuple[Row, ...]
    layers: tuple[Layer, ...]
    allocations: Mapping[str, tuple[float, ...]]
    begun_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every stage was run."""
        return self.stages_done == self.stages

    def achieved(self, *, all_layers: bool) -> float:
        """Return the share of weights that are 0: of all layers, or of those that are pruned."""
        counted = [one for one in self.layers if all_layers or one.name not in self.left_out]
        total = sum(one.weights for one in counted)
        return sum(one.weights * one.rate_after for one in counted) / total

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON data."""
        return asdict(self)


def summarise(
    pinned: PinnedJob, inputs: Inputs, finished: Finished, rows: list[Row], seconds: float
) -> Summary:
    """Return the summary of a run; seconds: of this session."""
    network, result = inputs.network, finished.result
    after = sparsity_rates(result.network)
    return Summary(
        pinned=pinned,
        versions=versions(),
        method=method_name(pinned),
        network=network.graph.name,
        data=inputs.dataset.name,
        weights=sum(network.sizes.values()),
        evaluation_images=len(inputs.test or ()),
        stages_done=finished.stages_done,
        stages=finished.stages,
        method_seconds=round(finished.seconds, 1),
        seconds=round(seconds, 1),
        rate_before_projection=float(result.rate_before_projection),
        dense_layers=tuple(result.dense_layers),
        left_out=tuple(result.left_out),
        rows=tuple(rows),
        layers=tuple(
            Layer(
                name=name,
                shape=tuple(network.parameters[name].shape),
                weights=size,
                rate_before=float(result.initial_rates.get(name, 0.0)),
                rate_after=float(after[name]),
                threshold=float(result.thresholds[name]),
            )
            for name, size in network.sizes.items()
        ),
        begun_with=dict(finished.begun_with),
        allocations=_allocations(network, pinned.job.target),
    )


def method_name(pinned: PinnedJob) -> str:
    """Return the method's name in tables: the job's label, or its own."""
    return pinned.job.label or pinned.make_method().label


def write_summary(folder: Path, summary: Summary) -> None:
    """Write summary.json.  Raises InputError if that fails."""
    write_json(folder / SUMMARY, summary.to_json())


def read_summary(folder: Path) -> Summary:
    """Read summary.json.  Raises InputError for a folder that holds none."""
    path = folder / SUMMARY
    return record_from_json(Summary, read_json(path), str(path))


def is_complete(folder: Path) -> bool:
    """Return whether the run in the folder has finished all its stages."""
    return (folder / SUMMARY).is_file() and read_summary(folder).complete


def _allocations(network: Network, target: float) -> dict[str, tuple[float, ...]]:
    """Return the rates of the paper's two allocations by layer, for comparison."""
    weights = {name: network.parameters[name] for name in network.graph.prunable}
    result = {}
    for name in BASELINES:
        try:
            rates = allocate(name, weights, target).rates.values()
        except InputError:  # it would empty a layer
            continue
        result[name] = tuple(float(rate) for rate in rates)
    return result
