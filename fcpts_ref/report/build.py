"""The report: figures and an HTML page from finished runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcpts_ref.experiments.figures import (
    allocation_by_layer,
    layer_names,
    losses_and_rates,
    run_rates,
    run_title,
)
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.outcomes import (
    UNFINISHED,
    Dense,
    Line,
    lines_of,
    outcomes,
    setup_of,
)
from fcpts_ref.experiments.paper import SOURCE
from fcpts_ref.experiments.run import HISTORY
from fcpts_ref.experiments.summary import Summary
from fcpts_ref.experiments.tables import duration, headed, number, table_of
from fcpts_ref.pruning.names import NEW_STATISTICS
from fcpts_ref.report import figures
from fcpts_ref.report.page import (
    Heading,
    Part,
    Picture,
    Table,
    Text,
    make_page,
)
from fcpts_ref.storage.json_files import write_text_file
from fcpts_ref.storage.network_files import read_arrays

PAGE = "report.html"
TITLE = "Post-training sparsity: results"


def write_report(
    out: Path, folders: Sequence[Path], summaries: Sequence[Summary], dense: Dense
) -> list[Path]:
    """Write all figures and the page into the folder ``out``, which exists; return their paths.

    Raises InputError for damaged runs or files that cannot be written.
    """
    lines = lines_of(o for summary in summaries for o in outcomes(summary, dense))
    parts: list[Part] = [Text(_introduction(summaries))]
    written: list[Path] = []
    for heading, own in headed(lines):
        names = {line.setup: line.method for line in own if _is_plain(line)}
        chosen = [
            Chosen(folder, summary, names[setup_of(summary)])
            for folder, summary in zip(folders, summaries, strict=True)
            if summary.pinned.network_sha256 == own[0].network_sha256
            and summary.data == own[0].data
        ]
        parts += [Heading(heading), Table(*table_of(own))]
        if len(summaries) == 1:
            parts += _one_run(summaries[0])
        for paths, caption in _pictures(out, own, chosen):
            written += paths
            parts.append(Picture(next(p for p in paths if p.suffix == ".svg"), caption))
    parts += [Text(_legend(lines), note=True), *_details(folders, summaries, lines)]
    page = out / PAGE
    write_text_file(page, make_page(TITLE, parts))
    return [*written, page]


class Words(NamedTuple):
    """A score's name in files and in captions."""

    file: str
    caption: str


SCORES = {
    "top-1": Words("accuracy", "Top-1 accuracy"),
    "mAP": Words("precision", "Mean average precision (mAP)"),
}


class Chosen(NamedTuple):
    """A run and the name of its method in the table."""

    folder: Path
    summary: Summary
    name: str


def _is_plain(line: Line) -> bool:
    return not line.method.endswith(NEW_STATISTICS)


def _pictures(
    out: Path, lines: Sequence[Line], chosen: Sequence[Chosen]
) -> list[tuple[list[Path], str]]:
    """The figures of one network, with their captions."""
    network, data = lines[0].network, lines[0].data
    place, title = _file_name(f"{network}-{data}"), f"{network} on {data}"
    plain = [line for line in lines if _is_plain(line) and line.score is not None]
    result = []
    measure = lines[0].measure
    if plain and len(chosen) > 1:
        result.append(
            (
                figures.score_over_rate(out, f"{SCORES[measure].file}-{place}", plain, title),
                f"{SCORES[measure].caption} over the share of weights pruned, {title}; bars: "
                "standard deviation over seeds.",
            )
        )
    pair = _learned_and_fixed(plain, chosen)
    if pair:
        result.append(
            (
                figures.learned_against_fixed(out, f"learned-{place}", pair, title),
                f"Layer rates learned, and fixed at their initial values, {title}.",
            )
        )
    for folder, summary, method in _first_seeds(chosen):
        rate = f"{100 * summary.pinned.job.target:.4g}"
        name = _file_name(f"{place}-{method}-{rate}")
        own = run_rates(summary)
        result.append(
            (
                allocation_by_layer(
                    out,
                    f"allocation-{name}",
                    layer_names(summary),
                    own,
                    run_title(summary),
                ),
                f"Share of weights pruned in every layer by {method} (seed "
                f"{summary.pinned.job.seed}) at {rate} % overall, beside ERK and L2Norm.",
            )
        )
        history, _ = read_arrays(folder / HISTORY)
        if len(history.get("reconstruction_loss", np.empty(0))):
            target = summary.pinned.job.target
            result.append(
                (
                    losses_and_rates(out, f"steps-{name}", history, target, run_title(summary)),
                    "Losses and global rate over the steps; solid lines are means over the last "
                    "fiftieth of the run.",
                )
            )
    return result


