"""The accuracy of a grid's dense networks, measured once and kept in its folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import network_sha256
from fcpts_ref.experiments.inputs import find_inputs, find_sources
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.progress import Progress
from fcpts_ref.experiments.training import accuracy
from fcpts_ref.storage.json_files import read_json, write_json

DENSE_FILE = "dense.json"
_NAMES = (
    *("network", "arch", "shortcut", "normalise", "mean", "std"),
    *("data", "test_data", "preprocess", "skip_corrupt", "home"),
)
"""The fields of a job that decide what its dense network and its test images are."""


def read_dense(folder: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the top-1 and top-5 of dense networks that the folder stores, by data and SHA-256."""
    path = folder / DENSE_FILE
    if not path.exists():
        return {}
    try:
        found = read_json(path)
        return {
            (str(e["data"]), str(e["sha256"])): (float(e["top1"]), float(e["top5"]))
            for e in (found["networks"] if isinstance(found, dict) else found)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it to measure again") from error


def measure_dense(
    jobs: Iterable[Job], folder: Path, *, threads: int | None, progress: Progress
) -> None:
    """Evaluate every dense network of the jobs whose accuracy the folder does not store yet."""
    known = read_dense(folder)
    sources = {repr({n: getattr(j, n) for n in _NAMES}): j for j in jobs}
    for job in sources.values():
        find_sources(job)  # refuse one that does not fit before any is evaluated
    for job in sources.values():
        inputs = find_inputs(job, threads=threads, note=progress.note)
        network, test, labels = inputs.network, inputs.test, inputs.labels
        key = (inputs.dataset.name, network_sha256(network))
        if key in known or test is None or labels is None:
            continue
        engine = make_engine(network.graph, job.engine, threads=threads)
        with progress.count(f"dense {network.graph.name}", len(test)) as on_batch:
            found = accuracy(network, test, labels, engine=engine, on_batch=on_batch)
        known[key] = (found.top1, found.top5)
        entries = [
            {"data": d, "sha256": s, "top1": a, "top5": b} for (d, s), (a, b) in known.items()
        ]
        write_json(folder / DENSE_FILE, {"networks": entries})
