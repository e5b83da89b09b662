"""Latency and size by sparsity, as in the paper's Table 7, but on this processor.

ResNet-18 and MobileNetV2 for ImageNet, one image at a time, pruned by magnitude with rates by layer
from ERK.  The weights are random: neither time nor size depends on their values, only on where
zeros are.  The paper measured on Ambarella CV22, a chip for sparse networks.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.measure import alternate
from fcpts_ref.architectures.registry import architecture
from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.storage.network_files import write_network

NETWORKS = ("resnet18", "mobilenet_v2")
RATES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
IMAGES = 1
PAPER = {
    ("resnet18", 0.0): (18.194, 11.632),
    ("resnet18", 0.5): (10.796, 7.640),
    ("resnet18", 0.6): (9.287, 6.530),
    ("resnet18", 0.7): (7.599, 5.245),
    ("mobilenet_v2", 0.0): (33.936, 6.207),
    ("mobilenet_v2", 0.5): (28.387, 6.488),
    ("mobilenet_v2", 0.6): (28.157, 5.686),
    ("mobilenet_v2", 0.7): (26.863, 5.235),
}
"""Milliseconds and megabytes on CV22 (Table 7)."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; milliseconds, speed-up and megabytes by network and rate."""
    results = {}
    head = ("network", "pruned", "ms", "speed-up", "MB", "MB, dense", "paper's ms", "paper's MB")
    print("  ".join(f"{text:>12}" for text in head))
    for name in NETWORKS:
        results[name] = measure(name, arguments)
        for rate, row in results[name].items():
            paper = (f"{number:.2f}" for number in PAPER.get((name, float(rate)), ()))
            cells = (
                name,
                f"{100 * float(rate):.0f} %",
                f"{row['ms']:.2f}",
                f"{row['speed_up']:.2f}",
                f"{row['megabytes']:.2f}",
                f"{row['dense_megabytes']:.2f}",
                *paper,
            )
            print("  ".join(f"{text:>12}" for text in cells))
    return results


def measure(name: str, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the figures of one network by rate."""
    generator = np.random.default_rng(arguments.seed)
    graph = architecture(name)
    mean, std = (0.5,) * 3, (0.25,) * 3
    dense = initialise(graph, generator, dtype=np.float32, mean=mean, std=std)
    images = generator.random((IMAGES, *graph.input_shape)).astype(np.float32)
    networks = {rate: pruned(dense, images, rate) for rate in RATES}
    works = {
        str(rate): inference(network, images, arguments.threads)
        for rate, network in networks.items()
    }
    times = alternate(works, arguments.rounds, arguments.best)
    megabytes = {str(rate): stored_bytes(network) / 1e6 for rate, network in networks.items()}
    return {
        rate: {
            "ms": times[rate],
            "speed_up": times["0.0"] / times[rate],
            "megabytes": megabytes[rate],
            "dense_megabytes": megabytes["0.0"],
        }
        for rate in works
    }


def pruned(network: Network, images: Any, rate: float) -> Network:
    """Return the network with this share of its weights pruned; dense for 0."""
    if not rate:
        return network
    return sparsify(network, images, target=rate, method="one-shot", allocation="erk").network


def inference(network: Network, images: Any, threads: int) -> Callable[[], Any]:
    """Return a function that computes the logits of the images."""
    engine, cache = make_engine(network.graph, "numba", threads=threads), WeightCache()
    return partial(
        engine.forward,
        network.parameters,
        network.buffers,
        {network.graph.input: images},
        training=False,
        sparse=bool(network.masks),
        cache=cache,
    )


def stored_bytes(network: Network) -> int:
    """Return the size of the network's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.h5"
        write_network(path, network)
        return path.stat().st_size
