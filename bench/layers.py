"""Where the time of a network for 224 x 224 pixels goes, by the shape of its layers.

The network is that of ``--network``.
For each shape of convolution: forward, input gradient and weight gradient with all weights and with
a share of them zero, times the number of such layers, beside PyTorch's dense kernels in their
better layout.  Buffers are those of ``convolution``: they may lie in a cache.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from bench.convolution import KERNELS, our_calls, torch_calls
from bench.measure import alternate, optional_torch
from fcpts_ref.architectures.registry import architecture
from fcpts_ref.engines.numba.jit.threads import using_threads
from fcpts_ref.graphs.graph import Graph

SPARSITIES = (0.0, 0.8, 0.9)
LAYOUTS = ("contiguous_format", "channels_last")


class Shape(NamedTuple):
    """A convolution of square images by square kernels."""

    channels: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    pixels: int

    def __str__(self) -> str:
        text = f"{self.channels}-{self.outputs} {self.kernel}x{self.kernel} {self.pixels}"
        text += f" /{self.stride}" if self.stride > 1 else ""
        return text + (f" g{self.groups}" if self.groups > 1 else "")


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and print; one result for each shape."""
    torch = optional_torch(arguments.threads)
    shapes = Counter(_shapes(architecture(arguments.network)))
    print("ms of all layers of a shape: ours (zeros), PyTorch's better layout, our ratio dense")
    heads = "".join(f"{100 * s:6.0f}%" for s in SPARSITIES) + " torch  rat."
    print(f"{'':26}" + "".join(f"{kernel:>8}{heads[8:]}" for kernel in KERNELS))
    results = []
    with using_threads(arguments.threads):
        for shape, count in shapes.items():
            times = _measure(shape, torch, arguments)
            row = {"shape": shape, "count": count, "milliseconds": times}
            results.append(row)
            print(_line(row), flush=True)
    return results


def _shapes(graph: Graph) -> list[Shape]:
    found = []
    for node in graph.nodes:
        if node.operation == "convolution":
            a, pixels = node.attributes, graph.shapes[node.inputs[0]][1]
            sizes = a["in_channels"], a["out_channels"], a["kernel"][0], a["stride"][0]
            found.append(Shape(*sizes, a["groups"], pixels))
    return found


def _measure(shape: Shape, torch: Any, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds by "kernel sparsity" or "kernel layout"."""
    rng = np.random.default_rng(arguments.seed)
    size = shape.outputs, shape.channels // shape.groups, shape.kernel, shape.kernel
    dense = rng.normal(size=size).astype(arguments.dtype)
    order, functions = rng.random(size), {}
    settings = {
        "stride": shape.stride, "padding": shape.kernel // 2, "groups": shape.groups
    }  # fmt: skip
    for sparsity in SPARSITIES:
        weight = np.where(order < sparsity, 0, dense).astype(arguments.dtype)
        calls = our_calls(weight, sparsity, shape.pixels, arguments.batch, rng, settings)
        functions.update({f"{name} {sparsity}": call for name, call in calls.items()})
    if torch is not None:
        for layout in LAYOUTS:
            calls = torch_calls(torch, layout, dense, shape.pixels, arguments.batch, settings)
            functions.update({f"{name} {layout}": call for name, call in calls.items()})
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    return alternate(functions, arguments.rounds, arguments.best, clock)


def _line(row: dict[str, Any]) -> str:
    count, times = row["count"], row["milliseconds"]
    text = f"{count:2} {row['shape']!s:22} "
    for kernel in KERNELS:
        ours = [count * times[f"{kernel} {sparsity}"] for sparsity in SPARSITIES]
        text += "".join(f"{ms:7.1f}" for ms in ours)
        theirs = [count * times[key] for s in LAYOUTS if (key := f"{kernel} {s}") in times]
        text += f"{min(theirs):7.1f}{ours[0] / min(theirs):6.2f} |" if theirs else " |"
    return text
