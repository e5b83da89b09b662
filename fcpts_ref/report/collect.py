"""Finding finished runs and reading what they left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.experiments import runs

DENSE = "dense.json"
"""What ``compare`` notes about its networks before they are pruned."""


def run_folders(places: Iterable[Path]) -> list[Path]:
    """All folders with a summary in or under these places, each once.

    Raises InputError for a place where there is none.
    """
    found: dict[Path, None] = {}
    for place in places:
        here = sorted(path.parent for path in place.rglob(runs.SUMMARY))
        if not here:
            raise InputError(f"there is no finished run in {place}; give a run's folder")
        found |= dict.fromkeys(here)
    return list(found)


def summaries_in(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """The summaries of runs.  Raises InputError for a file that is none."""
    summaries = []
    for folder in folders:
        summary = runs.read_json(folder / runs.SUMMARY)
        if not isinstance(summary, dict) or "settings" not in summary:
            raise InputError(f"{folder / runs.SUMMARY} is not of a run; give a run's folder")
        summaries.append(summary)
    return summaries


def read_dense(folder: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """Top-1 and top-5 of dense networks by data and SHA-256, as far as the folder knows them."""
    path = folder / DENSE
    if not path.exists():
        return {}
    try:
        return {
            (str(e["data"]), str(e["sha256"])): (float(e["top1"]), float(e["top5"]))
            for e in runs.read_json(path)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it to measure anew") from error
