"""The cases of N:M patterns and of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import patterns
from tools.vectors.suite import Group, operations_of

NAN = float("nan")
LAYOUTS = ("channels", "rows")


def make_groups() -> list[Group]:
    """Make the group of weights that are kept or pruned together."""
    group = Group(
        "patterns", "N:M patterns and blocks", "arXiv:2104.08378, docs/methods.md",
        operations_of(patterns, pattern_mask="exact", block_norms="sum"),
    )  # fmt: skip
    group.note(
        "BOUNDARY",
        why="Of equal magnitudes the first are pruned first.",
        effect="Masks differ wherever weights are equal, as all zeros are.",
    )
    group.note(
        "REJECT",
        why="Bad input that computes something would hide the mistake that made it.",
        effect="A pattern that the weight does not divide into is applied to a part of it.",
    )
    _add_masks(group)
    _add_norms(group)
    return [group]


def _drawn(*shape: int, **settings: Any) -> Any:
    return lambda d: {"weight": d.weights(*shape), **settings}


def _add_masks(group: Group) -> None:
    name = "pattern_mask"
    for start, layout in ((0, "channels"), (20, "rows")):
        for number, (N, M, shape) in enumerate(
            ((2, 4, (3, 8)), (1, 4, (2, 8)), (4, 8, (2, 16)), (2, 4, (3, 4, 3, 3)),
             (1, 2, (2, 6, 2, 1)), (3, 4, (2, 8))),
            start=1 + start,
        ):  # fmt: skip
            comment = f"{N}:{M} of a weight {'x'.join(map(str, shape))}, {layout}"
            group.add(number, name, comment, _drawn(*shape, N=N, M=M, layout=layout))
    group.add(41, name, "a group spans two input channels in rows",
              _drawn(2, 3, 2, 2, N=1, M=3, layout="rows"))  # fmt: skip
    equal = np.array([[0.5, -0.5, 0.5, 0.5, 0.0, 0.0, 0.25, 0.0]])
    group.add(42, name, "equal magnitudes: the first are pruned",
              {"weight": equal, "N": 2, "M": 4, "layout": "channels"},
              flags=("BOUNDARY",))  # fmt: skip
    good: dict[str, Any] = {"weight": np.ones((2, 8)), "N": 2, "M": 4, "layout": "channels"}
    narrow = {"weight": np.ones((2, 6, 2, 2)), "layout": "channels"}
    for number, reason, change in (
        (200, "0 weights of a group are kept", {"N": 0}),
        (201, "a pattern that prunes nothing", {"N": 4}),
        (202, "M does not divide the input channels", narrow),
        (203, "M does not divide the columns", {"weight": np.ones((2, 6)), "layout": "rows"}),
        (204, "a weight is NaN", {"weight": np.array([[0.5, NAN, 1.0, 0.25]])}),
    ):
        group.reject(number, name, reason, {**good, **change})


def _add_norms(group: Group) -> None:
    name = "block_norms"
    for start, layout in ((60, "channels"), (80, "rows")):
        for number, (rows, columns, shape) in enumerate(
            ((2, 2, (4, 6)), (4, 1, (8, 3)), (1, 4, (2, 8)), (2, 4, (4, 4, 3, 3)),
             (4, 4, (6, 6, 2, 2))),
            start=1 + start,
        ):  # fmt: skip
            comment = f"blocks {rows}x{columns} of a weight {'x'.join(map(str, shape))}, {layout}"
            inputs = _drawn(*shape, rows=rows, columns=columns, layout=layout)
            group.add(number, name, comment, inputs, rules={"sides": "exact"})
    group.add(70, name, "a block of zeros",
              {"weight": np.array([[0.0, 0.0, 1.0, -1.0]]), "rows": 1, "columns": 2,
               "layout": "channels"}, rules={"sides": "exact"})  # fmt: skip
