"""The convolution kernels of ResNet-32 on CIFAR images, beside PyTorch's if it is installed.

For each layer shape: forward, input gradient and weight gradient, with all weights and with
90, 70 and 50 % zeros.  PyTorch's times are those of the dense layer, which is what it computes
whatever the zeros.  GFLOP/s count the multiply-adds of the weights that are left; Winograd's
kernels do with one in four of them, so their share of the peak may pass 100 %.  ``mem`` is the
share of the bandwidth of memory that a kernel would take if it read and wrote every array once:
where it is large and ``peak`` is not, memory is the limit.  ``ratio`` is over the better of
PyTorch's two layouts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.measure import alternate, optional_torch
from bench.peak import bandwidth, peak_gflops, stack_moves
from fcpts_ref.engines.numba.convolution.kept_weights import density
from fcpts_ref.engines.numba.convolution.plan import ConvolutionPlan
from fcpts_ref.engines.numba.convolution.winograd.plan import PackedWeights
from fcpts_ref.engines.numba.jit.threads import using_threads
from fcpts_ref.engines.numba.memory.layout import allocate, interior, make_geometry

# channels in, channels out, height and width, stride
SHAPES = ((16, 16, 32, 1), (32, 32, 16, 1), (64, 64, 8, 1), (16, 32, 32, 2), (32, 64, 16, 2))
SPARSITIES = (0.0, 0.5, 0.7, 0.9)
KERNELS = ("forward", "dx", "dweight")
CALLS = 10  # in a turn: some milliseconds, after which PyTorch's threads no longer wait actively


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and print; one result for each kernel, shape and sparsity."""
    torch = optional_torch(arguments.threads)
    rng = np.random.default_rng(arguments.seed)
    results = []
    with using_threads(arguments.threads):
        peak = peak_gflops(arguments.dtype, arguments.threads)
        memory = bandwidth(arguments.threads)
        print(
            f"peak {peak:.0f} GFLOP/s ({stack_moves()} stack moves in its loop), memory "
            f"{memory:.0f} GB/s, {arguments.threads} threads, {arguments.dtype}"
        )
        print("kernel  shape       zeros     ms GFLOP/s peak  mem  torch t.c.last ratio")
        for shape in SHAPES:
            for row in _measure_shape(shape, torch, rng, arguments):
                row |= {"peak_gflops": peak, "memory_gigabytes_per_second": memory}
                results.append(row)
                print(_line(row), flush=True)
    return results


