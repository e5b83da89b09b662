"""A profile means the same on the command line and in Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Place, Run

from fcpts_ref.pruning.fcpts.method import FCPTS, PROFILE_SETTINGS


@pytest.mark.parametrize("profile", [None, *PROFILE_SETTINGS])
def test_a_profile_is_that_of_fcpts(
    run: Run, place: Place, tmp_path: Path, profile: str | None
) -> None:
    """If the profile augments, the data set decides how: here by the profile's default."""
    words = () if profile is None else (f"--profile={profile}",)
    short = ("--quiet", "--epochs=1", "--batch-size=20", "--out", tmp_path / "run")
    result = run("sparsify", *place.options, *words, *short)
    assert result.code == 0, result.err
    settings = json.loads((tmp_path / "run" / "job.json").read_text())["settings"]
    said = {} if profile is None else {"profile": profile}
    method = FCPTS(**said, epochs=1, batch_size=20)
    for name in ("profile", *PROFILE_SETTINGS["extended"]):
        assert settings[name] == getattr(method, name), name
