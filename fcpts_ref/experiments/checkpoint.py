"""The checkpoint of a run: the state of the method and of the generator after a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.pruning.method import Method
from fcpts_ref.storage.network_files import read_arrays, write_arrays

CHECKPOINT = "checkpoint.h5"


@dataclass(frozen=True)
class Checkpoint:
    """A stored state.

    state: of the method.  stages_done: the number of stages that led to it.  seconds: of all
    sessions.  versions: those that the run was begun with.
    """

    state: Any
    stages_done: int
    seconds: float
    versions: Mapping[str, str]


def read_checkpoint(
    folder: Path, method: Method, generator: np.random.Generator, pinned: Mapping[str, Any]
) -> Checkpoint | None:
    """Return the last checkpoint and set the generator to its state; None if there is none.

    Raises InputError for a checkpoint of another job, of other inputs, or of another method.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    arrays, notes = read_arrays(path)
    if notes.get("job") != pinned:
        raise InputError(
            f"{path} is of another job or other inputs; remove it to start from the beginning"
        )
    try:
        state = method.unpack(arrays, notes["state"])
        generator.bit_generator.state = notes["generator"]
        return Checkpoint(
            state, int(notes["stages_done"]), float(notes["seconds"]), dict(notes["versions"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is no checkpoint of this method ({error}); remove it to start from the "
            "beginning"
        ) from error


def write_checkpoint(
    folder: Path,
    method: Method,
    checkpoint: Checkpoint,
    generator: np.random.Generator,
    pinned: Mapping[str, Any],
) -> None:
    """Write checkpoint.h5, whole or not at all.  Raises InputError if that fails."""
    arrays, notes = method.pack(checkpoint.state)
    everything = {
        "job": pinned,
        "state": notes,
        "stages_done": checkpoint.stages_done,
        "seconds": checkpoint.seconds,
        "versions": dict(checkpoint.versions),
        "generator": generator.bit_generator.state,
    }
    write_arrays(folder / CHECKPOINT, arrays, everything)


def version_changes(before: Mapping[str, str]) -> str:
    """Return the versions that differ from those of a checkpoint; empty if none do."""
    return ", ".join(
        f"{name} {before[name]} -> {now}"
        for name, now in versions().items()
        if before.get(name, now) != now
    )
