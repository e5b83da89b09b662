"""Every option that a message names exists on every command that can show the message."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import one_line

from fcpts_ref.cli import MAX_MESSAGE, build_parser, main
from fcpts_ref.cli.common import leaves

PACKAGE = Path(__file__).resolve().parents[2] / "fcpts_ref"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
NAMED = re.compile(r"fcpts-ref ((?:[a-z]+ ?)+)")
"""A command that a message names: its options are those of that command."""

LONG = "x" * 50_000
PRUNING = ("sparsify", "compare")
RUNNING = (*PRUNING, "evaluate", "predict", "trace")
EVERYWHERE_HOME = (*RUNNING, "train", "inspect", "data prepare", "data download", "models import",
                   "models export")  # fmt: skip
SHOWN_BY: dict[str, tuple[str, ...]] = {
    "data/archive.py": ("data prepare", "data download"),
    "data/packing.py": ("data prepare",),
    "data/prepared.py": ("sparsify",),
    "data/locations.py": EVERYWHERE_HOME,
    "data/sources.py": (*RUNNING, "train"),
    "interchange/checkpoints.py": ("models import", "sparsify"),
    "interchange/onnx/inputs.py": ("models import",),
    "experiments/cluster.py": ("compare",),
    "experiments/detection.py": ("evaluate", "sparsify", "compare", "train"),
    "experiments/grid.py": ("compare",),
    "experiments/inputs.py": ("sparsify",),
    "experiments/job.py": ("sparsify",),
    "experiments/networks.py": RUNNING,
    "experiments/worker.py": ("compare",),
    "pruning/channels/dsa.py": ("sparsify",),
    "oracle/adapters.py": ("conform check",),
    "oracle/check.py": ("conform check",),
    "oracle/report.py": ("conform check",),
    "oracle/replay.py": ("trace",),  # what made the file that diverge reads
    "oracle/trace.py": ("trace",),
    "oracle/cli.py": (),  # it defines them
    "pruning/fcpts/method.py": PRUNING,
}
"""Which commands show the messages of a module outside cli/."""


@functools.cache
def options() -> dict[str, set[str]]:
    """The options of every command, by its words."""
    found = {leaf.prog.removeprefix("fcpts-ref "): set(leaf._option_string_actions)
             for leaf in leaves(build_parser())}  # fmt: skip
    for name in list(found):  # "models": what any of its commands has
        group = name.split(" ")[0]
        if group != name:
            found[group] = found.get(group, set()) | found[name]
    return found


def texts(path: Path) -> Iterator[str]:
    """The texts of a module without docstrings; {} stands for what is put in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for value in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
            yield "".join(map(str, pieces))
        elif isinstance(node, ast.Constant) and id(node) not in docstrings | parts:
            yield node.value if isinstance(node.value, str) else ""


def named_options(text: str) -> Iterator[tuple[str | None, str]]:
    """Each option of a text, with the command that stands before it in its line, if any."""
    for line in text.splitlines() if "fcpts-ref" in text else [text]:
        for found in OPTION.finditer(line):
            before = NAMED.findall(line[: found.start()])
            yield (before[-1].strip() if before else None), found.group()


def modules() -> list[str]:
    """All modules but that of pytest's options."""
    found = (path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return sorted(set(found) - {"oracle/pytest_plugin.py"})


def shown_by(module: str, known: dict[str, set[str]]) -> tuple[str, ...]:
    name = module.removeprefix("cli/").removesuffix(".py")
    if module.startswith("cli/"):
        return (name,) if name in known else ()
    assert module in SHOWN_BY, f"add the commands that show messages of {module} to SHOWN_BY"
    return SHOWN_BY[module]


@pytest.mark.parametrize("module", modules())
def test_options_in_messages_exist(module: str) -> None:
    known, wrong = options(), []
    everywhere = set().union(*known.values())
    for text in texts(PACKAGE / module):
        for command, option in named_options(text):
            if command is not None and (words := [c for c in known if command.startswith(c)]):
                commands: tuple[str, ...] = (max(words, key=len),)
            else:
                commands = shown_by(module, known)
            missing = [one for one in commands if option not in known[one]]
            if missing or option not in everywhere | {"--version"}:
                wrong.append(f"{option} is not an option of {', '.join(missing)}: {text[:100]}")
    assert not wrong


def test_every_named_module_names_an_option() -> None:
    naming = {m for m in modules() if any(OPTION.search(t) for t in texts(PACKAGE / m))}
    assert set(SHOWN_BY) <= naming


def test_a_wrong_option_is_found() -> None:
    assert list(named_options("see 'fcpts-ref models import X --arch Y', or --no-such-thing")) == [
        ("models import", "--arch"),
        ("models import", "--no-such-thing"),
    ]
    assert "--no-such-thing" not in set().union(*options().values())


@pytest.mark.parametrize("words", [["inspect", LONG], ["sparsify", "--epochs", LONG], [LONG]])
def test_messages_are_short_and_end_with_what_to_do(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(words)
    except SystemExit as ended:
        code = ended.code
    message = capsys.readouterr().err
    assert code == 2
    assert len(message) <= MAX_MESSAGE + 1
    assert one_line(message)
