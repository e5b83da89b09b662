"""The cases of methods that remove channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import channel_choice, channels
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
        score_gradient="root",
        draw_mask="exact",
        channel_cost="sum",
        group_shrinkage="rounded",
        scale_penalty_gradient="rounded",
    ) | operations_of(
        channel_choice,
        expand_ratios="root",
        project_keep_ratios="root",
        select_by_scores="exact",
        select_by_ratios="exact",
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
    _add_ratios(group)
    _add_choices(group)
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
    name = "score_gradient"

    def score(first: Any, second: Any, **settings: Any) -> Any:
        make, masks = _process(**settings), np.array([first, second], float)
        return lambda d: make(d) | {"masks": masks, "losses": d.uniform(2)}

    group.add(111, name, "six channels",
              score((1, 1, 0, 1, 0, 0), (0, 1, 1, 1, 0, 1), ratio=0.5))  # fmt: skip
    group.add(112, name, "most of them",
              score((1, 1, 1, 1, 1, 0), (1, 0, 1, 1, 1, 1), ratio=0.9375))  # fmt: skip
    group.add(113, name, "steep",
              score((0, 1, 0, 1, 1, 0), (1, 0, 0, 1, 0, 1), ratio=0.25, steepness=16.0),
              flags=("EDGE",))  # fmt: skip
    same = (1, 0, 1, 0, 1, 0)
    group.add(114, name, "one mask twice: 0 whatever the losses",
              score(same, same, ratio=0.5), flags=("EDGE",))  # fmt: skip
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


def _costs(draw: Draw, G: int, share: float, fixed: float = 0.0) -> dict[str, Any]:
    """Coefficients of F, and about this share of F(1) as a budget."""
    pairs, single = draw.uniform(G, G, low=0.0, high=8.0), draw.uniform(G, low=0.0, high=8.0)
    whole = float(pairs.sum() + single.sum() + fixed)
    budget = round(share * whole * 1024) / 1024
    return {"pairs": pairs, "single": single, "fixed": fixed, "budget": budget}


def _add_ratios(group: Group) -> None:
    def expanded(share: float, units: int, G: int = 3) -> Any:
        return lambda d: {
            "alive": d.uniform(G, low=0.25, high=1.0),
            **_costs(d, G, share),
            "units": np.full(G, float(units)),
        }

    def projected(share: float, G: int = 3, high: float = 1.0, fixed: float = 0.0) -> Any:
        return lambda d: {
            "y": d.uniform(G, low=0.25, high=high),
            **_costs(d, G, share, fixed),
            "lowest": np.full(G, 0.0625),
        }

    name = "expand_ratios"
    group.add(71, name, "one factor for three groups", expanded(0.375, 16))
    group.add(72, name, "a tight budget: small groups keep a unit", expanded(0.125, 4))
    group.add(73, name, "more than the whole network costs", expanded(1.25, 16), flags=("EDGE",))
    name = "project_keep_ratios"
    group.add(81, name, "three groups", projected(0.25))
    group.add(82, name, "one group", projected(0.25, G=1))
    group.add(83, name, "ratios beyond the box", projected(0.5, high=3.0))
    group.add(84, name, "below the budget already: only clipped",
              lambda d: projected(0.875)(d) | {"y": np.array([1.25, 0.03125, 0.75])},
              flags=("EDGE",))  # fmt: skip
    group.add(85, name, "a cost that no group changes", projected(0.5, fixed=4.0))
    good = {
        "y": np.array([0.5, 0.75]), "pairs": np.ones((2, 2)), "single": np.ones(2), "fixed": 0.0,
        "budget": 3.0, "lowest": np.full(2, 0.125),
    }  # fmt: skip
    group.reject(210, name, "a budget that the lowest ratios exceed", good | {"budget": 0.25})
    group.reject(211, name, "a ratio is NaN", good | {"y": np.array([0.5, NAN])})


def _add_choices(group: Group) -> None:
    def scores(d: Draw, sizes: tuple[int, ...]) -> list[np.ndarray]:
        return [d.uniform(n, low=0.0625, high=2.0) for n in sizes]

    def by_scores(share: float, *sizes: int) -> Any:
        return lambda d: {"scores": scores(d, sizes), **_costs(d, len(sizes), share)}

    def by_ratios(share: float, *sizes: int) -> Any:
        return lambda d: {
            "alpha": d.uniform(len(sizes), low=0.125, high=0.984375),
            "scores": scores(d, sizes),
            **_costs(d, len(sizes), share),
        }

    for start, name, make in (
        (91, "select_by_scores", by_scores),
        (101, "select_by_ratios", by_ratios),
    ):
        group.add(start, name, "three groups", make(0.5, 6, 4, 8))
        group.add(start + 1, name, "a loose budget", make(0.8125, 5, 7))
        group.add(
            start + 2, name, "a tight budget: groups keep their highest", make(0.125, 6, 5, 4)
        )
        group.add(start + 3, name, "one group", make(0.375, 9))
    equal: dict[str, Any] = {
        "scores": [np.full(4, 0.5), np.full(4, 0.5)],
        "pairs": np.array([[0.0, 4.0], [0.0, 0.0]]), "single": np.zeros(2), "fixed": 0.0,
        "budget": 2.25,
    }  # fmt: skip
    group.add(95, "select_by_scores", "equal scores: the first group loses, the first units stay",
              equal, flags=("BOUNDARY",))  # fmt: skip
    group.add(105, "select_by_ratios", "equal scores and ratios",
              {"alpha": np.full(2, 0.5)} | equal, flags=("BOUNDARY",))  # fmt: skip
    group.add(96, "select_by_scores", "cheap units return once a dear one has fallen",
              {"scores": [np.array([0.5, 1.5]), np.array([0.125, 2.0, 0.25, 0.375])],
               "pairs": np.zeros((2, 2)), "single": np.array([8.0, 1.0]), "fixed": 0.0,
               "budget": 4.875})  # fmt: skip
    dear = {"pairs": np.zeros((2, 2)), "single": np.array([8.0, 1.0]), "fixed": 0.0}
    group.add(97, "select_by_scores", "a dear unit returns, for which a cheap one falls",
              {"scores": [np.array([0.5, 1.5]), np.array([0.75, 2.0, 1.75, 0.625])],
               "budget": 8.8125} | dear)  # fmt: skip
    group.add(106, "select_by_ratios", "a dear unit returns, for which two cheap ones go",
              {"alpha": np.array([0.6875, 0.90625]), "budget": 8.5625,
               "scores": [np.array([0.5, 1.5]), np.array([0.75, 2.0, 1.75, 0.625])]}
              | dear)  # fmt: skip
    group.reject(220, "select_by_scores", "a budget below one unit of each group",
                 equal | {"budget": 0.125})  # fmt: skip
    group.reject(221, "select_by_scores", "a score is NaN",
                 equal | {"scores": [np.array([0.5, NAN]), np.ones(2)]})  # fmt: skip
