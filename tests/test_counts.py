"""Numbers in messages agree with their nouns: "1 network", never "1 networks"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import fcpts_ref

PACKAGE = Path(fcpts_ref.__file__).parent
LIMIT = re.compile(r"[A-Z][A-Z_]*[A-Z]( .*)?")
"""A placeholder that is a constant, such as MAX_BYTES >> 20: its number is known."""


def formatted(tree: ast.AST) -> Iterator[tuple[ast.JoinedStr, str]]:
    """Each text with placeholders, {CODE} where its number is known and {} elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = []
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    code = ast.unparse(value.value)
                    pieces.append("{LIMIT}" if LIMIT.fullmatch(code) else "{}")
                elif isinstance(value, ast.Constant):
                    pieces.append(str(value.value))
            yield node, "".join(pieces)


def plurals(trees: dict[str, ast.AST]) -> set[str]:
    """The plurals of every noun that is written in a call of ``counted`` somewhere."""
    found = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "counted":
                words = [str(a.value) for a in node.args[1:] if isinstance(a, ast.Constant)]
                if words:
                    found.add(words[1] if len(words) > 1 else words[0] + "s")
    return found


OTHERWISE = {
    "cli/channels.py": "layers",  # a single one is called "alone"
    "cli/sparsify.py": "labels",  # a word is put in
    "data/download.py": "bytes",  # as the server wrote it
    "data/pictures.py": "bytes",  # a limit
    "detection/priors.py": "cells",  # two sides
    "experiments/networks.py": "names",  # a verb
    "gradcheck/relations.py": "times",  # no whole number
    "interchange/onnx/constants.py": "bytes",  # a limit
    "interchange/onnx/operators/shapes.py": "times",  # several numbers
    "interchange/onnx/tensors.py": "names",  # a verb
    "oracle/compare.py": "times",  # no whole number
    "oracle/diverge_report.py": "elements",  # told of several only
    "oracle/report.py": "elements",  # told of several only
}
"""Placeholders before a noun that are no count, or never 1, by module."""


def test_every_count_is_written_by_counted() -> None:
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
    }
    nouns = "|".join(sorted(map(re.escape, plurals(trees))))
    pattern = re.compile(rf"(?<!x )(?<!x)\{{\}} ({nouns})\b")  # not sides, as in 3 x 1 pixels
    wrong = [
        f"{name}:{node.lineno}: {found.group()}"
        for name, tree in sorted(trees.items())
        for node, text in formatted(tree)
        for found in pattern.finditer(text)
        if OTHERWISE.get(name) != found[1]
    ]
    assert wrong == []
