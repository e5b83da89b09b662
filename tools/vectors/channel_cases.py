"""The cases of methods that remove channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import channels
from tools.vectors.draw import Draw
from tools.vectors.suite import Group, operations_of

NAN = float("nan")
FLOOR = 0.0078125


def make_groups() -> list[Group]:
    """Make the group of DSA's pruning process, its cost, and the penalties of its baselines."""
    operations = operations_of(
        channels,
        keep_probabilities="transcendental",
        solve_log_threshold="root",
        keep_ratio_gradient="root",
        draw_mask="exact",
        channel_cost="sum",
        group_shrinkage="rounded",
        scale_penalty_gradient="rounded",
    )
    group = Group("channels", "Removing channels", "docs/methods.md, DSA", operations)
    group.note(
        "REJECT",
        why="Bad input that computes something would hide the mistake that made it.",
        effect="Keep ratios that no threshold gives, or importances that have no logarithm.",
    )
    group.note(
        "EDGE",
        why="Steep, flat and equal importances, and importances of 0.",
        effect="Probabilities overflow, or their gradients are 0/0.",
    )
    group.note(
        "BOUNDARY",
        why="Equality at a comparison needs a documented side.",
        effect="A channel that should stay is dropped, or the other way round.",
    )
    _add_process(group)
    _add_cost(group)
    _add_penalties(group)
    return [group]


def _importance(draw: Draw, C: int = 6) -> np.ndarray:
    return draw.uniform(C, low=0.25, high=2.0)


def _process(**settings: Any) -> Any:
    start = {"steepness": 2.0, "floor": FLOOR}
    return lambda d: {"importance": _importance(d)} | start | settings


def _add_process(group: Group) -> None:
    name = "keep_probabilities"
    group.add(1, name, "six channels", _process(log_threshold=-0.25))
    group.add(2, name, "no floor", _process(log_threshold=0.125, floor=0.0))
    group.add(3, name, "steep", _process(log_threshold=0.0, steepness=64.0), flags=("EDGE",))
    zero = {"importance": np.array([0.0, 0.5, 1.0]), "steepness": 2.0, "floor": FLOOR}
    group.add(4, name, "an importance of 0", zero | {"log_threshold": -0.5}, flags=("EDGE",))
    name = "solve_log_threshold"
    for number, (ratio, steepness) in enumerate(((0.5, 2.0), (0.875, 1.0), (0.125, 16.0)), 11):
        group.add(number, name, f"keep {ratio}", _process(ratio=ratio, steepness=steepness))
    group.add(14, name, "an importance of 0", zero | {"ratio": 0.5}, flags=("EDGE",))
    group.add(15, name, "equal importances",
              {"importance": np.full(4, 0.75), "ratio": 0.25, "steepness": 4.0, "floor": FLOOR},
              flags=("EDGE",))  # fmt: skip
    good: dict[str, Any] = {
        "importance": np.array([0.5, 1.0]),
        "ratio": 0.5,
        "steepness": 2.0,
        "floor": FLOOR,
    }
    refused: tuple[tuple[str, str, Any], ...] = (
        ("ratio 0", "ratio", 0.0),
        ("ratio 1", "ratio", 1.0),
        ("ratio below the floor", "ratio", FLOOR / 2),
        ("ratio NaN", "ratio", NAN),
        ("an importance is NaN", "importance", np.array([0.5, NAN])),
        ("an importance is negative", "importance", np.array([0.5, -1.0])),
        ("steepness 0", "steepness", 0.0),
    )
    for number, (reason, key, bad) in enumerate(refused, 200):
        group.reject(number, name, reason, {**good, key: bad})
    name = "keep_ratio_gradient"

    def gradient(**settings: Any) -> Any:
        make = _process(**settings)
        return lambda d: make(d) | {"dmask": d.uniform(6)}

    group.add(21, name, "half of six channels", gradient(ratio=0.5))
    group.add(22, name, "most of them", gradient(ratio=0.9375))
    group.add(23, name, "steep", gradient(ratio=0.25, steepness=16.0), flags=("EDGE",))
    group.add(24, name, "equal importances: the mean of the gradients, times C",
              {"importance": np.full(3, 0.75), "ratio": 0.5, "steepness": 4.0, "floor": FLOOR,
               "dmask": np.array([1.0, -2.0, 0.5])}, flags=("EDGE",))  # fmt: skip
    name = "draw_mask"
    group.add(31, name, "eight channels",
              lambda d: {"probabilities": d.uniform(8, low=0.0625, high=1.0),
                         "uniform": d.uniform(8, low=0.0, high=0.984375)})  # fmt: skip
    group.add(32, name, "equal numbers: u < p keeps",
              {"probabilities": np.array([0.5, 0.5]), "uniform": np.array([0.5, 0.25])},
              flags=("BOUNDARY",))  # fmt: skip


def _add_cost(group: Group) -> None:
    name = "channel_cost"

    def drawn(G: int, fixed: float) -> Any:
        return lambda d: {
            "alpha": d.uniform(G, low=0.0625, high=1.0),
            "pairs": d.uniform(G, G, low=0.0, high=8.0),
            "single": d.uniform(G, low=0.0, high=8.0),
            "fixed": fixed,
        }

    group.add(41, name, "one group", drawn(1, 0.0))
    group.add(42, name, "four groups", drawn(4, 0.0))
    group.add(43, name, "a cost that no group changes", drawn(3, 2.5))


def _add_penalties(group: Group) -> None:
    group.add(51, "group_shrinkage", "some vanish",
              {"norms": np.array([0.0, 0.25, 0.625, 2.0]), "amount": 0.5})  # fmt: skip
    group.add(52, "group_shrinkage", "a norm that equals the amount",
              {"norms": np.array([0.5, 1.0]), "amount": 0.5}, flags=("BOUNDARY",))  # fmt: skip
    group.add(61, "scale_penalty_gradient", "all signs",
              {"scale": np.array([-0.5, 0.0, 2.0]), "weight": 0.125})  # fmt: skip
