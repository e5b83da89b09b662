"""The site's first page and the hooks that make its pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fcpts_ref.spec.equations import EQUATIONS

ROOT = Path(__file__).resolve().parents[2]
FIRST_PAGE = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


def test_the_first_page_sets_every_equation() -> None:
    sections = re.split(r"^## ", FIRST_PAGE, flags=re.MULTILINE)[1:]
    assert [int(re.findall(r"\d+", text)[0]) for text in sections] == list(EQUATIONS)
    for number, text in zip(EQUATIONS, sections, strict=True):
        assert "$$" in text
        assert number == 6 or f"<!-- code: {number} -->" in text  # 6 is the problem itself


@pytest.fixture
def website():
    pytest.importorskip("mkdocs")
    pytest.importorskip("latex2mathml")
    from tools import website

    return website


def test_every_public_module_has_a_page(website) -> None:
    pages = website.api_pages()
    assert pages["api/index.md"] == "fcpts_ref"
    assert pages["api/errors.md"] == "fcpts_ref.errors"
    assert "api/__main__.md" not in pages
    modules = {path.stem for path in (ROOT / "fcpts_ref").rglob("*.py")}
    assert {name for name in modules if not name.startswith("_")} <= {Path(p).stem for p in pages}


def test_links_lead_to_pages_or_become_text(website) -> None:
    def change(text: str, source: str, page: str) -> str:
        return website.LINK.sub(lambda link: website.site_link(link, source, page), text)

    assert change("[a](docs/b.md#c)", "README.md", "overview.md") == "[a](b.md#c)"
    assert change("[a](../README.md)", "docs/b.md", "b.md") == "[a](overview.md)"
    assert change("[a](../fcpts_ref/errors.py)", "docs/b.md", "b.md") == "[a](api/errors.md)"
    assert change("[a](../tests/conftest.py)", "docs/b.md", "b.md") == "a"
    for text in ("[a](https://b.c/d)", "[a](#b)", "[a](b.md)", "![a](b/c.png)"):
        assert change(text, "docs/d.md", "d.md") == text


def test_code_without_docstring_and_checks(website) -> None:
    def double(x: float, *, factor: float = 2) -> float:
        """Doubles."""
        if x < 0:
            raise ValueError
        print(x)
        return x * factor  # the product

    assert website.essence(double) == (
        "def double(x, *, factor=2):\n    return x * factor  # the product"
    )


def test_latex_becomes_mathml(website) -> None:
    html = website.on_page_content(r'<p><span class="arithmatex">\(a &lt; b\)</span></p>')
    assert "<math" in html
    assert "<mi>a</mi><mo>&#x0003C;</mo><mi>b</mi>" in html
    assert "\\(" not in html
