"""Comparing methods: a grid of cells to run, and the table of what came out.

A cell is one call of ``fcpts-ref sparsify`` with its own folder; this file knows which calls there
are and how their summaries become lines, not how they are run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.paper import paper_top1
from fcpts_ref.pruning.names import ALLOCATION_LABELS, NEW_STATISTICS
from fcpts_ref.spec.budget import budget

Flags = Mapping[str, Any]

_FCPTS_AND_POT: dict[str, dict[str, Any]] = {
    "fcpts": {"label": "FCPTS"},
    "fcpts-fixed": {"label": "FCPTS, fixed rates", "fixed-rates": True},
    "fcpts-paper": {"label": "FCPTS (paper)", "profile": "paper"},
    "fcpts-released": {"label": "FCPTS (released)", "profile": "released"},
    "fcpts-projection": {
        "label": "FCPTS (paper, projected)",
        "profile": "paper",
        "control": "projection",
    },
    "pot-l2norm": {"label": "POT (L2Norm)", "method": "pot", "allocation": "l2norm"},
    "pot-erk": {"label": "POT (ERK)", "method": "pot", "allocation": "erk"},
}
_ONE_SHOT: dict[str, dict[str, Any]] = {
    f"one-shot-{name}": {"label": f"one-shot {label}", "method": "one-shot", "allocation": name}
    for name, label in ALLOCATION_LABELS.items()
}
PRESETS = _FCPTS_AND_POT | _ONE_SHOT
"""Methods by name: the options of ``sparsify`` that make them."""


@dataclass(frozen=True)
class Cell:
    """One run: its place under the output folder and the options of ``sparsify``."""

    network: str
    method: str
    rate: float
    seed: int
    flags: Flags = field(hash=False)

    @property
    def folder(self) -> Path:
        """network/method/rate/seed, of characters that every file system takes."""
        parts = (self.network, self.method, f"{self.rate:g}", f"seed{self.seed}")
        return Path(*(re.sub(r"[^A-Za-z0-9.+-]+", "-", part).strip("-.") or "_" for part in parts))

    @property
    def name(self) -> str:
        """What the cell is called in messages."""
        return f"{self.network} {self.method} {100 * self.rate:g} % seed {self.seed}"

    @property
    def arguments(self) -> list[str]:
        """The options as words of a command line."""
        own = {"sparsity": self.rate, "seed": self.seed, "label": self.method}
        return flag_words({**self.flags, **own})


@dataclass(frozen=True)
class Grid:
    """networks and methods: options by name; options: for every cell."""

    networks: Mapping[str, Flags]
    methods: Mapping[str, Flags]
    rates: tuple[float, ...] = (0.7, 0.8, 0.9)
    seeds: tuple[int, ...] = (0, 1, 2)
    options: Flags = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("networks", "methods", "rates", "seeds"):
            if not getattr(self, name):
                raise InputError(f"the grid has no {name}; name at least one")
        for name in ("rates", "seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InputError(f"the grid's {name} hold one twice; name each once")
        for rate in self.rates:
            budget(rate, 1)  # refuses a rate that none of the cells could run
        folders = [cell.folder for cell in self.cells]
        if len(set(folders)) < len(folders):
            raise InputError("two networks or methods have the same name but for punctuation")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All runs; what no randomness enters (one-shot pruning) with the first seed only."""
        return tuple(
            Cell(network, method, rate, seed, {**self.options, **network_flags, **flags})
            for network, network_flags in self.networks.items()
            for rate in self.rates
            for method, flags in self.methods.items()
            for seed in (self.seeds[:1] if flags.get("method") == "one-shot" else self.seeds)
        )


def flag_words(flags: Flags) -> list[str]:
    """{"epochs": 5, "fixed-rates": True} as ["--epochs=5", "--fixed-rates"]."""
    words = []
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag] if value else []
        else:
            words += [f"{flag}={v}" for v in (value if isinstance(value, list) else [value])]
    return words


