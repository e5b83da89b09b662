"""Jobs from the options of the command line and of configuration files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.pruning.registry import METHODS, method_settings
from fcpts_ref.pruning.settings import Setting, settings_of
from fcpts_ref.storage.records import check_names


@dataclass(frozen=True)
class Changes:
    """Fields of a job and settings of its method that were set explicitly."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def over(self, other: Changes) -> Changes:
        """Return both changes together; these override ``other``."""
        return Changes({**other.fields, **self.fields}, {**other.settings, **self.settings})

    def known_to(self, method: str) -> Changes:
        """Return the changes without settings that the method lacks."""
        known = method_settings(method)
        return replace(self, settings={k: v for k, v in self.settings.items() if k in known})

    def job(self) -> Job:
        """Return the job with these changes.  Raises InputError for a setting of another method."""
        method = self.fields.get("method", Job.method)
        known = {**method_settings(method)}
        for name in self.settings:
            if name not in known:
                options = ", ".join(f"--{one.option}" for one in known.values())
                raise InputError(
                    f"method {method!r} has no option --{method_options()[name].option}; "
                    f"it has {options}"
                )
        return Job(**self.fields, settings=dict(self.settings))

    def against(self, job: Job) -> Iterable[tuple[str, Any, Any]]:
        """Yield option, value and the job's value (None if unset) for every difference."""
        for name, value in self.fields.items():
            if value != getattr(job, name):
                yield job_options()[name].option, value, getattr(job, name)
        for name, value in self.settings.items():
            if value != job.settings.get(name):
                yield method_options()[name].option, value, job.settings.get(name)


def job_options() -> dict[str, Setting]:
    """Return the fields of a job that have an option, by field."""
    return {name: one for name, one in settings_of(Job).items() if name != "settings"}


def method_options() -> dict[str, Setting]:
    """Return the settings of all methods by field; a shared one is that of the first method."""
    found: dict[str, Setting] = {}
    for method in METHODS:
        found = method_settings(method) | found
    return found


def changes_of(options: Mapping[str, Any]) -> Changes:
    """Return the changes that options make.

    options: values by the option's name, without leading dashes; "-" and "_" are equivalent.
    Raises InputError for an unknown option and a value of another type.
    """
    of_job = {one.option: one for one in job_options().values()}
    of_method = {one.option: one for one in method_options().values()}
    given = {name.replace("_", "-"): value for name, value in options.items()}
    check_names(given, [*of_job, *of_method], "sparsify", "option")
    values = {name: (of_job | of_method)[name].from_option(v) for name, v in given.items()}
    return Changes(
        {of_job[name].name: v for name, v in values.items() if name in of_job},
        {of_method[name].name: v for name, v in values.items() if name not in of_job},
    )
