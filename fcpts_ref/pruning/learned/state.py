"""What a step of the learned methods changes, computes with, and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]

KEPT = "kept/"
"""Before the names of fixed masks among the learned arrays."""

REACHED = "rate_before_projection"

GROUPS = ("parameters", "buffers", "velocities", "learned", "moments", "history", "views")


@dataclass(frozen=True)
class State:
    """Everything that a step changes, by name.

    learned: the method's own arrays, such as thresholds (L,) or scores; moments: what its
    optimiser knows about them.
    """

    step: int
    parameters: Arrays
    buffers: Arrays
    velocities: Arrays
    learned: Arrays
    moments: Arrays
    history: Arrays = field(default_factory=dict)
    views: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Effective:
    """The weights that a step computes with, and what their gradients need.

    weights: W~ by name; rates: the share of weights that count as pruned, (L,); context: arrays for
    ``gradients``, by name.
    """

    weights: Arrays
    rates: Array
    context: Arrays


@dataclass(frozen=True)
class Gradients:
    """Gradients of the weights and of the learned arrays, by name; the loss that a penalty adds."""

    weights: Arrays
    learned: Arrays
    penalty: float = 0.0


def frozen_masks(state: State) -> dict[str, NDArray[np.bool_]]:
    """Return the fixed masks by name; none while they are learned."""
    return {
        name.removeprefix(KEPT): array.astype(np.bool_)
        for name, array in state.learned.items()
        if name.startswith(KEPT)
    }


def pack(state: State) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the state as named arrays and notes that JSON can hold."""
    arrays = {
        f"{group}/{name}": array
        for group in GROUPS
        for name, array in getattr(state, group).items()
    }
    return arrays, {"step": state.step}


def unpack(arrays: Arrays, notes: Mapping[str, Any]) -> State:
    """Return the state that ``pack`` was given."""
    groups: dict[str, dict[str, Array]] = {group: {} for group in GROUPS}
    for name, array in arrays.items():
        group, _, key = name.partition("/")
        groups[group][key] = array
    return State(step=int(notes["step"]), **groups)
