"""The cases of allocations, budgets and optimisers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import methods
from tools.vectors.draw import Draw
from tools.vectors.suite import Group, operations_of

NAN = float("nan")
SHAPES = ((4, 3, 3, 3), (4, 1, 3, 3), (6, 4, 1, 1), (5, 6))  # stem, depthwise, 1x1, linear
SCALES = (1.0, 0.75, 0.75, 0.5)
BY_SCORE = ("global_magnitude", "l1_norm", "l2_norm", "lamp")


def make_groups() -> list[Group]:
    """Make the groups of allocations, budgets and optimisers."""
    return [_allocations(), _budgets(), _optimisers(), _beginnings()]


def _group(name: str, title: str, source: str, **rules: str) -> Group:
    group = Group(name, title, source, operations_of(methods, **rules))
    group.note(
        "REJECT",
        why="Bad input that computes something would hide the mistake that made it.",
        effect="An impossible target empties a layer, or prunes another share than was asked for.",
    )
    group.note(
        "BOUNDARY",
        why="Equal scores at the cut, and halves in the count, need a documented order.",
        effect="The promised rate is missed by a weight, or two runs prune different weights.",
    )
    return group


def _layers(draw: Draw) -> list[np.ndarray]:
    pairs = zip(SHAPES, SCALES, strict=True)
    return [draw.weights(*shape, scale=scale) for shape, scale in pairs]


def _allocations() -> Group:
    group = _group(
        "allocation", "Allocations of one global rate", "docs/specification.md, allocations",
        allocation_uniform="exact", allocation_erk="sum", allocation_erk_floor="sum",
        **{f"allocation_{name}": "exact" for name in BY_SCORE},
    )  # fmt: skip
    group.note(
        "CAP",
        why="Layers that would keep more than all of their weights are dense; the others take "
        "their share.",
        effect="The global rate is missed, or a rate is negative.",
    )
    group.add(1, "allocation_uniform", "one rate for all",
              lambda d: {"weights": _layers(d), "target": 0.75})  # fmt: skip
    erk = "allocation_erk"
    group.add(11, erk, "half of the weights: small layers stay dense",
              lambda d: {"weights": _layers(d), "target": 0.5}, flags=("CAP",),
              conventions=(8,))  # fmt: skip
    group.add(12, erk, "nothing capped",
              lambda d: {"weights": [d.weights(8, 8, 3, 3), d.weights(10, 8)], "target": 0.9375},
              conventions=(8,))  # fmt: skip
    group.add(13, erk, "capped one after the other",
              lambda d: {"weights": [d.weights(2, 2), d.weights(6, 4), d.weights(16, 12)],
                         "target": 0.4},
              flags=("CAP",), conventions=(8,))  # fmt: skip
    group.add(14, erk, "one layer gets the target",
              lambda d: {"weights": [d.weights(6, 5)], "target": 0.75})  # fmt: skip
    group.add(15, erk, "two layers of one shape are capped together",
              lambda d: {"weights": [d.weights(2, 3), d.weights(2, 3), d.weights(16, 10)],
                         "target": 0.375},
              flags=("CAP",))  # fmt: skip
    group.note(
        "WHOLE",
        why="Each layer's floor(target N) weights are taken off before the layers share.",
        effect="All rates differ by up to one weight a layer.",
    )
    floor = "allocation_erk_floor"
    group.add(16, floor, "whole weights, nothing capped",
              lambda d: {"weights": [d.weights(8, 7, 3, 3), d.weights(11, 7)], "target": 0.9375},
              flags=("WHOLE",), conventions=(8,))  # fmt: skip
    group.add(17, floor, "whole weights, capped one after the other",
              lambda d: {"weights": [d.weights(3, 3), d.weights(7, 5), d.weights(17, 13)],
                         "target": 0.4375},
              flags=("CAP", "WHOLE"), conventions=(8,))  # fmt: skip
    group.add(18, floor, "whole numbers: the same as without rounding",
              lambda d: {"weights": [d.weights(8, 8), d.weights(16, 8)], "target": 0.75},
              conventions=(8,))  # fmt: skip
    for first, name in zip((21, 31, 41, 51), BY_SCORE, strict=True):
        _add_scored(group, first, f"allocation_{name}")
    good = {"weights": [np.array([1.0, 2.0]), np.array([0.5, 4.0])], "target": 0.5}
    for number, name in enumerate(("uniform", "erk", *BY_SCORE), start=200):
        operation = f"allocation_{name}"
        group.reject(number, operation, "target 1", good | {"target": 1.0})
        group.reject(number + 10, operation, "a negative target", good | {"target": -0.25})
        group.reject(number + 20, operation, "a weight is NaN",
                     good | {"weights": [np.array([1.0, NAN]), np.array([0.5, 4.0])]})  # fmt: skip
        group.reject(number + 30, operation, "no layers", good | {"weights": []})
    group.reject(
        240, "allocation_global_magnitude", "a layer would lose all its weights",
        {"weights": [np.array([1.0, 2.0]), np.array([0.25, 0.5])], "target": 0.5},
    )  # fmt: skip
    return group


def _add_scored(group: Group, first: int, operation: str) -> None:
    group.add(first, operation, "half of four layers",
              lambda d: {"weights": _layers(d), "target": 0.5})  # fmt: skip
    group.add(first + 1, operation, "three quarters of three layers",
              lambda d: {"weights": [d.weights(8, 3, 3, 3), d.weights(10, 8, scale=0.5),
                                     d.weights(6, 4, scale=2.0)],
                         "target": 0.75})  # fmt: skip
    group.add(first + 2, operation, "target 0 prunes nothing",
              lambda d: {"weights": _layers(d), "target": 0.0})  # fmt: skip
    tied = [np.array([1.0, -1.0, 1.0, 2.0]), np.array([1.0, -1.0, 1.0, 2.0])]
    group.add(first + 3, operation, "equal scores at the cut: the first layer's go first",
              {"weights": tied, "target": 0.5}, flags=("BOUNDARY",))  # fmt: skip


def _budgets() -> Group:
    group = _group(
        "budget", "Meeting a count exactly", "docs/specification.md, budgets",
        pruned_count="exact", threshold_of_count="exact", mask_of_count="exact",
        exact_masks="exact",
    )  # fmt: skip
    group.note(
        "EDGE",
        why="Nothing pruned, all but one pruned, a threshold of 0.",
        effect="A layer is emptied, or divided by 0.",
    )
    for number, (target, size) in enumerate(((0.9, 464_154), (0.75, 13), (0.0, 7), (0.3, 11)), 1):
        group.add(number, "pruned_count", f"{target} of {size}", {"target": target, "size": size},
                  conventions=(18,))  # fmt: skip
    for number, (target, size) in enumerate(((0.25, 10), (0.25, 14), (0.5, 1), (0.5, 3)), 11):
        group.add(number, "pruned_count", f"{target} of {size}: halves go to the even number",
                  {"target": target, "size": size}, flags=("BOUNDARY",),
                  conventions=(18,))  # fmt: skip
    for number, target in ((15, 1.0), (16, -0.5), (17, NAN)):
        group.reject(number, "pruned_count", f"target {target}", {"target": target, "size": 10})
    _add_thresholds(group)
    _add_exact_masks(group)
    return group


def _add_thresholds(group: Group) -> None:
    tied = np.array([0.5, -0.25, 0.25, 1.0, -0.5, 0.25])

    def drawn(count: int) -> Any:
        return lambda d: {"weight": d.weights(3, 2, 2, 2), "count": count}

    for first, operation in ((21, "threshold_of_count"), (31, "mask_of_count")):
        point = (8,) if operation == "threshold_of_count" else (18,)
        group.add(first, operation, "some of the weights", drawn(17), conventions=point)
        group.add(first + 1, operation, "none", drawn(0), flags=("EDGE",))
        group.add(first + 2, operation, "all", drawn(24), flags=("EDGE",))
        group.add(first + 3, operation, "equal magnitudes at the cut",
                  {"weight": tied, "count": 2}, flags=("BOUNDARY",), conventions=point)  # fmt: skip
        group.add(first + 4, operation, "constant weights",
                  {"weight": np.full((2, 3), -0.5), "count": 4}, flags=("BOUNDARY",))  # fmt: skip
        group.reject(first + 5, operation, "more than there are", {"weight": tied, "count": 7})
        group.reject(first + 6, operation, "a negative count", {"weight": tied, "count": -1})


def _add_exact_masks(group: Group) -> None:
    def drawn(count: int, *thresholds: float) -> Any:
        return lambda d: {
            "weights": [d.weights(3, 2, 2), d.weights(5, 3, scale=0.25)],
            "thresholds": np.array(thresholds),
            "count": count,
        }

    group.add(41, "exact_masks", "two layers, one factor", drawn(20, 0.75, 0.25),
              conventions=(18,))  # fmt: skip
    group.add(42, "exact_masks", "nothing pruned", drawn(0, 0.75, 0.25), flags=("EDGE",))
    group.add(43, "exact_masks", "all but one weight of either layer", drawn(25, 1.0, 0.125),
              flags=("EDGE",))  # fmt: skip
    group.add(
        44, "exact_masks", "equal ratios: the smaller magnitudes go first, then row-major order",
        {"weights": [np.array([0.5, -0.5, 1.0]), np.array([0.25, 0.25, 1.0])],
         "thresholds": np.array([0.5, 0.25]), "count": 3},
        flags=("BOUNDARY",), conventions=(18,),
    )  # fmt: skip
    group.add(
        45, "exact_masks", "a layer with threshold 0 gives up its zeros first",
        {"weights": [np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75, 1.0])],
         "thresholds": np.array([0.0, 0.5]), "count": 2},
        flags=("EDGE",), conventions=(18,),
    )  # fmt: skip
    group.add(
        47, "exact_masks", "equal ratios and magnitudes: the first layer's go first",
        {"weights": [np.array([0.5, -0.5, 1.0]), np.array([0.5, 0.5, 1.0])],
         "thresholds": np.array([0.5, 0.5]), "count": 3},
        flags=("BOUNDARY",), conventions=(18,),
    )  # fmt: skip
    group.add(
        48, "exact_masks", "a layer with threshold 0 gives up its smallest weights last",
        {"weights": [np.array([0.5, 0.25, 1.0]), np.array([0.125, 0.75, 1.0])],
         "thresholds": np.array([0.0, 0.5]), "count": 3},
        flags=("EDGE",), conventions=(18,),
    )  # fmt: skip
    group.add(
        49, "exact_masks", "constant layers: the first weight of each is its largest",
        {"weights": [np.full(3, 0.5), np.full(4, -0.25)], "thresholds": np.array([0.5, 0.25]),
         "count": 4},
        flags=("BOUNDARY",), conventions=(18,),
    )  # fmt: skip
    group.add(
        50, "exact_masks", "the ratio |w| / t decides, not the distance |w| - t",
        {"weights": [np.array([1.25, 1.5, 4.0]), np.array([0.25, 0.375, 2.0])],
         "thresholds": np.array([1.0, 0.125]), "count": 2},
        conventions=(18,),
    )  # fmt: skip
    group.reject(
        46, "exact_masks", "a layer would be emptied",
        {"weights": [np.array([0.5, 1.0]), np.array([0.25])], "thresholds": np.ones(2),
         "count": 2},
    )  # fmt: skip


def _optimisers() -> Group:
    group = _group(
        "optimiser", "Optimisers and the schedule", "docs/specification.md, optimisers",
        sgd="sum", adam="transcendental", schedule="transcendental",
    )  # fmt: skip
    group.note(
        "WARM-UP",
        why="The first step moves by 1/warm-up of the learning rate; the cosine starts at 1.",
        effect="Off by one: the first step does nothing, or the run ends above 0.",
    )
    group.note(
        "FIRST-STEP",
        why="The velocity starts at 0, Adam corrects its moments for that.",
        effect="The first steps are a tenth, or a thousand times, as long.",
    )

    def sgd(momentum: float, decay: float, nesterov: bool, steps: int = 4) -> Any:
        return lambda d: {
            "parameter": d.weights(3),
            "gradients": d.weights(steps, 3),
            "learning_rates": d.uniform(steps, low=0.0625, high=0.25),
            "momentum": momentum,
            "weight_decay": decay,
            "nesterov": nesterov,
        }

    group.add(1, "sgd", "plain", sgd(0.0, 0.0, False))
    group.add(2, "sgd", "momentum", sgd(0.875, 0.0, False), conventions=(16,))
    group.add(3, "sgd", "momentum and weight decay, decay inside the velocity",
              sgd(0.875, 0.0625, False), conventions=(16,))  # fmt: skip
    group.add(4, "sgd", "Nesterov", sgd(0.875, 0.0, True), conventions=(16,))
    group.add(5, "sgd", "Nesterov and weight decay", sgd(0.875, 0.0625, True))
    group.add(6, "sgd", "one step: no velocity yet", sgd(0.875, 0.0625, False, 1),
              flags=("FIRST-STEP",))  # fmt: skip

    def adam(decay: float, epsilon: float, steps: int = 5) -> Any:
        return lambda d: {
            "parameter": d.weights(3),
            "gradients": d.weights(steps, 3),
            "learning_rate": 0.0625,
            "beta1": 0.875,
            "beta2": 0.96875,
            "epsilon": epsilon,
            "weight_decay": decay,
        }

    group.add(21, "adam", "five steps", adam(0.0, 1e-8))
    group.add(22, "adam", "weight decay is added to the gradient", adam(0.125, 1e-8))
    group.add(23, "adam", "one step moves by the learning rate", adam(0.0, 1e-8, 1),
              flags=("FIRST-STEP",))  # fmt: skip
    group.add(24, "adam", "epsilon outside the square root", adam(0.0, 0.25))
    for number, (steps, warmup) in enumerate(((12, 3), (10, 0), (5, 1), (4, 4), (1, 0)), 41):
        group.add(number, "schedule", f"{steps} steps, {warmup} of them warm-up",
                  {"steps": steps, "warmup": warmup}, flags=("WARM-UP",),
                  conventions=(16,))  # fmt: skip
    group.reject(50, "schedule", "a negative warm-up", {"steps": 5, "warmup": -1})
    return group


def _beginnings() -> Group:
    group = _group(
        "beginning", "What a run begins with", "docs/specification.md, open points 7, 8, 16, 17",
        initial_thresholds="transcendental", run_schedule="transcendental",
        initial_thresholds_rounded_down="transcendental", released_schedule="transcendental",
    )  # fmt: skip
    group.note(
        "ROUNDING",
        why="round(rate N) weights of a layer are pruned: neither its floor nor its ceiling.",
        effect="The thresholds of half of the layers start one weight off.",
    )
    group.note(
        "FLOOR",
        why="A layer that stays dense has t = 0, whose logit is minus infinity: s starts at -30.",
        effect="Infinite parameters, and NaN in the first step.",
    )
    group.note(
        "SCALE",
        why="Learning rates are those of a batch of 64.",
        effect="Other batches move too fast or too slowly; batches of 64 hide it.",
    )
    group.note(
        "LATE",
        why="A scheduler that is called after each step sets the rate of the next one.",
        effect="Every step has the rate of another one; the first two should not move.",
    )
    thresholds, exactly = "initial_thresholds", {"thresholds": "exact"}

    def drawn(rates: tuple[float, ...], parameter: str) -> Any:
        return lambda d: {
            "weights": [d.weights(3, 2, 2, 2, scale=0.25), d.weights(5, 3, scale=0.125),
                        d.weights(11, scale=0.25)],
            "rates": np.array(rates),
            "threshold_parameter": parameter,
        }  # fmt: skip

    both = {"thresholds": "exact", "parameters": "exact"}
    group.add(1, thresholds, "fractions below and above one half", drawn((0.40625, 0.53125, 0.75),
              "threshold"), flags=("ROUNDING",), conventions=(7, 8), rules=both)  # fmt: skip
    group.add(2, thresholds, "the same as logits", drawn((0.40625, 0.53125, 0.75), "sigmoid"),
              flags=("ROUNDING",), conventions=(7, 8), rules=exactly)  # fmt: skip
    group.add(3, thresholds, "a dense layer", drawn((0.0, 0.53125, 0.9375), "threshold"),
              flags=("FLOOR",), conventions=(7, 8), rules=both)  # fmt: skip
    group.add(4, thresholds, "a dense layer's logit", drawn((0.0, 0.53125, 0.9375), "sigmoid"),
              flags=("FLOOR",), conventions=(7, 8), rules=exactly)  # fmt: skip
    group.add(5, thresholds, "halves go to the even number",
              drawn((0.0625, 0.5, 0.5), "threshold"), flags=("BOUNDARY", "ROUNDING"),
              conventions=(8,), rules=both)  # fmt: skip
    group.add(6, thresholds, "a threshold whose logit lies below the floor",
              {"weights": [np.array([2.0**-60, 0.5, 0.75])], "rates": np.array([0.375]),
               "threshold_parameter": "sigmoid"},
              flags=("FLOOR",), conventions=(7,), rules=exactly)  # fmt: skip
    down = "initial_thresholds_rounded_down"
    for number, rates, parameter, rules in (
        (7, (0.40625, 0.53125, 0.75), "threshold", both),
        (8, (0.40625, 0.53125, 0.75), "sigmoid", exactly),
        (9, (0.0, 0.0625, 0.9375), "threshold", both),
        (10, (0.0, 0.0625, 0.9375), "sigmoid", exactly),
    ):
        comment = "a rank of 0 takes the smallest magnitude" if number > 8 else "ranks rounded down"
        group.add(number, down, f"the authors' code: {comment}", drawn(rates, parameter),
                  flags=("ROUNDING",), conventions=(7, 8), rules=rules)  # fmt: skip
    group.add(11, down, "the authors' code: whole numbers and halves",
              drawn((0.0625, 0.5, 0.5), "threshold"), flags=("BOUNDARY", "ROUNDING"),
              conventions=(8,), rules=both)  # fmt: skip
    good = {"weights": [np.array([0.5, 1.5])], "rates": np.array([0.5]),
            "threshold_parameter": "sigmoid"}  # fmt: skip
    group.reject(20, thresholds, "a threshold of 1 or more has no logit",
                 good | {"weights": [np.array([1.25, 1.5])]})  # fmt: skip
    group.reject(21, thresholds, "no such parameter", good | {"threshold_parameter": "tanh"})

    def run(images: int, batch: int, epochs: int, warmup: int) -> dict[str, int]:
        return {"calibration_images": images, "batch_size": batch, "epochs": epochs,
                "warmup_epochs": warmup}  # fmt: skip

    whole = {"steps": "exact"}
    for number, comment, inputs, flags in (
        (31, "1,024 images in batches of 64: 16 steps an epoch", run(1_024, 64, 2, 1), ()),
        (32, "an incomplete batch makes no step", run(100, 32, 3, 1), ()),
        (33, "a batch of 16 moves a quarter as far", run(64, 16, 3, 1), ("SCALE",)),
        (34, "a batch of 128 moves twice as far", run(512, 128, 2, 1), ("SCALE",)),
        (35, "no warm-up", run(256, 64, 2, 0), ()),
    ):
        group.add(number, "run_schedule", comment, inputs, flags=flags, conventions=(16, 17),
                  rules=whole)  # fmt: skip
    for number, comment, inputs in (
        (36, "the authors' code: rates are set after each step", run(256, 64, 4, 1)),
        (37, "the authors' code: two epochs of warm-up, batches of 16", run(64, 16, 4, 2)),
        (38, "the authors' code without warm-up", run(256, 64, 2, 0)),
    ):
        group.add(number, "released_schedule", comment, inputs, flags=("LATE",),
                  conventions=(16, 17), rules=whole)  # fmt: skip
    return group