def _learned_and_fixed(lines: Sequence[Line], chosen: Sequence[Chosen]) -> list[Line]:
    """Return the lines of FCPTS with fixed rates and with learned rates at equal settings."""
    made = {run.name: _free(run.summary) for run in chosen if _is_fcpts(run.summary)}
    for fixed, (learns, settings) in made.items():
        for learned, (other_learns, others) in made.items():
            if not learns and other_learns and others == settings:
                return [line for line in lines if line.method in (fixed, learned)]
    return []


def _free(summary: Summary) -> tuple[bool, dict[str, Any]]:
    """Return whether rates are learned, and all other settings."""
    pinned = summary.pinned
    settings = dict(pinned.settings)
    learns = bool(settings.pop("learn_rates"))
    job = pinned.job
    settings |= {"calibration_images": pinned.calibration, "engine": job.engine}
    settings |= {"keep_dense": job.keep_dense, "max_rates": job.max_rates, "rates": job.rates}
    settings |= {"granularity": job.granularity, "cost": job.cost}
    return learns, settings


def _is_fcpts(summary: Summary) -> bool:
    return summary.pinned.job.method == "fcpts"


def _first_seeds(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Return one run per FCPTS method with learned rates: the highest rate, the first seed."""
    best: dict[str, Chosen] = {}
    for run in chosen:
        if not _is_fcpts(run.summary) or not run.summary.pinned.settings["learn_rates"]:
            continue
        held = best.get(run.name)
        if held is None or _place(run) < _place(held):
            best[run.name] = run
    return list(best.values())


def _place(run: Chosen) -> tuple[float, int]:
    job = run.summary.pinned.job
    return (-job.target, job.seed)


def _one_run(summary: Summary) -> list[Part]:
    """Return the tables of a single run: every network it evaluated, and every layer."""
    share = f"{100 * summary.achieved(all_layers=False):.2f}"
    of_all = f"{100 * summary.achieved(all_layers=True):.2f}"
    detects = any(row.mean_precision is not None for row in summary.rows)
    scores = {"mAP": "mean_precision"} if detects else {"top-1": "top1", "top-5": "top5"}
    return [
        Heading("Networks of this run", 3),
        Table(
            ("network", "requested", "achieved", *scores),
            [
                (
                    row.name,
                    "" if row.requested is None else f"{100 * row.requested:.4g}",
                    f"{100 * row.achieved:.2f}",
                    *(number(getattr(row, field)) for field in scores.values()),
                )
                for row in summary.rows
            ],
        ),
        Heading("Layers", 3),
        Table(
            ("layer", "shape", "weights", "before", "after"),
            [
                (
                    layer.name.removesuffix(".weight"),
                    "x".join(map(str, layer.shape)),
                    f"{layer.weights:,}",
                    "left out" if layer.name in summary.left_out else number(layer.rate_before),
                    number(layer.rate_after),
                )
                for layer in summary.layers
            ],
            left=2,
        ),
        Text(f"Achieved: {share} % of the weights of pruned layers, {of_all} % of all.", note=True),
    ]


def _introduction(summaries: Sequence[Summary]) -> str:
    incomplete = sum(not s.complete for s in summaries)
    runs = "1 run" if len(summaries) == 1 else f"{len(summaries)} runs"
    text = f"{runs} of fcpts-ref {_versions(summaries, 'fcpts-ref')}."
    if incomplete:
        verbs = "was stopped early and is" if incomplete == 1 else "were stopped early and are"
        text += f" {incomplete} of them {verbs} marked as unfinished."
    return text


def _legend(lines: Sequence[Line]) -> str:
    measures = list(dict.fromkeys(line.measure for line in lines))
    text = (
        f"Rates, {', '.join(measures)} and drops in percent, on the test images; n: seeds; ±: "
        "standard deviation over seeds; drop: against the same network unpruned; time: pruning "
        "alone, one run."
    )
    if "mAP" in measures:
        text += " mAP: mean average precision of a detector, VOC's mean over 11 recalls."
    if any(line.paper_top1 is not None for line in lines):
        text += f" The paper's: {SOURCE}, its drop against its own dense network."
    if not all(map(_is_plain, lines)):
        text += " BN: batch norm's statistics re-estimated on the calibration images."
    return text


def _details(
    folders: Sequence[Path], summaries: Sequence[Summary], lines: Sequence[Line]
) -> list[Part]:
    """Return a table of all runs, their settings, folders and versions."""
    named = {line.setup: line.method for line in lines if _is_plain(line)}
    names = [named.get(setup_of(s), s.method).removesuffix(UNFINISHED) for s in summaries]
    measures = list(dict.fromkeys(line.measure for line in lines))
    header = ("run", "rate", "before projection", "seed", "images", *measures, "time", "folder")
    rows = [
        (
            f"{name}, {s.network}, {s.data}{_mark(s)}",
            f"{100 * s.pinned.job.target:.4g}",
            f"{100 * s.rate_before_projection:.3f}",
            str(s.pinned.job.seed),
            f"{s.pinned.calibration:,}",
            *(number(_own(s).get(measure)) for measure in measures),
            duration(s.method_seconds),
            place,
        )
        for place, name, s in zip(_distinct_places(folders), names, summaries, strict=True)
    ]
    unique = dict.fromkeys(
        (name, _explicit(s.pinned.job)) for name, s in zip(names, summaries, strict=True)
    )
    packages = ("python", "numpy", "numba", "machine")
    return [
        Heading("Runs"),
        Table(header, rows),
        Heading("Settings that were set explicitly; all others are defaults"),
        Table(("method", "settings"), list(unique), left=2),
        Text(
            "Versions: " + ", ".join(f"{n} {_versions(summaries, n)}" for n in packages) + ".",
            note=True,
        ),
    ]


def _distinct_places(folders: Sequence[Path]) -> list[str]:
    """Return the folders from the one on that holds them all."""
    above = [folder.absolute().parent for folder in folders]
    if len({folder.drive for folder in above}) > 1:  # on Windows
        return list(map(str, folders))
    return [os.path.relpath(folder, os.path.commonpath(above)) for folder in folders]


def _explicit(job: Job) -> str:
    """Return what a job sets apart from its network, data, rate and seed, as JSON."""
    usual = Job()
    fields = ("calibration", "keep_dense", "max_rates", "rates", "granularity", "cost", "engine")
    own = {n: getattr(job, n) for n in fields if getattr(job, n) != getattr(usual, n)}
    return json.dumps({**job.settings, **own}, sort_keys=True)


def _mark(summary: Summary) -> str:
    """Return a note on a run that was stopped, otherwise ""."""
    done, stages = summary.stages_done, summary.stages
    return "" if summary.complete else f" (unfinished: stage {done} of {stages})"


def _own(summary: Summary) -> dict[str, float | None]:
    """Return the scores of the method's own row by name; empty if there is no such row."""
    rows = (row for row in summary.rows if row.requested is not None)
    own = next((row for row in rows if row.name == summary.method), None)
    return {} if own is None else {"top-1": own.top1, "mAP": own.mean_precision}


def _versions(summaries: Sequence[Summary], name: str) -> str:
    return " / ".join(dict.fromkeys(str(s.versions.get(name, "?")) for s in summaries))


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-").lower()
