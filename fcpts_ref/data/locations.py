"""Where a user's data sets and models are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fcpts_ref.errors import InputError

HOME_VARIABLE = "FCPTS_REF_HOME"


def home_folder(flag: Path | str | None = None) -> Path:
    """Return the folder that holds data sets and models; it need not exist yet.

    In this order: ``flag`` (what the user gave on the command line), the environment
    variable FCPTS_REF_HOME, the platform's cache folder: XDG_CACHE_HOME/fcpts-ref or
    ~/.cache/fcpts-ref, on macOS ~/Library/Caches/fcpts-ref, on Windows
    %LOCALAPPDATA%\\fcpts-ref.  Data sets lie in its folder "data", models in "models".

    Raises InputError if the place named is there but is not a folder.
    """
    named = flag or os.environ.get(HOME_VARIABLE)
    folder = Path(named).expanduser() if named else _user_cache() / "fcpts-ref"
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{folder} is a file, expected a folder for data and models: name another one by "
            f"the flag or by {HOME_VARIABLE}"
        )
    return folder


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    named = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return named if named.is_absolute() else Path.home() / ".cache"  # the XDG rule for relative
