"""Finding finished runs and reading their summaries."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.summary import SUMMARY, Summary, read_summary


def run_folders(places: Iterable[Path]) -> list[Path]:
    """Return all folders with a summary in or under these places, each once.

    Raises InputError for a place without one.
    """
    found: dict[Path, None] = {}
    for place in places:
        here = sorted(path.parent for path in place.rglob(SUMMARY))
        if not here:
            raise InputError(f"there is no finished run in {place}; give the folder of a run")
        found |= dict.fromkeys(here)
    return list(found)


def summaries_in(folders: Iterable[Path]) -> list[Summary]:
    """Read the summaries of runs.  Raises InputError for a damaged one."""
    return [read_summary(folder) for folder in folders]
