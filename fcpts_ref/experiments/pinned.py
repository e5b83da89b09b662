"""A started job: its resolved settings and the checksums of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import network_sha256
from fcpts_ref.experiments.inputs import Inputs
from fcpts_ref.experiments.job import Job
from fcpts_ref.pruning.method import Method
from fcpts_ref.pruning.registry import method_settings
from fcpts_ref.storage.json_files import as_json, read_json, write_json
from fcpts_ref.storage.records import record_from_json

JOB_FILE = "job.json"


@dataclass(frozen=True)
class PinnedJob:
    """A job with the defaults and the inputs that it had when it was started.

    settings: every setting of the method, and its conventions if it has any.
    calibration: the number of calibration images.
    """

    job: Job
    settings: Mapping[str, Any]
    calibration: int
    network_sha256: str
    images_sha256: str

    def make_method(self) -> Method:
        """Return the job's method, with today's defaults for settings that it leaves open."""
        kept = {k: v for k, v in self.settings.items() if k == "augmentation"}
        return self.job.make_method(**kept)

    def check_defaults(self, folder: Path) -> None:
        """Raise InputError if the defaults have changed since the run was started.

        A setting that is new and None changes nothing.
        """
        now = all_settings(self.make_method())
        known = method_settings(self.job.method)
        changed = sorted(
            f"--{known[k].option}" if k in known else k
            for k in {*now, *self.settings}
            if now.get(k) != self.settings.get(k)
        )
        if changed:
            raise InputError(
                f"{folder} was started with other defaults ({', '.join(changed)}), by another "
                "version; start again in a new folder"
            )


def pin(job: Job, inputs: Inputs) -> PinnedJob:
    """Return the job with its settings resolved and its inputs pinned.

    If the method augments by default, it uses the augmentation of the data set: digits may be
    shifted but not mirrored.
    """
    method = job.make_method()
    if getattr(method, "augmentation", "none") != "none":
        method = job.make_method(augmentation=inputs.dataset.augmentation)
    return PinnedJob(
        job=job,
        settings=all_settings(method),
        calibration=len(inputs.images),
        network_sha256=network_sha256(inputs.network),
        images_sha256=inputs.images.sha256(),
    )


def all_settings(method: Any) -> dict[str, Any]:
    """Return every setting of a method, and its conventions, as JSON data."""
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
