"""What patterns have in common: looking back from a node to those that it is made of."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from fcpts_ref.interchange.onnx.draft import Draft, Drafts

RELATIVE: Final = 1e-3  # exporters round the constants of formulas, some to half precision


@dataclass
class Match:
    """The nodes, with helpers that look back; ``kept`` are values that must stay."""

    drafts: Drafts
    kept: Collection[str]

    def node(self, name: str, *operations: str) -> Draft | None:
        """Return the node that makes a value, if it is one of these operations."""
        node = self.drafts.nodes.get(name)
        return node if node is not None and node.operation in operations else None

    def alone(self, name: str) -> bool:
        """Whether a value has one reader and is no output: it may disappear."""
        return name not in self.kept and len(self.drafts.readers()[name]) == 1

    def through(self, name: str) -> str:
        """Return the value that ``name`` is a reshape of."""
        while (node := self.node(name, "reshape", "flatten")) is not None:
            name = node.inputs[0]
        return name

    def number(self, name: str, operation: str) -> tuple[str, float] | None:
        """Return (value, number) if ``name`` adds one number to a value, or multiplies by one."""
        node = self.node(name, operation)
        if node is None or node.arrays[""].constant.array.size != 1:
            return None
        return node.inputs[0], float(node.arrays[""].constant.array.ravel()[0])

    def scaled(self, name: str) -> tuple[str, float]:
        """Return (value, factor) such that ``name`` is their product."""
        factor = 1.0
        while (found := self.number(name, "multiply_parameter")) is not None:
            name, factor = found[0], factor * found[1]
        return name, factor

    def factors(self, name: str, stop: Collection[str] = ()) -> tuple[list[str], float]:
        """Return the values, and the number, whose product is ``name``; ``stop`` stay whole."""
        values: list[str] = []
        number, waiting = 1.0, [name]
        while waiting and len(values) < 8:
            current = waiting.pop()
            product = self.node(current, "multiply")
            if current in stop:
                values.append(current)
            elif (scaled := self.number(current, "multiply_parameter")) is not None:
                waiting.append(scaled[0])
                number *= scaled[1]
            elif product is not None:
                waiting += product.inputs
            else:
                values.append(current)
        return sorted(values), number


def close(a: float, b: float) -> bool:
    """Whether two constants of a formula are the same up to rounding."""
    return math.isclose(a, b, rel_tol=RELATIVE)
