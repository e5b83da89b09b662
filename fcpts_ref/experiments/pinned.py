"""A job that has begun: what its settings came to, and checksums of what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import network_sha256
from fcpts_ref.experiments.inputs import Inputs
from fcpts_ref.experiments.job import Job
from fcpts_ref.pruning.common import Method
from fcpts_ref.storage.hdf5 import array_sha256
from fcpts_ref.storage.json_files import as_json, read_json, write_json
from fcpts_ref.storage.records import record_from_json

JOB_FILE = "job.json"


@dataclass(frozen=True)
class PinnedJob:
    """A job and everything that it leaves to defaults and files, as it was when it began.

    settings: every setting of the method, and its conventions if it has some.
    calibration: the number of calibration images.
    """

    job: Job
    settings: Mapping[str, Any]
    calibration: int
    network_sha256: str
    images_sha256: str

    def make_method(self) -> Method:
        """Return the method that was begun, with today's defaults where the job says nothing."""
        kept = {k: v for k, v in self.settings.items() if k == "augmentation"}
        return self.job.make_method(**kept)

    def check_defaults(self, folder: Path) -> None:
        """Raise InputError if the defaults are no longer those that the run began with."""
        now = all_settings(self.make_method())
        if now != self.settings:
            changed = sorted(
                k for k in {*now, *self.settings} if now.get(k) != self.settings.get(k)
            )
            raise InputError(
                f"{folder} was begun with other defaults ({', '.join(changed)}), by another "
                "version; start it again in a new folder"
            )


def pin(job: Job, inputs: Inputs) -> PinnedJob:
    """Return the job with its settings resolved and its inputs pinned.

    Where the method augments by default, it does so as the data set allows: digits may be shifted
    but not mirrored.
    """
    method = job.make_method()
    if getattr(method, "augmentation", "none") != "none":
        method = job.make_method(augmentation=inputs.dataset.augmentation)
    return PinnedJob(
        job=job,
        settings=all_settings(method),
        calibration=len(inputs.images),
        network_sha256=network_sha256(inputs.network),
        images_sha256=array_sha256(inputs.images),
    )


def all_settings(method: Any) -> dict[str, Any]:
    """Return every setting of a method, and its conventions, as JSON holds them."""
    everything = asdict(method)
    if hasattr(method, "conventions"):
        everything["conventions"] = asdict(method.conventions)
    plain: dict[str, Any] = as_json(everything)
    return plain


def write_pinned(folder: Path, pinned: PinnedJob) -> None:
    """Write job.json.  Raises InputError if that fails."""
    write_json(folder / JOB_FILE, asdict(pinned))


def read_pinned(folder: Path) -> PinnedJob:
    """Read job.json.  Raises InputError for a folder that holds none."""
    path = folder / JOB_FILE
    return record_from_json(PinnedJob, read_json(path), str(path))