def grid_of(data: Mapping[str, Any]) -> Grid:
    """The grid of a configuration file.

    networks, methods: lists of names; network.NAME, method.NAME: tables of options of ``sparsify``
    (a method's may begin with preset = NAME); rates, seeds: lists of numbers; options: a table for
    every cell.  Raises InputError for anything else.
    """
    known = {"networks", "methods", "network", "method", "rates", "seeds", "options"}
    if unknown := sorted(set(data) - known):
        raise InputError(f"unknown key {unknown[0]!r}; expected {', '.join(sorted(known))}")
    methods = dict(_preset(name) for name in _list(data, "methods", str, []))
    for label, flags in _tables(data, "method").items():
        base = _preset(flags["preset"])[1] if "preset" in flags else {}
        methods[label] = base | {k: v for k, v in flags.items() if k != "preset"}
    networks: dict[str, Flags] = {
        Path(name).stem: {"weights": name} for name in _list(data, "networks", str, [])
    }
    networks |= _tables(data, "network")
    rates = _list(data, "rates", (int, float), Grid.rates)
    seeds = _list(data, "seeds", int, Grid.seeds)
    options = data.get("options", {})
    if not isinstance(options, dict):
        raise InputError("options should be a table")
    return Grid(networks, methods, tuple(float(r) for r in rates), tuple(seeds), options)


