"""A grid of jobs: networks x methods x rates x seeds, each with its own folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.options import Changes, changes_of
from fcpts_ref.experiments.pinned import JOB_FILE, read_pinned
from fcpts_ref.pruning.registry import METHODS, make_method, presets
from fcpts_ref.spec.budget import budget
from fcpts_ref.storage.records import check_names, check_value

RATES, SEEDS = (0.7, 0.8, 0.9), (0, 1, 2)
NETWORKS, PRESETS = ("resnet8-digits",), ("fcpts", "pot-l2norm", "pot-erk")
KEYS = ("networks", "methods", "network", "method", "rates", "seeds", "options")


@dataclass(frozen=True)
class Cell:
    """A job of a grid, with the grid's names of its network and its method."""

    network: str
    method: str
    job: Job

    @property
    def folder(self) -> Path:
        """The folder network/method/rate/seed, in characters that every file system accepts."""
        parts = (self.network, self.method, f"{self.job.target:g}", f"seed{self.job.seed}")
        return Path(*(re.sub(r"[^A-Za-z0-9.+-]+", "-", part).strip("-.") or "_" for part in parts))

    @property
    def name(self) -> str:
        """The cell's name in messages."""
        rate = f"{100 * self.job.target:g} %"
        return f"{self.network} {self.method} {rate} seed {self.job.seed}"


@dataclass(frozen=True)
class Grid:
    """Networks and methods by name, each with its changes to a job; rates and seeds.

    A method's changes name one of ``METHODS``.  options: defaults for every cell, which networks
    and methods override.  overrides: changes that override all others.
    Raises InputError for an empty or repeated list.
    """

    networks: Mapping[str, Changes]
    methods: Mapping[str, Changes]
    rates: tuple[float, ...] = RATES
    seeds: tuple[int, ...] = SEEDS
    options: Changes = field(default_factory=Changes)
    overrides: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        for name in ("networks", "methods", "rates", "seeds"):
            held = getattr(self, name)
            if not held:
                raise InputError(f"the grid has no {name}; name at least one")
            if len(set(held)) < len(held):
                raise InputError(f"the grid's {name} hold one twice; name each once")
        for rate in self.rates:
            budget(rate, 1)  # refuse a rate that no cell could run


def cells_of(grid: Grid) -> tuple[Cell, ...]:
    """Return the cells of a grid; a deterministic method has the first seed only.

    Settings of ``options``, ``overrides`` and networks apply to the methods that have them.
    Raises InputError, which names the cell, for an invalid job.
    """
    cells = tuple(
        _cell(grid, network, method, rate, seed)
        for network in grid.networks
        for rate in grid.rates
        for method, changes in grid.methods.items()
        for seed in grid.seeds[: None if METHODS[changes.fields["method"]].is_random else 1]
    )
    if len({cell.folder for cell in cells}) < len(cells):
        raise InputError(
            "the names of two networks or methods differ in punctuation only; rename one"
        )
    return cells


def _cell(grid: Grid, network: str, method: str, rate: float, seed: int) -> Cell:
    own = grid.methods[method]
    below = grid.networks[network].over(grid.options).known_to(own.fields["method"])
    changes = grid.overrides.known_to(own.fields["method"]).over(own.over(below))
    place = Changes({"target": rate, "seed": seed, "label": method, "baselines": False})
    try:
        return Cell(network, method, place.over(changes).job())
    except InputError as error:
        raise InputError(f"{network} {method}: {error}") from error


def grid_of(data: Mapping[str, Any], overrides: Changes | None = None) -> Grid:
    """Return the grid of a configuration file.

    networks, methods: lists of names; network.NAME, method.NAME: tables of options of ``sparsify``
    (a method's may start from preset = NAME); rates, seeds: lists of numbers; options: a table for
    every cell.  Raises InputError for anything else.
    """
    check_names(data, KEYS, "the grid", "key")
    options = changes_of(check_value(data.get("options", {}), Mapping[str, Any], "options"))
    tables = {"networks": _tables(data, "network"), "methods": _tables(data, "method")}
    names = {
        key: _list(data, key, str, () if tables[key] else usual)
        for key, usual in (("networks", NETWORKS), ("methods", PRESETS))
    }
    networks = {Path(name).stem: Changes({"network": name}) for name in names["networks"]}
    networks |= {name: changes_of(table) for name, table in tables["networks"].items()}
    methods = dict(map(_preset, names["methods"]))
    for name, table in tables["methods"].items():
        base = _preset(table["preset"])[1] if "preset" in table else Changes()
        own = changes_of({k: v for k, v in table.items() if k != "preset"})
        usual = Changes({"method": options.fields.get("method", Job.method)})
        methods[name] = own.over(base).over(usual)
    rates = _list(data, "rates", float, RATES)
    seeds = _list(data, "seeds", int, SEEDS)
    return Grid(networks, methods, rates, seeds, options, overrides or Changes())


def _preset(name: Any) -> tuple[str, Changes]:
    """Return the label and the changes of a preset."""
    if not isinstance(name, str) or name not in presets():
        raise InputError(f"unknown method {name!r}; expected one of {', '.join(presets())}")
    method, settings = presets()[name]
    return make_method(method, **settings).label, Changes({"method": method}, settings)


def _list(data: Mapping[str, Any], name: str, kind: Any, default: tuple[Any, ...]) -> Any:
    return check_value(data.get(name, default), tuple[kind, ...], name)


def _tables(data: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    tables = data.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise InputError(f"[{name}] should hold tables, as in [{name}.NAME]")
    return tables


def check_unchanged(cell: Cell, out: Path) -> None:
    """Raise InputError if the cell's folder was started with other options or defaults."""
    folder = out / cell.folder
    if not (folder / JOB_FILE).exists():
        return
    pinned = read_pinned(folder)
    pinned.check_defaults(folder)
    if pinned.job != cell.job:
        raise InputError(
            f"{folder} was started with other options; choose another --out, or remove it"
        )
