"""``models list`` and ``data list``: what can be named in commands."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fcpts_ref.cli.sources import add_home_option
from fcpts_ref.cli.tables import table
from fcpts_ref.data.locations import HOME_VARIABLE, NoHomeError, home_folder
from fcpts_ref.errors import InputError, counted
from fcpts_ref.resources import FOLDERS

Describe = Callable[[Path], dict[str, str]]


def add_list(actions: Any, kind: str, folder: str, describe: Describe) -> None:
    """Add the action ``list`` of files in the package and in ``folder`` of --home."""
    text = f"list the {kind}s that commands find by name"
    parser = actions.add_parser("list", help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_home_option(parser)
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(run=lambda arguments: _list(arguments, kind, folder, describe))


def _list(arguments: argparse.Namespace, kind: str, folder: str, describe: Describe) -> int:
    home = _home(arguments.home, folder)
    rows = [
        {"name": path.stem, **described, "in": place}
        for path, place in _files(home)
        if (described := _described(describe, path))
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    if rows:
        print(table(list(rows[0]), [list(row.values()) for row in rows], left=len(rows[0])))
    where = home or f"a folder that {HOME_VARIABLE} names: this user has no home directory"
    print(f"{counted(len(rows), kind)}; imported and prepared ones lie in {where}")
    return 0


def _home(named: str | None, folder: str) -> Path | None:
    """Return the folder in --home; None for a user without a home directory."""
    try:
        return home_folder(named) / folder
    except NoHomeError:
        return None


def _files(home: Path | None) -> Iterator[tuple[Path, str]]:
    """Yield the .h5 files of the package and of the folder, and where each lies."""
    for place in FOLDERS:
        for path in sorted(place.glob("*.h5")):
            yield path, "the package"
    for path in sorted(home.glob("*.h5")) if home else ():
        yield path, "--home"


def _described(describe: Describe, path: Path) -> dict[str, str]:
    """Return the description of a file, or nothing for one of another kind or damaged."""
    try:
        return describe(path)
    except InputError:
        return {}
