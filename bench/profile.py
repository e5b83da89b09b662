"""Where the time of one of our training passes goes: every kind of step of the plan.

Forward and backward of ResNet-32 at 90 % zeros; each call's least time over the rounds, added up
by kind.  With one thread the clock is the processor's, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from bench.works import Setting
from fcpts_ref.engines.numba.engine import NumbaEngine

RATE = 0.9


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Measure and print; milliseconds by kind of step."""
    dtype = np.dtype(arguments.dtype).type
    setting = Setting(arguments.batch, arguments.threads, dtype, arguments.seed)
    engine = NumbaEngine(setting.network.graph, arguments.threads)
    parameters = setting.pruned(RATE)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter

    def once() -> None:
        passed = engine.forward(
            parameters,
            setting.network.buffers,
            setting.inputs,
            training=True,
            keep=True,
            sparse=True,
        )
        engine.backward(passed, setting.doutputs)

    once()
    (plan,) = engine._plans.values()
    calls: list[tuple[str, list[float]]] = []
    for kind in (plan.forward_calls, plan.backward_calls):
        kind[:] = [_timed(call, calls, clock) for call in kind]
    for _ in range(arguments.rounds):
        once()
    totals: dict[str, float] = {}
    for name, times in calls:
        totals[name] = totals.get(name, 0.0) + 1e3 * min(times)
    counts = [name for name, _ in calls]
    print(f"{'step':48}{'ms':>8}{'calls':>8}")
    for name in sorted(totals, key=lambda name: -totals[name]):
        print(f"{name:48}{totals[name]:8.2f}{counts.count(name):8d}")
    print(f"{'all':48}{sum(totals.values()):8.2f}")
    return totals


def _timed(call: Any, calls: list[tuple[str, list[float]]], clock: Any) -> Any:
    """The call, with its time noted every time."""
    step = getattr(call, "__self__", None)
    name = "sum of gradients"
    if step is not None:
        shape = "x".join(str(n) for n in step.output.values.shape[1:3])
        residual = " with residual" if getattr(step, "has_residual", False) else ""
        name = f"{type(step).__name__}{residual} {call.__name__} {shape}"
    times: list[float] = []
    calls.append((name, times))

    def timed(run: Any) -> None:
        start = clock()
        call(run)
        times.append(clock() - start)

    return timed
