"""Write docs/mistakes.md from the catalogue: ``python -m tools.mistakes_page``."""

from __future__ import annotations

from pathlib import Path

from fcpts_ref.oracle.mistakes.page import make_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "mistakes.md"

if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
