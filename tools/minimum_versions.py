"""``python tools/minimum_versions.py``: pip constraints that hold every dependency at its minimum.

The minima are those of pyproject.toml, for the dependencies and the extras that users install.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
EXTRAS = ("plot", "tbb", "test")


def constraints(project: Path = PROJECT) -> list[str]:
    """``name==minimum; marker`` for every requirement that a user installs."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = [text for extra in EXTRAS for text in table["optional-dependencies"][extra]]
    return [_at_minimum(Requirement(text)) for text in [*table["dependencies"], *extras]]


def _at_minimum(requirement: Requirement) -> str:
    minima = [item.version for item in requirement.specifier if item.operator in (">=", "==")]
    if len(minima) != 1:
        raise SystemExit(f"pyproject.toml: {requirement} needs one lower bound, such as >=1.2")
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}=={minima[0]}{marker}"


if __name__ == "__main__":
    print("\n".join(constraints()))
