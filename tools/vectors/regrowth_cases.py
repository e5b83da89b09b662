"""The cases of ST-3, of gradients of pruned weights, of RigL and of Spartan."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import regrowth
from tools.vectors.draw import Draw
from tools.vectors.suite import Group, operations_of

NAN, INFINITY = float("nan"), float("inf")


def make_groups() -> list[Group]:
    """Make the groups of the methods in which pruned weights can return."""
    return [_st3(), _regrowth(), _spartan()]


def _group(name: str, title: str, source: str, **rules: str) -> Group:
    group = Group(name, title, source, operations_of(regrowth, **rules))
    group.note(
        "EDGE",
        why="Nothing or everything is pruned, or a channel, a share or a budget is empty.",
        effect="0/0 or infinity in the first step, or weights that are lost for good.",
    )
    group.note(
        "BOUNDARY",
        why="Equality at a comparison needs a documented side.",
        effect="Another weight is kept, and runs part from the reference.",
    )
    group.note(
        "REJECT",
        why="Bad input that computes something would hide the mistake that made it.",
        effect="A share of 120 %, or a weight that is NaN, goes through unnoticed.",
    )
    return group


def _st3() -> Group:
    group = _group(
        "st3", "ST-3: a soft threshold with rescaled channels",
        "ST-3 (arXiv:2212.01076), docs/methods.md",
        channel_scales="sum", rescaled_soft_threshold="sum",
    )  # fmt: skip

    def drawn(*shape: int, scale: float, threshold: float) -> Any:
        return lambda d: {"weight": d.weights(*shape, scale=scale), "threshold": threshold}

    emptied = {"weight": np.array([[0.25, -0.125, 0.0], [1.0, -2.0, 0.5]]), "threshold": 0.375}
    zero = {"weight": np.array([[0.0, 0.0], [0.5, -1.0]]), "threshold": 0.25}
    tie = {"weight": np.array([[0.5, -0.5, 1.0, 0.25]]), "threshold": 0.5}
    cases: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
        ("some weights below the threshold", drawn(4, 5, scale=1.0, threshold=0.7), ()),
        ("most weights below it", drawn(3, 6, scale=0.25, threshold=0.4), ()),
        ("a convolution's weight", drawn(3, 2, 3, 3, scale=0.5, threshold=0.3), ()),
        ("a threshold of 0 changes nothing", drawn(2, 4, scale=1.0, threshold=0.0), ("EDGE",)),
        ("an emptied channel has the finite scale 101", emptied, ("EDGE",)),
        ("a channel of zeros has the scale 1", zero, ("EDGE",)),
        ("weights at the threshold count as pruned", tie, ("BOUNDARY",)),
    )
    for number, (comment, inputs, flags) in enumerate(cases, start=1):
        group.add(number, "channel_scales", comment, inputs, flags=flags)
        group.add(number + 100, "rescaled_soft_threshold", comment, inputs, flags=flags)
    return group


def _regrowth() -> Group:
    group = _group(
        "regrowth", "Gradients of pruned weights, and their regrowth", "docs/methods.md",
        straight_through_gradient="rounded", drop_share="sum", regrown_mask="exact",
    )  # fmt: skip
    _add_gradients(group)
    _add_shares(group)
    _add_masks(group)
    return group


def _add_gradients(group: Group) -> None:
    def drawn(pull: float, *shape: int) -> Any:
        return lambda d: {"weight": d.weights(*shape), "mask": d.coins(*shape),
                          "dsparse_weight": d.weights(*shape), "pull": pull}  # fmt: skip

    name, dpf, pulled = "straight_through_gradient", "DPF (arXiv:2006.07253)", (
        "SR-STE (arXiv:2102.04010), equation 8"
    )  # fmt: skip
    group.add(1, name, "without a pull", drawn(0.0, 4, 3), conventions=(4,), source=dpf)
    group.add(2, name, "with a pull", drawn(0.125, 4, 3), conventions=(4,), source=pulled)
    group.add(3, name, "the published pull, of a convolution's weight",
              drawn(2e-4, 3, 2, 3, 3), conventions=(4,), source=pulled)  # fmt: skip
    some = {"weight": np.array([0.5, -0.25, 1.0]), "dsparse_weight": np.array([-1.0, 0.75, 0.5]),
            "pull": 0.5}  # fmt: skip
    for number, mask, comment in ((4, 0.0, "all weights are pruned"), (5, 1.0, "none is pruned")):
        group.add(number, name, comment, some | {"mask": np.full(3, mask)},
                  flags=("EDGE",), conventions=(4,), source=pulled)  # fmt: skip


def _add_shares(group: Group) -> None:
    rigl = "RigL (arXiv:1911.11134), section 3"
    for number, progress in enumerate((0.0, 0.125, 0.375, 0.625, 0.875, 1.0), start=21):
        group.add(number, "drop_share", f"at {progress:g} of the run",
                  {"progress": progress, "first": 0.25, "stop": 0.75}, source=rigl)  # fmt: skip
    group.add(31, "drop_share", "nothing at the last replacement",
              {"progress": 0.5, "first": 0.25, "stop": 0.5}, flags=("BOUNDARY",),
              source=rigl)  # fmt: skip


def _add_masks(group: Group) -> None:
    name, rigl = "regrown_mask", "RigL (arXiv:1911.11134), section 3"

    def drawn(share: float, *shape: int, **more: Any) -> Any:
        return lambda d: {"weight": d.weights(*shape), "mask": d.coins(*shape),
                          "gradient": d.weights(*shape), "share": share} | more  # fmt: skip

    mask = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    weight = np.array([0.5, -0.25, 1.0, 0.75, 0.0, 0.0])
    gradient = np.array([3.0, 2.0, 5.0, 4.0, 0.25, -0.5])
    small = {"weight": weight, "mask": mask, "gradient": gradient, "share": 0.3125}
    cases: tuple[tuple[int, str, Any, tuple[str, ...]], ...] = (
        (41, "a layer", drawn(0.28125, 5, 6), ()),
        (42, "a convolution's weight", drawn(0.40625, 3, 2, 3, 3), ()),
        (43, "a kept weight of the largest gradient is not grown", small, ()),
        (44, "the number is rounded down", small | {"share": 0.4375}, ()),
        (45, "fewer are pruned than would be dropped",
         small | {"share": 0.8125, "mask": np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])}, ()),
        (46, "a share of 0", small | {"share": 0.0}, ("EDGE",)),
        (47, "no weight is pruned", small | {"mask": np.ones(6)}, ("EDGE",)),
        (48, "no weight is kept", small | {"mask": np.zeros(6)}, ("EDGE",)),
        (49, "all kept weights are exchanged: a share of 1",
         small | {"share": 1.0, "mask": np.array([1.0, 0.0, 1.0, 0.0, 0.0, 0.0])}, ("BOUNDARY",)),
        (50, "a share that gives a whole number", small | {"share": 0.25}, ("BOUNDARY",)),
        (51, "of equal values the first is dropped and grown",
         small | {"weight": np.array([0.5, -0.25, 0.25, 0.25, 0.0, 0.0]),
                  "gradient": np.array([3.0, 2.0, 5.0, 4.0, -0.5, 0.5])}, ("BOUNDARY",)),
        (52, "weights of 0 that are kept are dropped, and gradients of 0 are grown",
         small | {"weight": np.zeros(6), "gradient": np.zeros(6)}, ("BOUNDARY",)),
    )  # fmt: skip
    for number, comment, inputs, flags in cases:
        group.add(number, name, comment, inputs, flags=flags, source=rigl)
    bad = np.array([0.5, NAN, 1.0, 0.75, 0.0, 0.0])
    for number, reason, change in (
        (200, "a negative share", {"share": -0.125}),
        (201, "a share above 1", {"share": 1.25}),
        (202, "a share that is NaN", {"share": NAN}),
        (203, "a weight is NaN", {"weight": bad}),
        (204, "a gradient is infinite", {"gradient": np.where(np.isnan(bad), INFINITY, bad)}),
    ):
        group.reject(number, name, reason, {**small, **change}, source=rigl)


def _spartan() -> Group:
    group = _group(
        "spartan", "Spartan: a differentiable top-k with an exact budget",
        "Spartan (arXiv:2205.14107), docs/methods.md",
        soft_top_k="root", soft_top_k_gradient="root",
    )  # fmt: skip
    value, gradient = "soft_top_k", "soft_top_k_gradient"

    def drawn(size: int, count: int, sharpness: float) -> Any:
        return lambda d: {"values": d.uniform(size, low=0.0625, high=2.0), "count": count,
                          "sharpness": sharpness}  # fmt: skip

    def with_gradient(inputs: Any) -> Any:
        def make(d: Draw) -> dict[str, Any]:
            given = inputs(d) if callable(inputs) else inputs
            return {**given, "dmask": d.uniform(len(given["values"]))}

        return make

    equal = {"values": np.full(4, 0.75), "count": 3, "sharpness": 2.0}
    negative = {"values": np.array([-1.0, 0.5, -0.25, 2.0]), "count": 2, "sharpness": 1.5}
    cases: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
        ("three of seven values, soft", drawn(7, 3, 1.0), ()),
        ("one of six", drawn(6, 1, 4.0), ()),
        ("five of six, as sharp as at the end of a run", drawn(6, 5, 20.0), ()),
        ("negative values", negative, ()),
        ("equal values share the budget", equal, ("EDGE",)),
        ("a budget of 0", drawn(4, 0, 2.0), ("EDGE",)),
        ("all values are kept", drawn(4, 4, 2.0), ("EDGE",)),
    )
    for number, (comment, inputs, flags) in enumerate(cases, start=1):
        group.add(number, value, comment, inputs, flags=flags)
        group.add(number + 100, gradient, comment, with_gradient(inputs), flags=flags)
    for number, reason, change in (
        (200, "a negative count", {"count": -1}),
        (201, "a count above all", {"count": 5}),
        (202, "a sharpness of 0", {"sharpness": 0.0}),
        (203, "an infinite sharpness", {"sharpness": INFINITY}),
        (204, "a value is NaN", {"values": np.array([0.5, NAN, 1.0, 0.25])}),
    ):
        group.reject(number, value, reason, {**negative, **change})
    return group
