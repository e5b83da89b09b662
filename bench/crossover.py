"""The density at which masked and dense kernels take the same time, by number of planes.

For the 3 x 3 layers of ResNet-32 on CIFAR images: forward (with the statistics for batch norm),
input gradient and weight gradient, over a row of densities.  The crossing lies between the last
density at which the masked kernel is quicker and the next, where the straight line between their
ratios is 1.  ``rule`` is where ``prefer_sparse`` changes kernels.  Buffers take turns, so that
activations come from memory.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from bench.measure import alternate
from fcpts_ref.engines.numba.convolution.correlation import Correlation
from fcpts_ref.engines.numba.convolution.epilogue import make_epilogue
from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan
from fcpts_ref.engines.numba.jit.threads import using_threads
from fcpts_ref.engines.numba.memory.layout import allocate, interior, make_geometry
from fcpts_ref.engines.numba.pointwise.activation import NO_BOUNDS
from fcpts_ref.engines.numba.tuning import SPARSE_BELOW, WINOGRAD_GAIN

SHAPES = ((16, 32), (32, 16), (64, 8))  # channels, height and width
DENSITIES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
KERNELS = ("forward", "dx", "dweight")
BUFFERS = 12


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and print; ratios masked / dense by kernel, planes and density."""
    results, rule = [], SPARSE_BELOW / WINOGRAD_GAIN
    heads = "".join(f"{density:7.2f}" for density in DENSITIES)
    print(f"masked / dense at{heads}   equal   rule")
    with using_threads(arguments.threads):
        for planes, size in SHAPES:
            found = _measure(planes, size, arguments)
            for kernel in KERNELS:
                ratios = [found[kernel, density] for density in DENSITIES]
                equal = _crossing(ratios)
                results.append(
                    {"kernel": kernel, "planes": planes, "ratios": ratios, "equal": equal}
                )
                cells = "".join(f"{ratio:7.2f}" for ratio in ratios)
                shown = "   none" if equal is None else f"{equal:7.2f}"
                print(f"{kernel:9}{planes:8}{cells}{shown}{rule:7.2f}", flush=True)
    return results


def _measure(planes: int, size: int, arguments: argparse.Namespace) -> dict[Any, float]:
    generator = np.random.default_rng(arguments.seed)
    dtype, N = np.dtype(arguments.dtype), arguments.batch
    geometry = make_geometry(size, size, 1)
    plan = ConvolutionPlan(geometry, (planes, planes, 3, 3), N, dtype, padding=1)
    buffers = [allocate(N, planes, geometry, dtype) for _ in range(BUFFERS)]
    for buffer in buffers:
        interior(buffer, geometry)[...] = generator.standard_normal((N, planes, size, size))
    full = generator.standard_normal((planes, planes, 3, 3)).astype(dtype)
    order = generator.random(full.shape)
    calls: dict[str, Any] = {}
    for name, call in _calls(plan, full, buffers).items():
        calls[f"{name} dense"] = lambda call=call: call(full, "dense")
        for density in DENSITIES:
            weight = np.where(order < density, full, 0).astype(dtype)
            calls[f"{name} {density}"] = lambda call=call, w=weight: call(w, "masked")
    times = alternate(calls, arguments.rounds, arguments.best)
    return {
        (name, density): times[f"{name} {density}"] / times[f"{name} dense"]
        for name in KERNELS
        for density in DENSITIES
    }


def _calls(plan: ConvolutionPlan, weight: Any, buffers: list[Any]) -> dict[str, Any]:
    """By kernel a function of the weight and of "dense" or "masked"."""
    images, planes = buffers[0].shape[:2]
    dweight, sums, turn = np.empty_like(weight), np.zeros((images, planes, 4)), [0]

    def pair() -> tuple[Any, Any]:
        turn[0] += 5
        return buffers[turn[0] % BUFFERS], buffers[(turn[0] + 1) % BUFFERS]

    def correlate(correlation: Correlation, w: Any, kind: str, sums: Any) -> None:
        source, target = pair()
        epilogue = make_epilogue(target, None, None, NO_BOUNDS)
        if kind == "masked":
            kept = correlation.kept.fill(w, include_zeros=False)
            correlation.masked(kept, source, target, epilogue, sums)
        else:
            correlation.dense(w, source, target, epilogue, sums)

    def forward(w: Any, kind: str) -> None:
        correlate(plan.forward_correlation, w, kind, sums)

    def dx(w: Any, kind: str) -> None:
        correlate(plan.backward_correlation, w, kind, None)

    def gradient(w: Any, kind: str) -> None:
        if kind == "masked":
            kept = plan.forward_correlation.kept.fill(w, include_zeros=False)
            plan.gradient.masked(kept, *pair(), dweight)
        else:
            plan.gradient.dense(*pair(), dweight)

    return {"forward": forward, "dx": dx, "dweight": gradient}


def _crossing(ratios: list[float]) -> float | None:
    """None: one of the two is quicker at every density."""
    slower = [i for i, ratio in enumerate(ratios) if ratio > 1]
    if not slower or slower[0] == 0:
        return None
    i = slower[0]
    share = (1 - ratios[i - 1]) / (ratios[i] - ratios[i - 1])
    return DENSITIES[i - 1] + share * (DENSITIES[i] - DENSITIES[i - 1])