def _preset(name: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(name, str) or name not in PRESETS:
        raise InputError(f"unknown method {name!r}; expected one of {', '.join(PRESETS)}")
    flags = dict(PRESETS[name])
    return flags.pop("label"), flags


def _list(data: Mapping[str, Any], name: str, kind: Any, default: Sequence[Any]) -> list[Any]:
    value = data.get(name, list(default))
    good = isinstance(value, list) and all(
        isinstance(v, kind) and not isinstance(v, bool) for v in value
    )
    if not good:
        raise InputError(f"{name} is {value!r}; expected a list")
    return list(value)


def _tables(data: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    tables = data.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise InputError(f"[{name}] should hold tables, as in [{name}.NAME]")
    return dict(tables)


@dataclass(frozen=True)
class Outcome:
    """One row of one finished run.  Accuracies are shares; dense: the same network unpruned."""

    data: str
    network: str
    weights: str  # the name of the network's file
    network_sha256: str
    method: str
    rate: float
    achieved: float
    seed: int
    top1: float
    top5: float
    seconds: float
    setup: str = ""  # all settings but the seed: only equal ones are drawn together
    dense: tuple[float, float] | None = None  # top-1, top-5
    paper: tuple[float, float] | None = None  # top-1, drop


Dense = Mapping[tuple[str, str], tuple[float, float]]
"""Top-1 and top-5 of dense networks by data and the network's SHA-256."""


def outcomes(summary: Mapping[str, Any], dense: Dense) -> list[Outcome]:
    """The rows of a run's summary that its own method made: as it is, and with new statistics.

    Raises InputError for something that is no summary.
    """
    try:
        settings, label = summary["settings"], summary["method"]
        rows = summary["rows"]
        own = next((row for row in rows if row["requested"] is None), None)
        known = dense.get((summary["data"], settings["network_sha256"]))
        paper = paper_top1(summary["data"], summary["network"], settings["target"], settings)
        return [
            Outcome(
                data=summary["data"],
                network=summary["network"],
                weights=Path(settings["weights"]).stem,
                network_sha256=settings["network_sha256"],
                method=row["name"],
                rate=settings["target"],
                achieved=row["achieved"],
                seed=settings["seed"],
                top1=row["top1"],
                top5=row["top5"],
                seconds=summary["method_seconds"],
                setup=setup_of(settings),
                dense=(own["top1"], own["top5"]) if own else known,
                paper=paper if row["name"] == label else None,
            )
            for row in rows
            if row["requested"] is not None and row["name"] in (label, label + NEW_STATISTICS)
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"no summary of a run: {error} is missing or of another kind") from error


def setup_of(settings: Mapping[str, Any]) -> str:
    """A short checksum of all that makes a run but data, rate and seed."""
    names = ("network_sha256", "method", "resolved", "calibration", "engine")
    text = json.dumps({name: settings[name] for name in names}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Line:
    """One line of the table: the mean over seeds.

    spread: the standard deviation over seeds (n - 1), None for one seed.  setup: equal for lines
    that differ in rate alone (``setup_of``).
    """

    data: str
    network: str
    network_sha256: str
    method: str
    setup: str
    rate: float
    achieved: float
    seeds: int
    top1: float
    spread: float | None
    top5: float
    dense: float | None
    drop: float | None
    seconds: float
    paper_top1: float | None
    paper_drop: float | None


def lines_of(results: Iterable[Outcome]) -> list[Line]:
    """The table: outcomes of the same data, network, rate, method and settings drawn together.

    In the order in which they come, network by network and rate by rate.  What has one name but is
    not the same gets names that differ.
    """
    groups: dict[tuple[str, str, float, str, str], list[Outcome]] = {}
    for one in _with_names(list(results)):
        key = (one.data, one.network, one.rate, one.method, one.setup)
        groups.setdefault(key, []).append(one)
    places = list(dict.fromkeys(key[:2] for key in groups))
    order = sorted(groups, key=lambda key: (places.index(key[:2]), key[2]))
    return [_line(groups[key]) for key in order]


def _with_names(results: Sequence[Outcome]) -> list[Outcome]:
    """Networks that share a name get that of their file too, methods that share one a number."""
    files: dict[str, dict[str, str]] = {}
    setups: dict[tuple[str, str, str], list[str]] = {}
    for one in results:
        files.setdefault(one.network, {})[one.network_sha256] = one.weights
        known = setups.setdefault((one.data, one.network_sha256, one.method), [])
        if one.setup not in known:
            known.append(one.setup)
    named = []
    for one in results:
        own, network = files[one.network], one.network
        if len(own) > 1:
            alike = len(set(own.values())) < len(own)
            network += f" {one.network_sha256[:8] if alike else one.weights}"
        number = setups[one.data, one.network_sha256, one.method].index(one.setup) + 1
        base = one.method.removesuffix(NEW_STATISTICS)
        method = f"{base} #{number}{one.method[len(base) :]}" if number > 1 else one.method
        named.append(replace(one, network=network, method=method))
    return named


def _line(group: Sequence[Outcome]) -> Line:
    first, top1 = group[0], [one.top1 for one in group]
    dense = statistics.fmean([o.dense[0] for o in group if o.dense]) if first.dense else None
    mean = statistics.fmean(top1)
    return Line(
        data=first.data,
        network=first.network,
        network_sha256=first.network_sha256,
        method=first.method,
        setup=first.setup,
        rate=first.rate,
        achieved=statistics.fmean([one.achieved for one in group]),
        seeds=len(group),
        top1=mean,
        spread=statistics.stdev(top1) if len(top1) > 1 else None,
        top5=statistics.fmean([one.top5 for one in group]),
        dense=dense,
        drop=None if dense is None else dense - mean,
        seconds=statistics.fmean([one.seconds for one in group]),
        paper_top1=first.paper[0] if first.paper else None,
        paper_drop=first.paper[1] if first.paper else None,
    )


HEADER = ("method", "rate", "n", "top-1", "drop", "paper's", "its drop", "time")


def table_of(lines: Sequence[Line]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows, without the columns in which there is nothing."""
    rows = [_cells(line) for line in lines]
    used = [i for i in range(len(HEADER)) if any(row[i] for row in rows)]
    return tuple(HEADER[i] for i in used), [tuple(row[i] for i in used) for row in rows]


def _cells(line: Line) -> tuple[str, ...]:
    """A line as texts, under ``HEADER``: percent, percentage points, seconds."""
    return (
        line.method,
        f"{100 * line.rate:.4g}",
        str(line.seeds),
        number(line.top1) + ("" if line.spread is None else f" ±{100 * line.spread:.2f}"),
        number(line.drop),
        number(line.paper_top1),
        number(line.paper_drop),
        duration(line.seconds),
    )


def headed(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The lines of every network under a heading with its dense accuracy."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.network, line.data), []).append(line)
    result = []
    for (network, data), own in groups.items():
        dense = f", dense {number(own[0].dense)} %" if own[0].dense is not None else ""
        result.append((f"{network} on {data}{dense}", own))
    return result


def number(share: float | None) -> str:
    """A share in percent with two decimals; nothing for None."""
    return "" if share is None or math.isnan(share) else f"{100 * share:.2f}"


def duration(seconds: float) -> str:
    """42 s, 3:05 min or 1:02 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"
