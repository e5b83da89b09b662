"""fcpts-ref models architectures: what is built in, and whose checkpoints are recognised."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from typing import Any

from fcpts_ref.architectures.registry import ARCHITECTURES, find_architecture
from fcpts_ref.cli.tables import table

EXAMPLES = ("resnet20", "resnet32", "resnet56", "plain3")
"""Names of architectures of any depth."""
GENERAL = {"resnet20": "resnetN", "resnet32": "", "resnet56": "", "plain3": "plainN"}


def add_architectures_parser(actions: Any) -> None:
    """Add the command to ``actions``."""
    text = "list the architectures that are built in, and the checkpoints that are recognised"
    description = f"{text[0].upper()}{text[1:]}."
    parser = actions.add_parser("architectures", help=text, description=description)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the tables and return the exit code."""
    architectures = list(describe_architectures())
    if arguments.json:
        print(json.dumps(architectures, indent=2))
        return 0
    sizes = [
        (
            _title(row, row["name"]),
            "x".join(map(str, row["input_shape"])),
            str(row["classes"]),
            str(row["layers"]),
            f"{row['weights']:,}",
        )
        for row in architectures
    ]
    print(table(("architecture", "images", "classes", "layers", "weights"), sizes, left=2))
    print("\nresnetN (N = 6n + 2, for CIFAR) and plainN exist for any N; classes and the size")
    print("of the images are defaults. Checkpoints with these names are recognised:\n")
    print(table(("architecture", "names of"), list(_names(architectures)), left=2))
    return 0


def _title(row: dict[str, Any], name: str) -> str:
    return f"{name} --shortcut B" if name and row["shortcut"] == "B" else name


def _names(architectures: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the names that are recognised, a line each, for one architecture of any depth."""
    for row in architectures:
        title = _title(row, GENERAL.get(row["name"], row["name"]))
        for source in row["names"] if title else ():
            yield title, source
            title = ""


def describe_architectures() -> Iterator[dict[str, Any]]:
    """Yield every architecture as plain data, those with shortcuts of option B apart."""
    for name in (*ARCHITECTURES, *EXAMPLES):
        row = find_architecture(name)
        for shortcut in dict.fromkeys(layout.settings.get("shortcut") for layout in row.layouts):
            graph = row.graph(shortcut=shortcut)
            shapes = graph.parameter_shapes
            sources = [
                one.source for one in row.layouts if one.settings.get("shortcut") == shortcut
            ]
            yield {
                "name": name,
                "shortcut": shortcut,
                "input_shape": list(graph.input_shape),
                "classes": graph.classes,
                "layers": len(graph.prunable),
                "weights": sum(math.prod(shapes[weight]) for weight in graph.prunable),
                "parameters": sum(map(math.prod, shapes.values())),
                "names": list(dict.fromkeys(sources)),
            }
