"""Write the tables of docs/performance.md anew from the results beside it.

A table follows a line ``<!-- table: NAME -->``.  Measures nothing, and takes no option.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.deployment import PAPER
from bench.step import TARGETS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
SHAPES = ((16, 16, 32, 1), (32, 32, 16, 1), (64, 64, 8, 1), (32, 64, 16, 2))
Rows = Iterable[Iterable[object]]
IMAGENET = (
    ("ResNet-18", "resnet18-inference"),
    ("ResNet-18", "resnet18-inference-again"),
    ("ResNet-50", "resnet50-inference"),
    ("ResNet-18", "resnet18-step"),
    ("ResNet-18", "resnet18-step-again"),
    ("ResNet-50", "resnet50-step"),
    ("MobileNetV2", "mobilenet-step"),
    ("ViT-B/32", "vit-step"),
    ("ViT-B/32", "vit-teacher"),
    ("ResNet-18", "resnet18-memory"),
    ("ResNet-50", "resnet50-memory"),
    ("MobileNetV2", "mobilenet-memory"),
    ("ViT-B/32", "vit-memory"),
)
ENGINES = (
    ("ResNet-32, 2", "engines"),
    ("ResNet-32, 1", "engines-1"),
    ("ResNet-18, 2", "engines-resnet18"),
    ("MobileNetV2, 2", "engines-mobilenet"),
)


def run(arguments: argparse.Namespace) -> dict[str, str]:
    """Write the page; the tables by name."""
    if arguments.json:
        raise SystemExit("document has no results of its own; leave out --json")
    tables = made_tables(PAGE.with_suffix(""))
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables.items():
        print(f"{name}\n\n{table}")
        text, found = re.subn(
            rf"(<!-- table: {name} -->\n\n)(\|.*\n)+", lambda match, t=table: match[1] + t, text
        )
        if found != 1:
            raise SystemExit(f"{PAGE} has {found} places for the table {name}; expected 1")
    PAGE.write_text(text, encoding="utf-8")
    return tables


def made_tables(folder: Path) -> dict[str, str]:
    """Every table in Markdown, by name."""

    def results(name: str) -> Any:
        return json.loads((folder / f"{name}.json").read_text())["results"]

    sweeps = results("sweeps")
    return {
        "step": _steps(results("step"), results("step-again")),
        "inference": _sweep("inference at a sparsity of", sweeps["sparse inference by sparsity"]),
        "sparsity": _sweep(
            "FCPTS step, released profile, at", sweeps["FCPTS step, released, by sparsity"]
        ),
        "batch": _sweep(
            "FCPTS step, paper profile, 90 %, batch of", sweeps["FCPTS step, paper 90 %, by batch"]
        ),
        "threads": _sweep("the same, threads", sweeps["FCPTS step, paper 90 %, by threads"]),
        "float64": _sweep("float64", sweeps["float64"]),
        "engines": _engines((title, results(name)["milliseconds"]) for title, name in ENGINES),
        "convolution": _convolutions(results("convolution")),
        "imagenet": _imagenet((title, results(name)) for title, name in IMAGENET),
        "detector": _detector(results("detector")),
        "shared": _table(
            ("", "quiet", "busy"),
            (
                (side, f"{row['quiet']:.1f}", f"{row['busy']:.1f}")
                for side, row in results("shared").items()
            ),
        ),
        "deployment": _deployment(results("deployment")),
        "cold": _table(
            ("", "compiling in the run itself", "in all"),
            (
                (side, *(_listed(rounds, key) for key in ("compiling", "in all")))
                for side, rounds in results("cold").items()
            ),
        ),
    }


def _table(head: Iterable[object], rows: Rows) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _deployment(found: Any) -> str:
    head = "network", "pruned", "ms", "speed-up", "MB", "dense MB", "paper's ms", "paper's MB"
    rows = (
        (
            network,
            f"{100 * float(rate):.0f} %",
            *(f"{row[key]:.2f}" for key in ("ms", "speed_up", "megabytes", "dense_megabytes")),
            *PAPER.get((network, float(rate)), ("", "")),
        )
        for network, own in found.items()
        for rate, row in own.items()
    )
    return _table(head, rows)


def _steps(first: Any, again: Any) -> str:
    head = "work", "ours", "PyTorch contiguous", "channels-last", "ratio", "again", "aimed at"
    rows = []
    for work, row in first.items():
        times = (f"{row[side]:.1f}" for side in ("ours", "contiguous", "channels_last"))
        ratios = (f"{ratio:.2f}" for ratio in (row["ratio"], again[work]["ratio"], TARGETS[work]))
        rows.append((work, *times, *ratios))
    return _table(head, rows)


def _sweep(title: str, found: Any) -> str:
    rows = (
        (
            name,
            f"{row['ours']:.1f}",
            f"{min(row['contiguous'], row['channels_last']):.1f}",
            f"{row['ratio']:.2f}",
        )
        for name, row in found.items()
    )
    return _table((title, "ours", "PyTorch", "ratio"), rows)


def _imagenet(found: Iterable[tuple[str, Any]]) -> str:
    rows = []
    for title, works in found:
        for work, row in works.items():
            sides = (f"{row[side]:.1f}" for side in ("ours", "contiguous", "channels_last"))
            rows.append((f"{title}, {work}", *sides, f"{row['ratio']:.2f}"))
    return _table(("work", "ours", "PyTorch contiguous", "channels-last", "ratio"), rows)


def _detector(found: Any) -> str:
    steps = {work: row for work, row in found.items() if "ratio" in row}
    return _imagenet([("MobileNetV2-SSD-Lite", steps)])


def _engines(found: Iterable[tuple[str, dict[str, dict[str, float]]]]) -> str:
    """Milliseconds of the predictor and of the engines that were there."""
    ours = "predictor", "forward"
    others = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "deepsparse": "DeepSparse"}
    rows = []
    for title, results in found:
        for name, row in results.items():
            fastest = min(row[engine] for engine in others if engine in row)
            cells = (f"{row[one]:.2f}" if one in row else "" for one in (*ours, *others))
            rows.append((f"{title}, {name}", *cells, f"{row['predictor'] / fastest:.2f}"))
    return _table(("network, threads, pruned, batch", *ours, *others.values(), "ratio"), rows)


def _convolutions(found: list[Any]) -> str:
    kernels = {"forward": "forward", "dx": "input gradient", "dweight": "weight gradient"}
    head: list[str] = ["3×3 convolution", "zeros"]
    for title in kernels.values():
        head += [title, "share", "ratio"]
    by = {(row["kernel"], tuple(row["shape"]), row["sparsity"]): row for row in found}
    rows = []
    for C, K, size, stride in SHAPES:
        name = f"{C}→{K}, {size}×{size}" + (", stride 2" if stride == 2 else "")
        for sparsity in (0.0, 0.7, 0.9):
            row = [name, f"{sparsity:.0%}".replace("%", " %")]
            for kernel in kernels:
                row += _kernel(by[kernel, (C, K, size, stride), sparsity])
            rows.append(row)
            name = ""
    return _table(head, rows)


def _kernel(row: Any) -> list[str]:
    best = min(row["torch_contiguous"], row["torch_channels_last"])
    share = f"{row['gflops'] / row['peak_gflops']:.0%}".replace("%", " %")
    return [f"{row['milliseconds']:.2f}", share, f"{row['milliseconds'] / best:.2f}"]


def _listed(rounds: list[dict[str, float]], key: str) -> str:
    return ", ".join(f"{found[key]:.1f}" for found in rounds)
