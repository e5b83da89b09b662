"""The user's cache folder for this program, on every platform."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def user_cache() -> Path | None:
    """Return the folder, which need not exist; None for a user without a home directory.

    XDG_CACHE_HOME/fcpts-ref or ~/.cache/fcpts-ref, on macOS ~/Library/Caches/fcpts-ref, on
    Windows %LOCALAPPDATA%\\fcpts-ref.
    """
    try:
        folder = platformdirs.user_cache_path("fcpts-ref", appauthor=False, opinion=False)
    except RuntimeError:  # newer versions of platformdirs; older ones return "~"
        return None
    return folder if folder.is_absolute() else None
