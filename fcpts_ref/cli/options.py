"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from fcpts_ref.experiments.job import PRUNING
from fcpts_ref.experiments.options import Changes, changes_of, job_options, method_options
from fcpts_ref.pruning.registry import METHODS, method_settings
from fcpts_ref.pruning.settings import Setting
from fcpts_ref.storage.toml_files import read_rates


def add_engine_options(parser: argparse.ArgumentParser) -> Any:
    """Add --engine and --threads.  Returns their group."""
    group = parser.add_argument_group("computing")
    group.add_argument(
        "--engine",
        choices=("numba", "numpy"),
        default="numba",
        help="compiled kernels, or the plain NumPy specification (default: numba)",
    )
    add_threads_option(group)
    return group


def add_threads_option(group: Any) -> None:
    """Add --threads."""
    group.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads to use; results of the numba engine do not depend on it (default: all)",
    )


def add_seed_option(group: Any) -> None:
    """Add --seed."""
    group.add_argument("--seed", type=seed, default=0, help="seed of all randomness (default: 0)")


def seed(text: str) -> int:
    """Parse a whole number of at least 0, as NumPy's generators need it, for ``argparse``."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative; expected 0 or more")
    return number


def not_negative(text: str) -> int:
    """Parse a whole number of at least 0, for ``argparse``."""
    return seed(text)


def at_least_one(text: str) -> int:
    """Parse a whole number of at least 1, for ``argparse``."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; expected 1 or more")
    return number


def choices_of(pairs: list[str]) -> dict[str, Any]:
    """Return NAME=VALUE texts as conventions, each of the type of its field.

    Raises InputError for an unknown name or a value of another type.
    """
    return dict(changes_of({"choose": pairs}).settings["choices"])


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of ``sparsify`` that is part of a job, settings of methods included."""
    headings = {one.shown.group: None for one in job_options().values()}
    groups = {heading: parser.add_argument_group(heading) for heading in headings}
    for one in job_options().values():
        add_option(groups[one.shown.group], one, one.shown.help)
    groups[PRUNING].add_argument(
        "--layer-rates",
        metavar="FILE",
        help='fix the rates of layers by a TOML file with lines such as "layer1.*" = 0.8; '
        "--layer-rate overrides it",
    )
    add_method_options(parser)


UNSAID = ("None", "{}")
"""Defaults that help leaves out: the text says what an absent setting means."""


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add the settings of every method in a group; a shared one appears with the first method."""
    seen: set[str] = set()
    for method, cls in METHODS.items():
        group = parser.add_argument_group(f"method {method}", cls.description)
        for name, one in method_settings(method).items():
            if name not in seen:
                add_option(group, one, one.shown.help + _also_of(name, method))
        seen |= set(method_settings(method))


def add_number_options(group: Any) -> None:
    """Add the settings of methods whose values are numbers."""
    for name, one in method_options().items():
        if one.kind in (int, float):
            having = [method for method in METHODS if name in method_settings(method)]
            add_option(group, one, f"of {' and '.join(having)}, as in sparsify")


def _also_of(name: str, method: str) -> str:
    """Return a note on other methods with the setting, by their defaults."""
    having: dict[str, list[str]] = {}
    for other in METHODS:
        own = method_settings(other)
        if other != method and name in own:
            having.setdefault(str(own[name].default), []).append(other)
    notes = [
        f"{', '.join(names)}{'' if default in UNSAID else f' (default: {default})'}"
        for default, names in having.items()
    ]
    return f"; also of {' and '.join(notes)}" if notes else ""


def add_option(group: Any, one: Setting, help: str) -> None:
    """Add one option, which is absent from the namespace unless it is given."""
    shown = isinstance(one.default, int | float | str) and not isinstance(one.default, bool)
    if shown and "default:" not in help:
        help += (
            f" (default: {one.default:g})" if one.kind is float else f" (default: {one.default})"
        )
    text = help.replace("%", "%%").replace("%%(choices)s", "%(choices)s")
    words: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
    if one.kind is bool:
        words["action"] = "store_true"
    else:
        words["metavar"] = one.shown.metavar or ("N" if one.kind is int else None)
        if one.kind in (Mapping, tuple):
            words |= {"action": "extend", "nargs": "+"}
        else:
            words |= {"type": one.kind, "choices": one.choices or None}
    group.add_argument(f"--{one.option}", **words)


def given_changes(arguments: argparse.Namespace) -> Changes:
    """Return the settings given on the command line.  Raises InputError for a bad value."""
    known = (*job_options().values(), *method_options().values())
    names = {one.option.replace("-", "_") for one in known}
    changes = changes_of({k: v for k, v in vars(arguments).items() if k in names and v is not None})
    if getattr(arguments, "layer_rates", None) is None:
        return changes
    rates = {**read_rates(arguments.layer_rates), **changes.fields.get("rates", {})}
    return Changes({"rates": rates}).over(changes)
