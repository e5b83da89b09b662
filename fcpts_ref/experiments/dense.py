"""The scores of a grid's dense networks, measured once and kept in its folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import network_sha256
from fcpts_ref.experiments.detection import detections_of, precision
from fcpts_ref.experiments.inputs import Inputs, find_inputs, find_sources
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.outcomes import Scores
from fcpts_ref.experiments.progress import Progress
from fcpts_ref.experiments.training import accuracy
from fcpts_ref.storage.json_files import read_json, write_json

DENSE_FILE = "dense.json"
_NAMES = (
    *("network", "arch", "shortcut", "normalise", "mean", "std"),
    *("data", "test_data", "preprocess", "skip_corrupt", "home"),
)
"""The fields of a job that decide what its dense network and its test images are."""


def read_dense(folder: Path) -> dict[tuple[str, str], Scores]:
    """Return the scores of dense networks that the folder stores, by data and SHA-256."""
    path = folder / DENSE_FILE
    if not path.exists():
        return {}
    try:
        found = read_json(path)
        return {
            (str(e["data"]), str(e["sha256"])): _scores(e)
            for e in (found["networks"] if isinstance(found, dict) else found)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it to measure again") from error


def measure_dense(
    jobs: Iterable[Job], folder: Path, *, threads: int | None, progress: Progress
) -> None:
    """Evaluate every dense network of the jobs whose scores the folder does not store yet."""
    known = read_dense(folder)
    sources = {repr({n: getattr(j, n) for n in _NAMES}): j for j in jobs}
    for job in sources.values():
        find_sources(job)  # refuse one that does not fit before any is evaluated
    for job in sources.values():
        inputs = find_inputs(job, threads=threads, note=progress.note)
        key = (inputs.dataset.name, network_sha256(inputs.network))
        if key in known:
            continue
        found = _measured(job, inputs, threads, progress)
        if found is None:
            continue
        known[key] = found
        entries = [
            {"data": data, "sha256": sha256}
            | {name: share for name, share in scores._asdict().items() if share is not None}
            for (data, sha256), scores in known.items()
        ]
        write_json(folder / DENSE_FILE, {"networks": entries})


def _scores(entry: Mapping[str, Any]) -> Scores:
    if "mean_precision" in entry:
        return Scores(None, None, float(entry["mean_precision"]))
    return Scores(float(entry["top1"]), float(entry["top5"]))


def _measured(job: Job, inputs: Inputs, threads: int | None, progress: Progress) -> Scores | None:
    """Return the scores of a job's dense network, None without labels or annotations."""
    network, test, labels = inputs.network, inputs.test, inputs.labels
    detects = network.graph.is_detector
    if test is None or (inputs.truth if detects else labels) is None:
        return None
    engine = make_engine(network.graph, job.engine, threads=threads)
    with progress.count(f"dense {network.graph.name}", len(test)) as on_batch:
        if inputs.truth is not None:
            boxes = detections_of(network, test, engine=engine, on_batch=on_batch)
            mean = precision(boxes, inputs.truth.objects, inputs.truth.classes).mean
            return Scores(None, None, mean)
        assert labels is not None
        found = accuracy(network, test, labels, engine=engine, on_batch=on_batch)
    return Scores(found.top1, found.top5)
