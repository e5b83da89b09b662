"""The folder of a user's data sets and models."""

from __future__ import annotations

import os
from pathlib import Path

from fcpts_ref.errors import InputError
from fcpts_ref.storage.user_cache import user_cache

HOME_VARIABLE = "FCPTS_REF_HOME"


class NoHomeError(InputError):
    """The user has no home directory and names no folder; the package's own files need none."""


def home_folder(flag: Path | str | None = None) -> Path:
    """Return the folder that holds data sets and models; it need not exist yet.

    The first of: ``flag`` (from the command line), the environment variable FCPTS_REF_HOME, the
    user's cache folder (``user_cache``).  It holds data sets in "data" and models in "models".

    Raises InputError if the folder named is a file, and NoHomeError for a user without a home
    directory.
    """
    named = flag or os.environ.get(HOME_VARIABLE)
    try:
        folder = Path(named).expanduser() if named else user_cache()
    except RuntimeError as error:
        raise InputError(f"{named}: {error}: give a path without ~") from error
    if folder is None:
        raise NoHomeError(
            f"this user has no home directory; set {HOME_VARIABLE} to a folder for data and models"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{folder} is a file, expected a folder for data and models: give another one with "
            f"--home or {HOME_VARIABLE}"
        )
    return folder
