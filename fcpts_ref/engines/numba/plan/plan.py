"""A plan: a graph bound to a batch size and a dtype, its steps and their memory.

Buffers are handed out in the order in which the steps will run, first forward and then (if
``keep``) backward; one that no later step reads is handed out again.  So a plan that only runs
forward needs few buffers, and a plan with backward keeps just what that reads.  A step writes in
place of its first input if no later step reads that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.memory.buffers import Memory, Slot
from fcpts_ref.engines.numba.memory.layout import Scratch
from fcpts_ref.engines.numba.plan.fusion import Group, fuse
from fcpts_ref.engines.numba.plan.step import Run, Step
from fcpts_ref.engines.numba.plan.steps import STEPS, Images, Layer
from fcpts_ref.engines.numba.pointwise.shortcut import add_planes
from fcpts_ref.graphs.graph import IMAGES, Graph, Node
from fcpts_ref.graphs.operations import OPERATIONS
from fcpts_ref.layers.convolution import as_pair

Array = NDArray[Any]
Call = Callable[[Run], None]


class Plan:
    """Everything that depends on shapes alone.

    keep: whether backward can follow a forward pass.
    """

    def __init__(self, graph: Graph, images: int, dtype: np.dtype[Any], *, keep: bool) -> None:
        self.keep = keep
        self.memory = Memory(images, dtype, _border(graph))
        groups = _with_images(fuse(graph), graph)
        self.steps = [_step_class(group)(group, images, dtype, keep) for group in groups]
        scratch = Scratch()
        for step in self.steps:
            step.scratch = scratch
        self.logits_name = graph.nodes[-1].name
        wanted = _wanted(self.steps) if keep else set()
        last = _last_uses(self.steps, wanted, self.logits_name)
        slots: dict[str, Slot] = {}
        self.forward_calls = self._bind_forward(graph, slots, last)
        self.logits = slots[self.logits_name]
        self.backward_calls: list[Call] = []
        if keep:
            self.dlogits = self.memory.take(graph.shapes[self.logits_name])
            self.backward_calls = self._bind_backward(graph, slots, last, wanted)
        self.memory.close()

    def forward(self, run: Run) -> Array:
        """The logits, a copy; new running statistics go to ``run``."""
        for call in self.forward_calls:
            call(run)
        return self.logits.values.copy()

    def backward(self, run: Run, dlogits: Array) -> None:
        """Gradients of the parameters go to ``run``; activations are used up."""
        self.dlogits.values[...] = dlogits
        for call in self.backward_calls:
            call(run)

    @property
    def nbytes(self) -> int:
        """Memory of the activations and their gradients."""
        return self.memory.nbytes

    def _bind_forward(
        self, graph: Graph, slots: dict[str, Slot], last: dict[str, int]
    ) -> list[Call]:
        for time, step in enumerate(self.steps):
            names, output = _inputs(step), step.group.output
            shape = graph.shapes[output]
            dying = [name for name in dict.fromkeys(names) if last[name] == time]
            if step.in_place and names[0] in dying:
                slots[output] = slots[names[0]]
                dying.remove(names[0])
            else:
                slots[output] = self.memory.take(shape)
            step.bind([slots[name] for name in names], slots[output])
            if last[output] == time:
                dying.append(output)
            for name in dying:
                self.memory.give(slots[name])
        run_by_others = self._producers_run_by_others()
        return [step.forward for step in self.steps if step.group.output not in run_by_others]

    def _producers_run_by_others(self) -> set[str]:
        """The producers (see ``fusion``) whose forward the step after them runs too."""
        made_by = {step.group.output: step for step in self.steps}
        return {
            name
            for step in self.steps
            if (name := step.group.producer) is not None and step.follow(made_by[name])
        }

    def _bind_backward(
        self, graph: Graph, slots: dict[str, Slot], last: dict[str, int], wanted: set[str]
    ) -> list[Call]:
        calls: list[Call] = []
        gradients = {self.logits_name: self.dlogits}
        for time, step in enumerate(reversed(self.steps), start=len(self.steps)):
            if step.group.output not in wanted:
                continue
            dy = gradients.pop(step.group.output)
            calls += self._bind_gradient(graph, step, dy, gradients, wanted)
            if all(slot is not dy for slot in gradients.values()):
                self.memory.give(dy)
            for name, end in last.items():
                if end == time:
                    self.memory.give(slots[name])
        return calls

    def _bind_gradient(
        self, graph: Graph, step: Step, dy: Slot, gradients: dict[str, Slot], wanted: set[str]
    ) -> list[Call]:
        """Backward of one step, with the additions where a value has more than one reader."""
        names = _inputs(step)
        calls: list[Call] = [step.backward]
        spare: list[Slot] = []
        dinputs: list[Slot | None] = [None] * len(names)
        adds = [False] * len(names)
        handed = False  # dy has become the gradient of an input
        for i in sorted(range(len(names)), key=lambda i: i not in step.passes):
            name = names[i]
            if name not in wanted:
                continue
            if i in step.passes:
                if name in gradients:
                    calls.append(_adder(gradients[name], dy))
                elif not handed:
                    gradients[name], handed = dy, True
                else:
                    gradients[name] = self.memory.take(graph.shapes[name])
                    calls.append(_copier(gradients[name], dy))
            elif name not in gradients:
                free = step.in_place and not any(names[p] in wanted for p in step.passes)
                gradients[name] = dy if free else self.memory.take(graph.shapes[name])
                dinputs[i] = gradients[name]
            elif step.accumulates:
                dinputs[i], adds[i] = gradients[name], True
            else:
                slot = self.memory.take(graph.shapes[name])
                spare.append(slot)
                dinputs[i] = slot
                calls.append(_adder(gradients[name], slot))
        for slot in spare:
            self.memory.give(slot)
        step.bind_backward(dy, dinputs, adds)
        return calls


def _with_images(groups: list[Group], graph: Graph) -> list[Group]:
    """A group that brings the images into a buffer, unless only normalise nodes read them."""
    entries = [g for g in groups if g.operation == "normalise" and g.inputs == (IMAGES,)]
    if all(group in entries or IMAGES not in group.inputs for group in groups):
        return groups
    return [Group((Node(IMAGES, "images", (IMAGES,)),), ()), *groups]


def _step_class(group: Group) -> type[Step]:
    if group.operation == "images" or (group.operation, group.inputs) == ("normalise", (IMAGES,)):
        return Images
    return STEPS.get(group.operation, Layer)


def _inputs(step: Step) -> tuple[str, ...]:
    """The values that a step reads from buffers."""
    return () if isinstance(step, Images) else step.group.inputs


def _wanted(steps: list[Step]) -> set[str]:
    """The values whose gradient is needed: those that depend on a parameter."""
    wanted: set[str] = set()
    for step in steps:
        own = any(OPERATIONS[n.operation].parameters(n.attributes) for n in _known(step))
        if own or wanted & set(_inputs(step)):
            wanted.add(step.group.output)
    return wanted


def _known(step: Step) -> list[Node]:
    return [node for node in step.group.nodes if node.operation in OPERATIONS]


def _last_uses(steps: list[Step], wanted: set[str], logits: str) -> dict[str, int]:
    """The time of the last step that reads a value; backward times follow the forward ones."""
    last: dict[str, int] = {}
    for time, step in enumerate(steps):
        last[step.group.output] = time
        for name in _inputs(step):
            last[name] = time
    last[logits] = len(steps)  # read when forward is done; never reused
    for time, step in enumerate(reversed(steps), start=len(steps)):
        if step.group.output in wanted:
            values = {"input": _inputs(step)[0], "output": step.group.output}
            for which in step.reads:
                last[values[which]] = max(time, last[values[which]])
    return last


def _border(graph: Graph) -> int:
    """Zeros around the images: the greatest padding of a convolution."""
    paddings = [
        max(as_pair(node.attributes.get("padding", 0)))
        for node in graph.nodes
        if node.operation == "convolution"
    ]
    return max(paddings, default=0)


def _adder(total: Slot, part: Slot) -> Call:
    def call(run: Run) -> None:
        add_planes(total.array, part.array, total.array)

    return call


def _copier(target: Slot, source: Slot) -> Call:
    def call(run: Run) -> None:
        target.array[...] = source.array

    return call
