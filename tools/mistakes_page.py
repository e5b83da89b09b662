"""Write docs/mistakes.md and docs/operations-of-vectors.md: ``python -m tools.mistakes_page``."""

from __future__ import annotations

from pathlib import Path

from fcpts_ref.oracle.mistakes.page import make_page
from fcpts_ref.oracle.operation_pages import make_operations_page

DOCS = Path(__file__).resolve().parents[1] / "docs"

if __name__ == "__main__":
    (DOCS / "mistakes.md").write_text(make_page(), encoding="utf-8")
    (DOCS / "operations-of-vectors.md").write_text(make_operations_page(), encoding="utf-8")
