"""One pruning run from the options of ``sparsify`` to the files of its folder."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.cli.options import choices_of
from fcpts_ref.cli.progress import counting_bar, step_bar
from fcpts_ref.cli.sources import find_dataset, find_network
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments import runs
from fcpts_ref.experiments.training import Accuracy, accuracy
from fcpts_ref.graphs.network import Network, global_rate, sparsity_rates
from fcpts_ref.pruning.fcpts.method import DEFAULT_PROFILE, PROFILE_SETTINGS
from fcpts_ref.pruning.names import ALLOCATION_LABELS, NEW_STATISTICS, method_label
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.report.figures import can_plot, write_run_figures
from fcpts_ref.spec.allocation import allocate
from fcpts_ref.spec.conventions import profile
from fcpts_ref.storage.files import lock_folder
from fcpts_ref.storage.network_files import write_arrays, write_network

Array = NDArray[Any]

COMMAND = "command.json"
BASELINES = ("l2norm", "erk")


@dataclass(frozen=True)
class Row:
    """One line of the first table."""

    name: str
    requested: float | None
    achieved: float
    accuracy: Accuracy


def prune(
    arguments: argparse.Namespace, folder: Path, stored: runs.RunSettings | None
) -> dict[str, Any]:
    """Runs what is left of a run, evaluates, writes the folder; returns the summary.

    stored: the settings of the run that is resumed, None for a new one.
    Raises InputError for bad input, and where the stored settings differ.
    """
    begun = time.perf_counter()
    with lock_folder(folder):
        for left_over in folder.glob(".*.part"):  # of a process that was killed while writing
            left_over.unlink(missing_ok=True)
        dataset = find_dataset(arguments.data, arguments.home)
        network = find_network(arguments, dataset)
        images, settings = _settings(arguments, dataset, network)
        if stored is not None and stored != settings:
            raise InputError(
                f"{folder} was begun with other settings, inputs or defaults; repeat them, or "
                "choose a new folder with --out"
            )
        runs.write_settings(folder, settings)
        with (
            step_bar(settings.method, quiet=arguments.quiet) as on_step,
            _compiled_ahead(settings, network, arguments.threads),
        ):
            finished = runs.execute(
                settings, network, images, folder, threads=arguments.threads, on_step=on_step
            )
        rows = _rows(arguments, settings, dataset, network, images, finished)
        summary = _summary(settings, dataset, network, images, finished, rows)
        summary["method"] = _label(arguments, settings)
        summary["seconds"] = round(time.perf_counter() - begun, 1)
        _write(folder, settings, finished, summary)
    return summary


def _compiled_ahead(
    settings: runs.RunSettings, network: Network, threads: int | None
) -> AbstractContextManager[None]:
    """Another core compiles the kernels of backward, where this run will need some."""
    if settings.engine != "numba" or settings.method != "fcpts":
        return nullcontext()
    from fcpts_ref.engines.numba.warmup import backward_compiled_ahead

    return backward_compiled_ahead(network.graph, network.dtype, threads)


def _settings(
    arguments: argparse.Namespace, dataset: Dataset, network: Network
) -> tuple[Array, runs.RunSettings]:
    """The calibration images and the settings that pin them."""
    method_settings = _method_settings(arguments, dataset)
    available = len(dataset.train)
    count = arguments.calibration
    if count is None:
        conventions = profile(arguments.profile or DEFAULT_PROFILE)
        conventions = conventions.with_choices(choices_of(arguments.choose))
        count = min(available, conventions.calibration_images)
    chosen = runs.draw_calibration(available, count, np.random.default_rng(arguments.seed))
    images = dataset.as_floats(dataset.train.images[chosen], network.dtype)
    settings = runs.RunSettings(
        weights=arguments.weights,
        data=arguments.data,
        target=arguments.sparsity,
        method=arguments.method,
        method_settings=method_settings,
        calibration=count,
        seed=arguments.seed,
        engine=arguments.engine,
        network_sha256=runs.network_sha256(network),
        images_sha256=runs.array_sha256(images),
    )
    return images, settings


def _method_settings(arguments: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    """Only what was said: everything else is the method's default.

    Where that default is to augment, it is done as the data allow.
    """
    said: dict[str, Any] = {
        "profile": arguments.profile,
        "allocation": arguments.allocation,
        "control": arguments.control,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "augmentation": arguments.augmentation or _augmentation(arguments, dataset),
        "views": arguments.views,
        "ramp": arguments.ramp,
        "learn_rates": False if arguments.fixed_rates else None,
        "choices": choices_of(arguments.choose) or None,
        "steps": arguments.steps,
        "weight_learning_rate": arguments.weight_learning_rate,
        "bias_learning_rate": arguments.bias_learning_rate,
        "unit": arguments.unit,
        "dense_inputs": False if arguments.sparse_inputs else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _augmentation(arguments: argparse.Namespace, dataset: Dataset) -> str | None:
    defaults = PROFILE_SETTINGS[arguments.profile or DEFAULT_PROFILE]
    augments = arguments.method == "fcpts" and defaults["augmentation"] != "none"
    return dataset.augmentation if augments else None


def _rows(
    arguments: argparse.Namespace,
    settings: runs.RunSettings,
    dataset: Dataset,
    network: Network,
    images: Array,
    finished: runs.Finished,
) -> list[Row]:
    """Dense and one-shot unless left out, the method; with --batch-norm each once more."""
    candidates: list[tuple[str, float | None, Network]] = []
    if not arguments.no_baselines:
        candidates.append(("dense", None, network))
        candidates += _one_shots(arguments, settings, network, images)
    candidates.append((_label(arguments, settings), settings.target, finished.result.network))
    if arguments.batch_norm:
        engine = make_engine(network.graph, settings.engine, threads=arguments.threads)
        candidates += [
            (name + NEW_STATISTICS, rate, runs.re_estimate_batch_norm(n, images, engine=engine))
            for name, rate, n in candidates
            if rate is not None and n.graph == network.graph  # POT's has no batch norm any more
        ]
    total = len(candidates) * len(dataset.test)
    test = dataset.as_floats(dataset.test.images, network.dtype)
    rows = []
    with counting_bar("evaluating", total, quiet=arguments.quiet) as on_batch:
        for name, rate, n in candidates:
            engine = make_engine(n.graph, settings.engine, threads=arguments.threads)
            result = accuracy(n, test, dataset.test.labels, engine=engine, on_batch=on_batch)
            rows.append(Row(name, rate, global_rate(n), result))
    return rows


def _one_shots(
    arguments: argparse.Namespace, settings: runs.RunSettings, network: Network, images: Array
) -> Iterator[tuple[str, float, Network]]:
    """One-shot pruning by the paper's two allocations, where they leave no layer empty."""
    for allocation in BASELINES:
        if (settings.method, settings.method_settings.get("allocation", "erk")) == (
            "one-shot",
            allocation,
        ):
            continue
        try:
            pruned = sparsify(
                network,
                images,
                target=settings.target,
                method="one-shot",
                allocation=allocation,
                engine=settings.engine,
                threads=arguments.threads,
            ).network
        except InputError as error:
            print(f"fcpts-ref: no one-shot row: {error}", file=sys.stderr)
            continue
        yield f"one-shot {ALLOCATION_LABELS[allocation]}", settings.target, pruned


