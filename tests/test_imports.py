"""The direction of dependencies that docs/architecture.md draws, and the cost of an import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]  # the checkout: an installed package has no docs
PACKAGE = ROOT / "fcpts_ref"
PAGE = ROOT / "docs" / "architecture.md"

RUN_TIME = {
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "h5py",
    "tqdm",
    "filelock",
    "platformdirs",
    "safetensors",
    "threadpoolctl",
}
# Optional, and only where named.
OPTIONAL = {
    "dask": "experiments",
    "distributed": "experiments",
    "PIL": "data",
    "matplotlib": "experiments",
    "shtab": "cli",
    "torch": "gradcheck",
    "onnx": "interchange",
    "google": "interchange",  # protobuf, which onnx installs
    "pytest": "oracle",
}

Found = tuple[str, str]  # a module's path, and what it imports, also inside functions


def imports_of(path: Path) -> Iterator[Found]:
    where = path.relative_to(PACKAGE).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield where, alias.name
        elif isinstance(node, ast.ImportFrom):
            package = ["fcpts_ref", *path.relative_to(PACKAGE).parts[:-1]]
            package = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*package, *filter(None, [node.module])])
            for alias in node.names:  # a name of a package may be one of its modules
                inside_it = (ROOT / module.replace(".", "/")).is_dir()
                yield where, f"{module}.{alias.name}" if inside_it else module


def all_imports() -> list[Found]:
    return [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]


def levels() -> dict[str, int]:
    """The level of every part of the package, counted from the bottom, in the page's drawing."""
    drawing = PAGE.read_text(encoding="utf-8").split("```")[1]
    rows = [line[:35].replace("/", " ").replace(",", " ").split() for line in drawing.splitlines()]
    return {name: level for level, names in enumerate(rows) for name in names}


def part_of(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def test_the_drawing_has_every_part():
    parts = {part_of(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py")}
    assert parts - {"__init__", "__main__"} <= set(levels())


def test_imports_go_one_way():
    level = levels()
    upwards = []
    for where, imported in all_imports():
        part = part_of(where)
        if not imported.startswith("fcpts_ref.") or part in ("__init__", "__main__"):
            continue
        other = imported.split(".")[1]
        if not other.startswith("__") and level[other] > level[part]:
            upwards.append(f"{where} imports {imported}")
    assert not upwards


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A cycle of the graph, or an empty list."""
    done: set[str] = set()
    path: list[str] = []

    def walk(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            path.append(name)
            for other in sorted(graph.get(name, ())):
                if found := walk(other):
                    return found
            done.add(path.pop())
        return []

    return next((found for name in sorted(graph) if (found := walk(name))), [])


def test_a_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_cycle_of_files():
    """Imports inside functions count as well."""
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for where, imported in all_imports():
        if not imported.startswith("fcpts_ref.") or where in ("__init__.py", "__main__.py"):
            continue
        name = imported.removeprefix("fcpts_ref.").replace(".", "/")
        for module in (f"{name}.py", f"{name}/__init__.py"):
            if module in modules and module != where:
                graph.setdefault(where, set()).add(module)
    assert graph
    assert cycle(graph) == []


def test_foreign_packages_are_those_that_are_declared():
    foreign = []
    for where, imported in all_imports():
        package = imported.split(".")[0]
        if package in sys.stdlib_module_names or package in RUN_TIME | {"fcpts_ref"}:
            continue
        if OPTIONAL.get(package) != part_of(where):
            foreign.append(f"{where} imports {imported}")
    assert not foreign


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import fcpts_ref", ("numpy", "numba")),
        (
            "from fcpts_ref import sparsify, resnet; import fcpts_ref.spec.equations",
            ("numba", "h5py"),
        ),
        ("import fcpts_ref.cli", ("numba",)),
    ],
)
def test_importing_is_light(code, absent):
    """Imports load no optional package, and Numba only when its engine is made."""
    unwanted = ("torch", "matplotlib", "mpmath", "sklearn", *absent)
    script = f"{code}; import sys; print([m for m in {unwanted!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_no_cycle_of_folders():
    """Also between folders on one floor, and inside the fast engine."""
    graph: dict[str, set[str]] = {}
    for where, imported in all_imports():
        if not imported.startswith("fcpts_ref.") or where in ("__init__.py", "__main__.py"):
            continue
        name = imported.removeprefix("fcpts_ref.").replace(".", "/")
        path = PACKAGE / f"{name}.py"
        here = where.rpartition("/")[0]
        there = (path if path.exists() else PACKAGE / name / "x").parent
        other = there.relative_to(PACKAGE).as_posix()
        related = here.startswith(f"{other}/") or other.startswith(f"{here}/")
        if here and other not in (here, ".") and not related:
            graph.setdefault(here, set()).add(other)
    assert graph
    assert cycle(graph) == []


def test_no_private_name_is_imported_from_another_module():
    private = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [alias.name for alias in node.names]
                private += [f"{path.name}: {n}" for n in names if n.startswith("_") and n != "_"]
    assert [name for name in private if "__" not in name] == []
