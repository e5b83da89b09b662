"""A network as a program: the captured loops of its plan, with Python only where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.numba.jit.capture import capture
from fcpts_ref.engines.numba.plan.loops import copy, loops_of
from fcpts_ref.engines.numba.plan.plan import Plan
from fcpts_ref.engines.numba.plan.program import Program, run_together
from fcpts_ref.engines.numba.plan.step import Run
from fcpts_ref.engines.numba.plan.weighted_steps import Convolution
from fcpts_ref.graphs.network import Network

Array = NDArray[Any]
Call = Callable[[], None]


class ImageProgram:
    """A classifier bound to a number of images and to its weights.

    given (images, C, H, W), logits (images, classes): memory of its input and of its output.
    cache: shared by the programs of one network, for what they derive from its weights.
    parts: programs of loops, and the calls between that need Python.
    """

    def __init__(self, network: Network, given: Array, logits: Array, cache: WeightCache) -> None:
        graph = network.graph
        self.given, self.logits = given, logits
        self._plan = Plan(graph, len(given), network.dtype, keep=False)
        self._run = Run(
            network.parameters, network.buffers, {graph.input: given}, training=False,
            sparse=bool(network.masks), cache=cache,
        )  # fmt: skip
        calls = list(self._calls())
        for _, call in calls:
            call()  # fills the cache, so that capturing meets nothing but loops
        self.parts: list[Program | Call] = []
        for only_loops, group in groupby(calls, key=lambda pair: pair[0]):
            if not only_loops:
                self.parts += [call for _, call in group]
                continue
            with capture() as loops:
                for _, call in group:
                    call()
            self.parts.append(Program(loops))

    @property
    def compiled(self) -> bool:
        """Whether the whole network is one program of loops."""
        return len(self.parts) == 1

    @property
    def computes_as_one(self) -> bool:
        """Whether the kernels are those of a single image, so that the results have its bits."""
        convolutions = (step for step in self._plan.steps if isinstance(step, Convolution))
        return all(step.plan.forward_correlation.rows is None for step in convolutions)

    @property
    def table(self) -> Array:
        """The table of that program."""
        (program,) = self.parts
        assert isinstance(program, Program)
        return program.table

    def run(self, threads: int) -> None:
        """Compute the logits of the given images."""
        for part in self.parts:
            if isinstance(part, Program):
                run_together(part, threads)
            else:
                part()

    def _calls(self) -> Iterator[tuple[bool, Call]]:
        """The steps in their order, each with whether kernels alone do it."""
        for step in self._plan.forward_steps:
            loops = loops_of(step)
            if loops is None:
                yield False, partial(step.forward, self._run)
            else:
                yield True, partial(loops, step, self._run)
        (output,) = self._plan.outputs.values()
        yield True, partial(copy, output.values, self.logits)