def _label(arguments: argparse.Namespace, settings: runs.RunSettings) -> str:
    return arguments.label or method_label(settings.method, settings.method_settings)


def _summary(
    settings: runs.RunSettings,
    dataset: Dataset,
    network: Network,
    images: Array,
    finished: runs.Finished,
    rows: list[Row],
) -> dict[str, Any]:
    result = finished.result
    after = sparsity_rates(result.network)
    dense = rows[0].accuracy.top1 if rows[0].requested is None else None
    return {
        "settings": vars(settings),
        "versions": runs.versions(),
        "network": network.graph.name,
        "data": dataset.name,
        "weights": sum(network.sizes.values()),
        "calibration_images": len(images),
        "evaluation_images": len(dataset.test),
        "stages_done": finished.stages_done,
        "stages": finished.stages,
        "method_seconds": round(finished.seconds, 1),
        "rate_before_projection": result.rate_before_projection,
        "dense_layers": list(result.dense_layers),
        "rows": [
            {
                "name": row.name,
                "requested": row.requested,
                "achieved": row.achieved,
                "top1": row.accuracy.top1,
                "top5": row.accuracy.top5,
                "drop": None if dense is None else dense - row.accuracy.top1,
            }
            for row in rows
        ],
        "layers": [
            {
                "name": name,
                "shape": list(network.parameters[name].shape),
                "weights": size,
                "rate_before": result.initial_rates[name],
                "rate_after": after[name],
                "threshold": result.thresholds[name],
            }
            for name, size in network.sizes.items()
        ],
        "allocations": _allocations(network, settings.target),
    }


def _allocations(network: Network, target: float) -> dict[str, list[float]]:
    """The rates of the paper's two allocations by layer, for comparison."""
    weights = {name: network.parameters[name] for name in network.graph.prunable}
    result = {}
    for name in BASELINES:
        try:
            result[name] = list(allocate(name, weights, target).rates.values())
        except InputError:  # it would empty a layer: there is nothing to compare with
            continue
    return result


def _write(
    folder: Path, settings: runs.RunSettings, finished: runs.Finished, summary: Mapping[str, Any]
) -> None:
    provenance = {"made_by": "fcpts-ref sparsify", "settings": vars(settings)}
    write_network(folder / runs.NETWORK, finished.result.network, provenance)
    notes = {"layers": list(finished.result.rates)}
    write_arrays(folder / runs.HISTORY, finished.result.history, notes)
    if can_plot():
        write_run_figures(folder, summary, finished.result.history)
    runs.write_json(folder / runs.SUMMARY, summary)
