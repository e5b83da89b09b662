"""Locations of the data and networks that come with the package."""

from __future__ import annotations

from pathlib import Path

from fcpts_ref.errors import InputError

PACKAGE = Path(__file__).resolve().parent
FOLDERS = (
    PACKAGE / "_data",  # in a wheel, inside the package
    PACKAGE / "_models",
    PACKAGE.parent / "data",  # in a checkout, beside it
    PACKAGE.parent / "models",
)


def resource_path(name: str) -> Path:
    """Return the path of a file or folder of ``data/`` or ``models/``, such as ``"vectors"``.

    Works in an installed wheel and in a checkout.  Raises ``InputError`` if there is no such
    resource.
    """
    for folder in FOLDERS:
        if (folder / name).exists():
            return folder / name
    raise InputError(
        f"no resource {name!r} beside or inside {PACKAGE}; install fcpts-ref as a wheel or "
        "run it from a complete checkout"
    )
