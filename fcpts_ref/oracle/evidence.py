"""The evidence about one quantity of a step, from which known mistakes are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.replay import StepInputs
from fcpts_ref.oracle.trace_file import Setting
from fcpts_ref.spec.conventions import Conventions

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Evidence:
    """A quantity of a step, and everything that was found before it.

    value: what is right.  found: what the trace has.  given: by name, the values found where there
    are any, the reference's otherwise; a mistake is computed from these.  inputs: None before a
    step, where only the state is compared.  earlier: the quantities found in the step before, if
    it was recorded.  history: those of all steps since the first, if they were recorded.
    """

    name: str
    value: Array
    given: Arrays
    setting: Setting
    inputs: StepInputs | None
    earlier: Arrays
    found: Array
    history: tuple[Arrays, ...] = ()

    @property
    def quantity(self) -> str:
        """The first part of the name."""
        return self.name.partition("/")[0]

    @property
    def item(self) -> str:
        """The second part of the name: a layer, node, parameter or buffer."""
        return self.name.partition("/")[2]

    @property
    def dense(self) -> bool:
        """Whether it is about the dense network's forward pass."""
        return self.quantity in ("dense_activation", "dense_logits")

    @property
    def conventions(self) -> Conventions:
        """The conventions that the reference follows."""
        return self.setting.conventions

    @property
    def state(self) -> Any:
        """The state before the step."""
        assert self.inputs is not None
        return self.inputs.state

    @property
    def batch(self) -> int:
        """The number of images, B."""
        assert self.inputs is not None
        return len(self.inputs.images)

    @property
    def samples(self) -> tuple[Array, ...]:
        """The indices drawn for Equation 12, per layer."""
        assert self.inputs is not None
        return self.inputs.samples

    @property
    def weights(self) -> dict[str, Array]:
        """W of every layer."""
        return {name: self.state.parameters[name] for name in self.setting.network.graph.prunable}

    @property
    def sizes(self) -> Array:
        """N of every layer, (L,)."""
        return np.array([w.size for w in self.weights.values()], dtype=np.float64)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the prunable weights."""
        return self.setting.network.graph.prunable

    @property
    def layer(self) -> int:
        """The index of the layer among the prunable ones."""
        return self.layers.index(self.item)

    @property
    def node(self) -> Node:
        """The node of this name."""
        return next(n for n in self.setting.network.graph.nodes if n.name == self.item)

    @property
    def stored(self) -> dict[str, Array]:
        """Parameters and buffers by name, with sparse weights; the dense ones if ``dense``."""
        if self.dense:
            return {**self.setting.network.parameters, **self.setting.network.buffers}
        sparse = {name: self.given[f"sparse_weight/{name}"] for name in self.weights}
        return {**self.state.parameters, **sparse, **self.state.buffers}

    def with_choices(self, choices: Mapping[str, Any]) -> Setting:
        """Return the setting with these conventions changed."""
        return replace(self.setting, conventions=self.conventions.with_choices(choices))
