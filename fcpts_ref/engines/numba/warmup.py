"""Warm-up: compile the kernels of the backward pass in a second process.

A run first needs the kernels of forward passes.  While it compiles those on one core, a second core
compiles those of backward to the disk cache, where the run finds them.  No result depends on it:
the run compiles what is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

import fcpts_ref
from fcpts_ref.engines.numba.jit.compilation import cache_folder
from fcpts_ref.engines.numba.jit.threads import available_threads
from fcpts_ref.engines.numba.plan.plan import Plan
from fcpts_ref.engines.numba.plan.step import Run
from fcpts_ref.engines.numba.plan.steps import Layer
from fcpts_ref.engines.numba.plan.weighted_steps import Convolution
from fcpts_ref.engines.numba.pointwise import batch_norm
from fcpts_ref.engines.numba.tuning import ROW_MIN_IMAGES
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.storage.network_files import graph_from_json, graph_to_json


@contextmanager
def backward_compiled_ahead(graph: Graph, dtype: Any, threads: int | None) -> Iterator[None]:
    """While the block runs, if no network's backward has been compiled on this machine.

    threads: of the run, default all; with one it keeps to one core.
    """
    if (threads or available_threads()) < 2 or not nothing_compiled():
        yield
        return
    process = _start(graph, dtype)
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _start(graph: Graph, dtype: Any) -> subprocess.Popen[str] | None:
    """The process, told what to compile for; None where the system will not have another one."""
    with suppress(OSError):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fcpts_ref.engines.numba.warmup"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # an error will occur again in the run
            env={**os.environ, "NUMBA_NUM_THREADS": "1", "PYTHONPATH": _search_path()},
            text=True,
            start_new_session=True,  # Ctrl-C is for the run, which ends this process
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as stream:
            json.dump({"graph": graph_to_json(graph), "dtype": np.dtype(dtype).name}, stream)
        return process
    return None


def _search_path() -> str:
    """This package's folder first: kernels are cached beside their source."""
    mine = str(Path(fcpts_ref.__file__).resolve().parents[1])
    return os.pathsep.join([mine, *filter(None, [os.environ.get("PYTHONPATH")])])


def nothing_compiled() -> bool:
    """Whether there is a place for compiled kernels, and no backward pass was ever compiled."""
    folder = cache_folder(Path(batch_norm.__file__))
    name = batch_norm.gradient_sums.__name__  # of the kernels, the one that is in every backward
    return folder is not None and not any(folder.rglob(f"*.{name}-*.nbi"))


def compile_backward(graph: Graph, dtype: str) -> None:
    """Run backward passes over nothing but zeros: of dense weights and of a few.

    Weight gradients come first, as forward passes do not share them; by the time of the inputs'
    gradients the run has compiled what they share with it.
    """
    plan = Plan(graph, ROW_MIN_IMAGES, np.dtype(dtype), keep=True)
    if any(isinstance(step, Layer) for step in plan.steps):
        return  # they need a forward pass
    convolutions = [step for step in plan.steps if isinstance(step, Convolution)]
    dinputs = [step.dinputs for step in convolutions]
    for step in convolutions:
        step.dinputs = [None]
    _run_backward(plan, graph, dtype)
    for step, wanted in zip(convolutions, dinputs, strict=True):
        step.dinputs = wanted
    _run_backward(plan, graph, dtype)


def _run_backward(plan: Plan, graph: Graph, dtype: str) -> None:
    inputs = {name: np.zeros((ROW_MIN_IMAGES, *s), dtype) for name, s in graph.inputs.items()}
    buffers = {name: np.ones(shape, dtype) for name, shape in graph.buffer_shapes.items()}
    for interval in (1, 20):  # every weight, or one of many
        parameters = {
            name: np.zeros(shape, dtype) for name, shape in graph.parameter_shapes.items()
        }
        for array in parameters.values():
            array.flat[::interval] = 1
        for kept in (True, False):
            run = Run(parameters, buffers, inputs, training=True, sparse=True, kept=kept)
            plan.backward(run, {})


if __name__ == "__main__":
    task = json.load(sys.stdin)
    compile_backward(graph_from_json(task["graph"]), task["dtype"])
