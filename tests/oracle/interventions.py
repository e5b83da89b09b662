"""Runs with a mistake: single quantities of every step are replaced, and the step follows them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from mutation import replaced
from small_networks import make_images
from traced_networks import BATCH, IMAGE_COUNT, network

from fcpts_ref.oracle import trace as recording
from fcpts_ref.oracle.replay import begin, replay
from fcpts_ref.oracle.trace_file import StepTrace, Trace
from fcpts_ref.pruning.fcpts.method import FCPTS

Wrong = Callable[["Context"], Any]
Patch = tuple[Callable[..., Any], Callable[[Callable[..., Any]], Callable[..., Any]]]


@dataclass(frozen=True)
class Context:
    """A quantity as it is about to be computed: its name, right value, and everything before it."""

    name: str
    value: Any
    seen: Mapping[str, Any]
    inputs: Any
    setting: Any
    earlier: Mapping[str, Any]  # the quantities of the step before

    @property
    def item(self) -> str:
        return self.name.partition("/")[2]

    @property
    def c(self) -> Any:
        return self.setting.conventions

    @property
    def state(self) -> Any:
        return self.inputs.state

    @property
    def layers(self) -> tuple[str, ...]:
        return self.setting.network.graph.prunable

    @property
    def W(self) -> dict[str, Any]:
        return {name: self.state.parameters[name] for name in self.layers}

    @property
    def N(self) -> Any:
        return np.array([w.size for w in self.W.values()], dtype=float)

    @property
    def w(self) -> Any:
        return self.state.parameters[self.item]

    @property
    def t(self) -> Any:
        t = self.seen["thresholds"]
        return t[self.layers.index(self.item)] if self.item in self.layers else t

    @property
    def B(self) -> int:
        return len(self.inputs.images)

    @property
    def excess(self) -> float:
        return float((self.seen["rates"] * self.N).sum() / self.N.sum() - self.setting.target)

    def __getitem__(self, name: str) -> Any:
        return self.seen[name]


@dataclass(frozen=True)
class Mutant:
    """wrong: by quantity or full name, the value in place of the right one.

    patch: functions to replace instead, where forward and backward change together.
    """

    name: str
    wrong: Mapping[str, Wrong] = field(default_factory=dict)
    patch: tuple[Patch, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict)


def run_mutant(mutant: Mutant) -> Trace:
    """Record the run with the mistake in every step."""
    with contextlib.ExitStack() as stack:
        for original, wrong in mutant.patch:
            stack.enter_context(replaced(original, wrong(original)))
        return _run(mutant.wrong, **mutant.run)


def _run(
    wrong: Mapping[str, Wrong],
    kind: str = "plain",
    steps: int = 3,
    target: float = 0.5,
    wrong_begin: Callable[[Any, Any], Any] | None = None,
    without: tuple[str, ...] = (),
    **settings: Any,
) -> Trace:
    method = FCPTS(**({"profile": "paper", "epochs": 4, "batch_size": BATCH} | settings))
    net = network(kind)
    images = make_images(net.graph, IMAGE_COUNT)
    setting = recording._make_setting(net, images, target, method)
    before, state = begin(setting)
    if wrong_begin is not None:
        before, state = wrong_begin(before, state)
    recorded: dict[int, StepTrace] = {}
    earlier: Mapping[str, Any] = {}
    for number, drawn in recording._run_inputs(setting, images, method, np.random.default_rng(0)):
        inputs = replace(drawn, state=state)
        quantities, after = replay(setting, inputs, _observer(wrong, inputs, setting, earlier))
        if number == 0:
            quantities = {"initial_rates": before["initial_rates"]} | quantities
        last = number == steps - 1
        out = without if last else (*without, "final_")
        kept = {n: v for n, v in quantities.items() if not n.startswith(out)}
        recorded[number] = StepTrace(recording._input_arrays(net.graph.prunable, inputs), kept)
        state, earlier = after, quantities
        if last:
            break
    return Trace(recorded, setting)


def _observer(wrong: Mapping[str, Wrong], inputs: Any, setting: Any, earlier: Any) -> Any:
    """Put the wrong values in the place of the right ones."""
    seen: dict[str, Any] = {}

    def observe(name: str, value: Any) -> Any:
        function = wrong.get(name) or wrong.get(name.partition("/")[0])
        new = value
        if function is not None:
            new = function(Context(name, value, seen, inputs, setting, earlier))
        new = value if new is None else np.asarray(new, dtype=float)
        seen[name] = new
        return new if np.ndim(new) else np.asarray(new)[()]

    return observe
