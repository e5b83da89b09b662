"""MkDocs hooks that make the site's pages from the checkout.

The API pages and the navigation come from the package's tree, the overview and the guides from the
Markdown files of the checkout, the code on the first page from the functions in ``EQUATIONS``.
"""

from __future__ import annotations

import ast
import inspect
import posixpath
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

from fcpts_ref.spec.equations import EQUATIONS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "fcpts_ref"
# Markdown files outside docs/ that are pages too, by their place in the site.
OUTSIDE = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "data/README.md": "embedded_data.md",
    "models/README.md": "embedded_models.md",
}
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
MATH = re.compile(
    r'<(?P<tag>div|span) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</', re.DOTALL
)


# Pages


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that do not lie in docs/ and order the navigation."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for page, module in api_pages().items():
        text = f"# {module.rpartition('.')[2]}\n\n`{module}`\n\n::: {module}\n"
        files.append(File.generated(config, page, content=text))
    config.nav = navigation()
    return files


def api_pages() -> dict[str, str]:
    """The module of every API page; a package's page is the index of its folder."""
    pages = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            pages["/".join(("api", *parts[1:-1], "index.md"))] = ".".join(parts[:-1])
        elif not parts[-1].startswith("_"):
            pages["/".join(("api", *parts[1:])) + ".md"] = ".".join(parts)
    return pages


def navigation() -> list[Any]:
    """First page, overview, guides in the order in which the README names them, API, project."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(docs/([\w-]+\.md)", readme)
    every = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "index.md")
    guides = list(dict.fromkeys([name for name in named if name in every] + every))
    project = [page for page in OUTSIDE.values() if page != "overview.md"]
    return [
        {"Equations": "index.md"},
        {"Overview": "overview.md"},
        {"Guides": guides},
        {"API": _tree(api_pages())},
        {"Project": project},
    ]


def _tree(pages: dict[str, str]) -> list[Any]:
    """Pages as nested sections, one for each folder; its index and its modules come first."""
    top: list[Any] = []
    sections: dict[str, list[Any]] = {"api": top}
    for page in sorted(pages, key=lambda page: (posixpath.dirname(page), page)):
        folder = posixpath.dirname(page)
        if folder not in sections:
            sections[folder] = []
            sections[posixpath.dirname(folder)].append(
                {posixpath.basename(folder): sections[folder]}
            )
        entry = {posixpath.basename(page).removesuffix(".md"): page}
        sections[folder].append(page if page.endswith("index.md") else entry)
    return top


# Text


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at pages of the site, and put the code beside the equations."""
    place = page.file.src_uri
    source = {page: source for source, page in OUTSIDE.items()}.get(place, f"docs/{place}")
    text = LINK.sub(lambda link: site_link(link, source, place), markdown)
    return _beside(text) if place == "index.md" else text


def on_page_content(html: str, **_: Any) -> str:
    """Set LaTeX as MathML, which browsers draw by themselves."""

    def mathml(found: re.Match[str]) -> str:
        display = "block" if found["tag"] == "div" else "inline"
        latex = found["latex"].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
        return f'<{found["tag"]} class="arithmatex">{convert(latex, display=display)}</'

    return MATH.sub(mathml, html)


def site_link(link: re.Match[str], source: str, place: str) -> str:
    """The same link between pages of the site; only its text where the target is not one."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["target"]))
    pages = {module.replace(".", "/"): page for page, module in api_pages().items()}
    if target in OUTSIDE:
        goal = OUTSIDE[target]
    elif target.startswith("docs/"):
        goal = target.removeprefix("docs/")
    elif target.removesuffix(".py") in pages:
        goal = pages[target.removesuffix(".py")]
    else:
        return link["text"]
    there = posixpath.relpath(goal, posixpath.dirname(place) or ".")
    return f"[{link['text']}]({there}{link['anchor'] or ''})"


def _beside(markdown: str) -> str:
    """Every section of the first page with its code, as two columns."""
    head, *sections = re.split(r"^(?=## )", markdown, flags=re.MULTILINE)
    return head + "".join(_columns(section) for section in sections)


def _columns(section: str) -> str:
    title, _, text = section.partition("\n")
    marker = re.search(r"<!-- code: (\d+) -->\n?", text)
    code = "".join(map(_listing, EQUATIONS[int(marker[1])])) if marker else ""
    text = text.replace(marker[0], "") if marker else text
    return (
        f'<div class="equation" markdown>\n{title}\n\n<div markdown>\n{text}\n</div>\n\n'
        f'<div class="code" markdown>\n\n{code}</div>\n</div>\n\n'
    )


def _listing(function: Callable[..., Any]) -> str:
    name = f"{function.__module__}.{function.__qualname__}"
    return f"[`{function.__name__}`][{name}]\n\n```python\n{essence(function)}\n```\n\n"


def essence(function: Callable[..., Any]) -> str:
    """The source of a function: names of arguments, then statements; no docstring, no checks."""
    source = textwrap.dedent(inspect.getsource(function))
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    lines = source.splitlines()
    for node in definition.body:
        check = isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise)
        if check or isinstance(node, ast.Expr):  # a docstring, or a call for its errors alone
            assert node.end_lineno is not None
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    body = lines[definition.body[0].lineno - 1 :]
    return "\n".join([_signature(definition), *filter(None, body)])


def _signature(definition: ast.FunctionDef) -> str:
    """``def name(arguments):`` without types."""
    for node in ast.walk(definition.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    return f"def {definition.name}({ast.unparse(definition.args)}):"
