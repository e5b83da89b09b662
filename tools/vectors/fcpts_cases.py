"""The cases of whole FCPTS steps and runs, in both profiles and with single choices changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tools.vectors import fcpts
from tools.vectors.draw import Draw
from tools.vectors.suite import Group, Operation

SHAPES = ((2, 1, 3, 3), (2,), (2,), (3, 2, 3, 3), (3,), (3,), (3, 3), (3,))
TARGET = 0.625
DRAWN = 20  # weights that stand for their layer in Equation 12
STEPS = 10

PAPER: dict[str, Any] = {
    "tie": "pruned",
    "reconstruction_moves_thresholds": True,
    "mask_gradient_reaches_weights": False,
    "temperature": 1.0,
    "threshold_parameter": "threshold",
    "strict_rate": False,
    "density": "kernel",
    "histogram_bins": 100,
    "bandwidth": "relative",
    "bandwidth_factor": 0.5,
    "at_target": "negative",
    "control_weight": 1.0,
    "student_batch_norm": "training",
    "teacher_batch_norm": "evaluation",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 3e-4,
    "control": "loss",
    "target": TARGET,
}
RELEASED = PAPER | {
    "tie": "half",
    "reconstruction_moves_thresholds": False,
    "temperature": 4.0,
    "threshold_parameter": "sigmoid",
    "strict_rate": True,
    "density": "histogram",
    "at_target": "zero",
    "teacher_batch_norm": "training",
}
REQUIRED = {
    "reconstruction_loss", "control_loss", "rates", "new_parameters", "new_thresholds",
    "new_buffers",
}  # fmt: skip
STEP_RULES = {"masks": "exact", "rates": "rounded", "dcontrol_drate": "rounded"}
RUN_RULES = {"masks": "exact", "rates": "rounded"}


def make_groups() -> list[Group]:
    """Make the group of whole steps and runs."""
    return [_steps()]


def _steps() -> Group:
    operations = {
        "fcpts_step": Operation(fcpts.fcpts_step, "step", required=REQUIRED),
        "fcpts_run": Operation(fcpts.fcpts_run, "trajectory"),
    }
    group = Group("fcpts", "Steps of Algorithm 1 on a small network", "Algorithm 1", operations)
    group.note(
        "PROFILE",
        why="All the conventions of a profile together, as somebody would run it.",
        effect="The pieces are right one by one, but put together differently.",
    )
    group.note(
        "CHOICE",
        why="One convention of the paper profile is changed.",
        effect="The implementation hears the choice and does not follow it.",
    )
    group.note(
        "BOUNDARY",
        why="A weight on its threshold, a rate on its target.",
        effect="Runs that start from thresholds set to weights part from the reference at once.",
    )
    _add_profiles(group)
    _add_choices(group)
    _add_boundaries(group)
    _add_runs(group)
    _add_wholes(group)
    _add_pruned_gradients(group)
    return group


def _network(draw: Draw) -> dict[str, Any]:
    """Draw a dense network, a sparse one that has moved a little from it, and their buffers."""
    dense = [
        draw.uniform(*shape, low=0.5, high=1.5)
        if i in (1, 4)
        else draw.weights(*shape, scale=0.375 if len(shape) > 1 else 0.25)
        for i, shape in enumerate(SHAPES)
    ]
    moved = [array + draw.weights(*array.shape, scale=0.015625) for array in dense]
    buffers = [
        draw.weights(C, scale=0.125) if i % 2 == 0 else draw.uniform(C, low=0.25, high=1.0)
        for i, C in enumerate((2, 2, 3, 3))
    ]
    return {
        "dense_parameters": dense,
        "dense_buffers": buffers,
        "parameters": moved,
        "buffers": [b + 0.0625 for b in buffers],
        "velocities": [draw.weights(*shape, scale=0.125) for shape in SHAPES],
        "threshold_velocities": draw.weights(3, scale=0.0625),
    }


def _parameters_of(draw: Draw, parameter: str) -> np.ndarray:
    """Draw thresholds near the middle of the weights, or the logits of such thresholds."""
    if parameter == "sigmoid":
        return draw.uniform(3, low=-1.25, high=-0.5) + 1 / 2048
    return draw.uniform(3, low=0.25, high=0.375) + 1 / 2048


def _step(choices: dict[str, Any]) -> Callable[[Draw], dict[str, Any]]:
    def make(draw: Draw) -> dict[str, Any]:
        network = _network(draw)
        return {
            "images": draw.uniform(3, 1, 4, 4, low=0.0, high=1.0),
            **network,
            "threshold_parameters": _parameters_of(draw, choices["threshold_parameter"]),
            "samples": _samples(draw, ()),
            "learning_rate": 0.0625,
            "threshold_learning_rate": 0.03125,
            **choices,
        }

    return make


def _samples(draw: Draw, front: tuple[int, ...]) -> np.ndarray:
    """Draw indices of weights, in each layer below its size."""
    count = int(np.prod(front, dtype=int))
    sizes = [int(np.prod(SHAPES[place])) for place in fcpts.PRUNABLE]
    drawn = [draw.labels(DRAWN, size) for _ in range(count) for size in sizes]
    return np.stack(drawn).reshape(*front, len(sizes), DRAWN)


def _add_profiles(group: Group) -> None:
    every = tuple(range(1, 17))
    for number, name, choices in ((1, "paper", PAPER), (2, "released", RELEASED)):
        group.add(
            number, "fcpts_step", f"one step, profile {name}", _step(choices),
            flags=("PROFILE",), conventions=every, rules=STEP_RULES,
        )  # fmt: skip


def _run(choices: dict[str, Any]) -> Callable[[Draw], dict[str, Any]]:
    def make(draw: Draw) -> dict[str, Any]:
        rates = np.array([(step + 1) / 4 if step < 4 else 1.0 for step in range(STEPS)])
        return {
            "images": draw.uniform(STEPS, 3, 1, 4, 4, low=0.0, high=1.0),
            **_network(draw),
            "threshold_parameters": _parameters_of(draw, choices["threshold_parameter"]),
            "samples": _samples(draw, (STEPS,)),
            "learning_rates": 0.0625 * rates,
            "threshold_learning_rates": 0.03125 * rates,
            **choices,
        }

    return make


def _add_choices(group: Group) -> None:
    cases: tuple[tuple[int, tuple[int, ...], dict[str, Any]], ...] = (
        (11, (3,), {"reconstruction_moves_thresholds": False}),
        (12, (4,), {"mask_gradient_reaches_weights": True}),
        (13, (5,), {"temperature": 4.0}),
        (14, (7,), {"threshold_parameter": "sigmoid"}),
        (15, (10,), {"density": "histogram", "histogram_bins": 100}),
        (16, (11,), {"bandwidth": "absolute"}),
        (17, (13,), {"control_weight": 0.25}),
        (18, (15,), {"teacher_batch_norm": "training"}),
        (19, (15,), {"student_batch_norm": "evaluation"}),
        (20, (16,), {"nesterov": True}),
        (21, (16,), {"weight_decay": 0.125}),
        (22, (16,), {"momentum": 0.0}),
        (23, (18,), {"control": "projection"}),
        (24, (3,), {"control_weight": 0.0}),
        (25, (8,), {"target": 0.25}),
    )
    for number, points, change in cases:
        what = ", ".join(f"{name}={value!r}" for name, value in change.items())
        group.add(
            number, "fcpts_step", f"profile paper, but {what}", _step(PAPER | change),
            flags=("CHOICE",), conventions=points, rules=STEP_RULES,
        )  # fmt: skip


def _add_boundaries(group: Group) -> None:
    def on_weights(choices: dict[str, Any]) -> Callable[[Draw], dict[str, Any]]:
        """Each threshold is the magnitude of a weight, as convention 8 sets it."""

        def make(draw: Draw) -> dict[str, Any]:
            inputs = _step(choices)(draw)
            weights = [inputs["parameters"][place] for place in fcpts.PRUNABLE]
            ranks = [sorted(abs(w.ravel()))[int(0.6 * w.size)] for w in weights]
            return inputs | {"threshold_parameters": np.array(ranks)}

        return make

    for number, tie, strict in ((31, "pruned", False), (32, "half", True)):
        group.add(
            number, "fcpts_step", f"thresholds on weights, tie={tie!r}, strict_rate={strict}",
            on_weights(PAPER | {"tie": tie, "strict_rate": strict}),
            flags=("BOUNDARY",), conventions=(1, 8, 9), rules=STEP_RULES,
        )  # fmt: skip

    def nothing_pruned(at_target: str) -> Callable[[Draw], dict[str, Any]]:
        make = _step(PAPER | {"target": 0.0, "at_target": at_target})
        return lambda draw: make(draw) | {"threshold_parameters": np.zeros(3)}

    for number, at_target in ((33, "negative"), (34, "zero")):
        group.add(
            number, "fcpts_step", f"a rate of 0 on a target of 0, at_target={at_target!r}",
            nothing_pruned(at_target),
            flags=("BOUNDARY",), conventions=(12,), rules=STEP_RULES,
        )  # fmt: skip


def _add_runs(group: Group) -> None:
    every = tuple(range(1, 17))
    for number, name, choices in (
        (51, "paper", PAPER),
        (52, "released", RELEASED),
        (53, "paper with projection", PAPER | {"control": "projection"}),
    ):
        group.add(
            number, "fcpts_run", f"ten steps, profile {name}", _run(choices),
            flags=("PROFILE",), conventions=every, rules=RUN_RULES,
        )  # fmt: skip


def _add_wholes(group: Group) -> None:
    """Add steps with what the others leave out: a factor, fixed rates, a residual network."""
    group.note(
        "RESIDUAL",
        why="The images are normalised, and a shortcut is added before the second ReLU.",
        effect="A branch's gradient is lost or doubled; zeros are padded on the wrong side.",
    )
    every = tuple(range(1, 17))

    def fixed(draw: Draw) -> dict[str, Any]:
        rates = {"initial_rates": np.array([0.53125, 0.4375, 0.46875]), "learn_rates": False}
        return _step(PAPER)(draw) | rates

    def residual(choices: dict[str, Any]) -> Callable[[Draw], dict[str, Any]]:
        def make(draw: Draw) -> dict[str, Any]:
            normalised = {"mean": np.array([0.4375]), "std": np.array([0.3125])}
            return _step(choices)(draw) | normalised

        return make

    factor = PAPER | {"rate_factor": 0.375}
    sigmoid = PAPER | {"threshold_parameter": "sigmoid", "control": "projection"}
    cases: tuple[tuple[int, str, Any, tuple[str, ...], tuple[int, ...]], ...] = (
        (61, "a factor of 0.375 on both learning rates", _step(factor), ("CHOICE",), (16,)),
        (62, "sigmoid thresholds, projected", _step(sigmoid), ("CHOICE",), (7, 18)),
        (63, "every layer keeps its rate", fixed, ("CHOICE",), (8,)),
        (64, "a residual network, profile paper", residual(PAPER), ("RESIDUAL",), every),
        (65, "a residual network, profile released", residual(RELEASED), ("RESIDUAL",), every),
    )
    for number, comment, make, flags, points in cases:
        group.add(
            number, "fcpts_step", comment, make, flags=flags, conventions=points, rules=STEP_RULES
        )


def _add_pruned_gradients(group: Group) -> None:
    """Add steps in which pruned weights receive gradients (convention 4)."""
    dense = {"pruned_weight_gradient": "dense"}
    pulled = dense | {"pruned_weight_pull": 0.125}
    through = pulled | {"mask_gradient_reaches_weights": True}
    cases: tuple[tuple[int, str, dict[str, Any]], ...] = (
        (71, "pruned weights receive gradients (DPF)", PAPER | dense),
        (72, "and are pulled towards 0 (SR-STE)", PAPER | pulled),
        (73, "and the mask depends on them", PAPER | through),
        (74, "pulled, where a tie keeps half of a weight", RELEASED | pulled),
    )
    for number, comment, choices in cases:
        group.add(
            number, "fcpts_step", comment, _step(choices),
            flags=("CHOICE",), conventions=(4,), rules=STEP_RULES,
        )  # fmt: skip
    for number, comment, choices in ((81, "DPF", PAPER | dense), (82, "SR-STE", PAPER | pulled)):
        group.add(
            number, "fcpts_run", f"ten steps with the gradients of {comment}", _run(choices),
            flags=("CHOICE",), conventions=(4,), rules=RUN_RULES,
        )  # fmt: skip
