"""A plan: a graph bound to a batch size and a dtype, its steps and their memory.

Buffers are handed out in the order in which the steps will run, first forward and then (if
``keep``) backward; one that no later step reads is handed out again.  So a plan that only runs
forward needs few buffers, and a plan with backward keeps just what that reads.  A step writes in
place of its first input if no later step reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.memory.buffers import Memory, Slot
from fcpts_ref.engines.numba.plan.fusion import Group, fuse
from fcpts_ref.engines.numba.plan.step import Run, Step
from fcpts_ref.engines.numba.plan.steps import Input, Normalise, step_class
from fcpts_ref.engines.numba.pointwise.shortcut import add_planes
from fcpts_ref.graphs.graph import Graph

Array = NDArray[Any]
Call = Callable[[Run], None]


class Plan:
    """Everything that depends on shapes alone.

    keep: whether backward can follow a forward pass.  through: inputs whose gradient it gives.
    memory: that other plans use too (``MemoryPool``), with a border that is wide enough.
    """

    def __init__(
        self,
        graph: Graph,
        images: int,
        dtype: np.dtype[Any],
        *,
        keep: bool,
        through: Set[str] = frozenset(),
        memory: Memory | None = None,
    ) -> None:
        self.keep = keep
        self.memory = Memory(images, dtype, border_of(graph)) if memory is None else memory
        groups = _with_inputs(fuse(graph), graph, through)
        self.steps = [
            _step_class(group, graph, through)(group, images, dtype, keep) for group in groups
        ]
        for step in self.steps:
            step.scratch = self.memory.scratch
        wanted = _wanted(self.steps, through) if keep else set()
        last = _last_uses(self.steps, wanted, graph)
        slots: dict[str, Slot] = {}
        self.forward_calls = self._bind_forward(graph, slots, last)
        self.outputs = {name: slots[value] for name, value in graph.outputs.items()}
        self.doutputs: dict[str, Slot] = {}
        self.backward_calls: list[Call] = []
        self.dinputs: dict[str, Slot] = {}
        if keep:
            self.doutputs = {
                name: self.memory.take(shape) for name, shape in graph.output_shapes.items()
            }
            self.backward_calls = self._bind_backward(graph, slots, last, wanted)
        self.memory.close()

    def forward(self, run: Run) -> dict[str, Array]:
        """The outputs by name, copies; new running statistics go to ``run``."""
        for call in self.forward_calls:
            call(run)
        return {name: slot.values.copy() for name, slot in self.outputs.items()}

    def backward(self, run: Run, doutputs: Mapping[str, Array]) -> dict[str, Array]:
        """Gradients of the parameters go to ``run``; activations are used up.

        Returns the gradients of the inputs in ``through``, copies.

        An output that ``doutputs`` leaves out has no gradient.
        """
        for name, slot in self.doutputs.items():
            slot.values[...] = doutputs.get(name, 0)
        for call in self.backward_calls:
            call(run)
        return {name: slot.values.copy() for name, slot in self.dinputs.items()}

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
        self.forward_steps = [s for s in self.steps if s.group.output not in run_by_others]
        return [step.forward for step in self.forward_steps]

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
        gradients = {
            graph.outputs[name]: slot
            for name, slot in self.doutputs.items()
            if graph.outputs[name] in wanted
        }
        for time, step in enumerate(reversed(self.steps), start=len(self.steps)):
            if step.group.output not in wanted:
                continue
            dy = gradients.pop(step.group.output)
            if not step.group.nodes:  # an input: its gradient stays until it is returned
                self.dinputs[step.group.output] = dy
                continue
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


def _with_inputs(groups: list[Group], graph: Graph, through: Set[str]) -> list[Group]:
    """Groups that bring inputs into buffers, where others than normalise nodes read them."""
    entries = []
    for name in graph.inputs:
        readers = [group for group in groups if name in group.inputs]
        normalised = all(_normalises_input(g, graph, through) for g in readers)
        if name in graph.outputs.values() or not normalised:
            entries.append(Group((), (), name))
    return [*entries, *groups]


def _normalises_input(group: Group, graph: Graph, through: Set[str]) -> bool:
    """Whether a step reads an input where it lies, which leaves no room for a gradient."""
    source = group.inputs[0] if group.inputs else ""
    return group.operation == "normalise" and source in graph.inputs and source not in through


def _step_class(group: Group, graph: Graph, through: Set[str]) -> type[Step]:
    if not group.nodes:
        return Input
    if _normalises_input(group, graph, through):
        return Normalise
    return step_class(group, graph.shapes)


def _inputs(step: Step) -> tuple[str, ...]:
    """The values that a step reads from buffers."""
    return () if isinstance(step, Normalise) else step.group.inputs


def _wanted(steps: list[Step], through: Set[str]) -> set[str]:
    """The values whose gradient is needed: those that depend on a parameter or such an input."""
    wanted: set[str] = set(through)
    for step in steps:
        own = any(array.learned for node in step.group.nodes for array in node.stored.values())
        if own or wanted & set(_inputs(step)):
            wanted.add(step.group.output)
    return wanted


def _last_uses(steps: list[Step], wanted: set[str], graph: Graph) -> dict[str, int]:
    """The time of the last step that reads a value; backward times follow the forward ones."""
    last: dict[str, int] = {}
    for time, step in enumerate(steps):
        last[step.group.output] = time
        for name in _inputs(step):
            last[name] = time
    for value in graph.outputs.values():
        last[value] = len(steps)  # read when forward is done; never reused
    for time, step in enumerate(reversed(steps), start=len(steps)):
        if step.group.output in wanted:
            inputs, output = _inputs(step), (step.group.output,)
            values = {"input": inputs[:1], "inputs": inputs, "output": output}
            for name in (name for which in step.reads for name in values[which]):
                last[name] = max(time, last[name])
    return last


def border_of(graph: Graph) -> int:
    """Zeros around the images: the greatest padding of a convolution that reads them in place.

    Those with a stride read components with zeros of their own.
    """
    paddings = [
        max(node.attributes["padding"])
        for node in graph.nodes
        if node.operation == "convolution" and node.attributes["stride"] == (1, 1)
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