def _measure_shape(
    shape: tuple[int, ...], torch: Any, rng: np.random.Generator, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    C, K, H, stride = shape
    N, dtype = arguments.batch, arguments.dtype
    settings = {"stride": stride, "padding": 1, "groups": 1}
    dense = rng.normal(size=(K, C, 3, 3)).astype(dtype)
    order = rng.random(dense.shape)
    weights = {s: np.where(order < s, 0, dense).astype(dtype) for s in SPARSITIES}
    functions: dict[str, Callable[[], object]] = {}
    for sparsity, weight in weights.items():
        calls = our_calls(weight, sparsity, H, N, rng, settings)
        functions.update({f"{name} {sparsity}": call for name, call in calls.items()})
    if torch is not None:
        for layout in ("contiguous_format", "channels_last"):
            calls = torch_calls(torch, layout, dense, H, N, settings)
            functions.update({f"{name} {layout}": call for name, call in calls.items()})
    times = alternate(functions, arguments.rounds, arguments.best, calls=CALLS)
    operations = 2 * N * dense.size * (H // stride) ** 2
    values = N * (C * H**2 + K * (H // stride) ** 2) + dense.size
    return [
        {
            "kernel": name,
            "shape": shape,
            "sparsity": sparsity,
            "milliseconds": times[f"{name} {sparsity}"],
            "gflops": operations * np.count_nonzero(weight) / weight.size
            / times[f"{name} {sparsity}"] / 1e6,
            "bytes": values * dense.itemsize,
            "torch_contiguous": times.get(f"{name} contiguous_format"),
            "torch_channels_last": times.get(f"{name} channels_last"),
        }
        for name in KERNELS
        for sparsity, weight in weights.items()
    ]  # fmt: skip


def our_calls(
    weight: Any,
    sparsity: float,
    H: int,
    N: int,
    rng: np.random.Generator,
    settings: dict[str, int],
) -> dict[str, Callable[[], object]]:
    """The kernels on buffers; the weight gradient of a sparse layer is that of kept weights.

    Forward makes its operands and transforms the filters of a dense kernel once; the weight
    gradient is given the operands of a forward pass.
    """
    K, C = weight.shape[0], weight.shape[1] * settings["groups"]
    geometry = make_geometry(H, H, 1)
    plan = ConvolutionPlan(geometry, weight.shape, N, weight.dtype, **settings)
    x, dx = (allocate(N, C, geometry, weight.dtype) for _ in range(2))
    y, dy = (allocate(N, K, plan.output_geometry, weight.dtype) for _ in range(2))
    for buffer, shape in ((x, geometry), (dy, plan.output_geometry)):
        pixels = interior(buffer, shape)
        pixels[...] = rng.normal(size=pixels.shape)
    dweight = np.empty_like(weight)
    kept = density(weight)
    operands, packed = plan.operands(x, weight, density=kept), PackedWeights()
    gradient = (
        (lambda: plan.kept_weight_gradient(dy, operands, dweight))
        if sparsity > 0
        else (lambda: plan.weight_gradient(dy, operands, dweight))
    )
    return {
        "forward": lambda: plan.forward(
            plan.operands(x, weight, density=kept), None, y, packed=packed
        ),
        "dx": lambda: plan.input_gradient(dy, weight, dx, density=kept),
        "dweight": gradient,
    }


def torch_calls(
    torch: Any, layout: str, weight: Any, H: int, N: int, settings: dict[str, int]
) -> dict[str, Callable[[], object]]:
    """The kernels in one of PyTorch's layouts."""
    K, C = weight.shape[0], weight.shape[1] * settings["groups"]
    stride, padding, groups = (settings[name] for name in ("stride", "padding", "groups"))
    memory_format = getattr(torch, layout)
    w = torch.from_numpy(weight).contiguous(memory_format=memory_format)
    x = torch.randn(N, C, H, H, dtype=w.dtype).contiguous(memory_format=memory_format)
    P = (H + 2 * padding - weight.shape[2]) // stride + 1
    dy = torch.randn(N, K, P, P, dtype=w.dtype).contiguous(memory_format=memory_format)

    def forward() -> object:
        with torch.no_grad():
            return torch.nn.functional.conv2d(x, w, None, stride, padding, 1, groups)

    def backward(wanted: list[bool]) -> object:
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, wanted
        )

    return {
        "forward": forward,
        "dx": lambda: backward([True, False, False]),
        "dweight": lambda: backward([False, True, False]),
    }


def _line(row: dict[str, Any]) -> str:
    C, K, H, stride = row["shape"]
    theirs = row["torch_contiguous"], row["torch_channels_last"]
    known = theirs[0] is not None
    text = f"{theirs[0]:6.2f} {theirs[1]:8.2f}" if known else " " * 13 + "--"
    ratio = f"{row['milliseconds'] / min(theirs):5.2f}" if known else "   --"
    shape = f"{C}-{K} {H}x{H}" + (f"/{stride}" if stride > 1 else "")
    share = 100 * row["gflops"] / row["peak_gflops"]
    memory = row["bytes"] / row["milliseconds"] / 1e4 / row["memory_gigabytes_per_second"]
    return (
        f"{row['kernel']:7} {shape:11} {100 * row['sparsity']:3.0f} % {row['milliseconds']:6.2f} "
        f"{row['gflops']:7.0f} {share:3.0f}% {memory:3.0f}% {text} {ratio}"
    )
