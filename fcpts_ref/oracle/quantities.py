"""The quantities of a step by name: formula, source, tolerances and order of computation.

A name is a quantity (``rates``) or a quantity and an item (``mask/conv1.weight``).
Rows are in the order of computation; the rows of one block alternate over the same items.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fcpts_ref.graphs.graph import Graph

LAST = 1 << 20  # sort key of items that are not in the graph


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    per: the kind of item in the name's second part: "layer" (a prunable weight), "node",
    "node, last first", "parameter", "buffer"; empty for a name without one.
    tolerance, single_tolerance: the error allowed in float64 and in float32, as a share of the
    largest magnitude in the array; 0 where nothing may differ.
    points: the open points that can change the value.
    """

    name: str
    per: str
    source: str
    formula: str
    tolerance: float
    single_tolerance: float
    points: tuple[int, ...] = ()


EXACT = (0.0, 0.0)
ELEMENTWISE = (1e-12, 2e-6)  # a few roundings
STATISTIC = (1e-10, 1e-5)  # one long sum
NETWORK = (1e-9, 1e-4)  # sums of sums, as deep as the network


def _row(
    name: str,
    per: str,
    source: str,
    formula: str,
    tolerances: tuple[float, float],
    *points: int,
) -> Quantity:
    return Quantity(name, per, source, formula, *tolerances, points)


BLOCKS: tuple[tuple[Quantity, ...], ...] = (
    (_row("initial_rates", "", "ERK", "r of every layer before the first step", STATISTIC, 8, 14),),
    (
        _row(
            "inputs",
            "input",
            "the state",
            "what the step before left; what the run begins with",
            NETWORK,
            7,
            8,
            14,
            15,
            16,
        ),
    ),
    (
        _row(
            "rate_factor",
            "",
            "schedule",
            "warm-up, then half a cosine; times B / 64",
            ELEMENTWISE,
            16,
            17,
        ),
    ),
    (_row("thresholds", "", "Algorithm 1", "t, or sigmoid(s)", ELEMENTWISE, 7),),
    (
        _row("mask", "layer", "Equation 1", "M = 0.5 sgn(|W| - t) + 0.5", EXACT, 1, 14),
        _row("sparse_weight", "layer", "Equation 2", "W_sparse = M * W", ELEMENTWISE, 1),
    ),
    (_row("dense_activation", "node", "Equation 2", "f(X, W), node by node", NETWORK, 15),),
    (_row("dense_logits", "", "Equation 2", "Y_dense = f(X, W)", NETWORK, 15),),
    (_row("activation", "node", "Equation 2", "f(X, M * W), node by node", NETWORK, 15),),
    (
        _row(
            "new_buffer",
            "buffer",
            "batch norm",
            "(1 - m) running + m batch, the batch's variance unbiased",
            STATISTIC,
            15,
        ),
    ),
    (_row("sparse_logits", "", "Equation 2", "Y_sparse = f(X, M * W)", NETWORK, 15),),
    (
        _row(
            "reconstruction_loss",
            "",
            "Equation 4",
            "T^2 mean_n sum_k p (log p - log q)",
            NETWORK,
            5,
            6,
        ),
    ),
    (_row("rates", "", "Equation 10", "r = #(|w| <= t) / N of every layer", ELEMENTWISE, 9, 14),),
    (
        _row(
            "control_loss",
            "",
            "Equation 3",
            "L_c = |sum(r N) / sum(N) - r_0|",
            ELEMENTWISE,
            13,
            14,
        ),
    ),
    (_row("total_loss", "", "Equation 5", "L = L_rec + L_c", NETWORK, 13),),
    (
        _row(
            "dsparse_logits", "", "Equation 4", "dL_rec/dY_sparse = (T / B) (q - p)", NETWORK, 5, 6
        ),
    ),
    (_row("dactivation", "node, last first", "backward", "dL_rec/d(node's value)", NETWORK, 15),),
    (_row("dsparse_weight", "layer", "backward", "dL_rec/dW_sparse", NETWORK, 3),),
    (_row("densities", "", "Equation 12", "p(t), p(-t) of every layer", STATISTIC, 10, 11),),
    (_row("drate_dthreshold", "", "Equation 11", "dr/dt = p(t) + p(-t)", ELEMENTWISE, 10),),
    (_row("dcontrol_drate", "", "Equation 8", "dL_c/dr = +-N_l / sum(N)", ELEMENTWISE, 12, 14),),
    (_row("dcontrol_dthreshold", "", "Equation 13", "dL_c/dt = dL_c/dr dr/dt", ELEMENTWISE, 13),),
    (
        _row(
            "dmask_dthreshold",
            "layer",
            "Equation 14",
            "dM/dt = -0.5 where -1 < |w| - t < 1, else 0",
            ELEMENTWISE,
            2,
        ),
        _row("dmask", "layer", "Equation 14", "dL_rec/dM = dL_rec/dW_sparse * W", NETWORK, 3),
    ),
    (
        _row(
            "dreconstruction_dthreshold",
            "",
            "Equation 14",
            "dL_rec/dt = sum(dL_rec/dM dM/dt), pruned weights too",
            NETWORK,
            2,
            3,
        ),
    ),
    (_row("dthreshold", "", "Equation 7", "dL_rec/dt + dL_c/dt", NETWORK, 3, 13, 18),),
    (_row("dweight", "layer", "Algorithm 1", "dL/dW = M * dL_rec/dW_sparse", NETWORK, 4),),
    (_row("dparameter", "parameter", "backward", "the gradient of what is learned", NETWORK, 4),),
    (_row("dthreshold_parameter", "", "Algorithm 1", "dL/dt, or dL/dt t (1 - t)", NETWORK, 7),),
    (
        _row("velocity", "parameter", "SGD", "momentum v + (gradient + decay w)", NETWORK, 16),
        _row("new_parameter", "parameter", "SGD", "w - rate v", NETWORK, 4, 16),
    ),
    (_row("threshold_velocity", "", "SGD", "momentum v + gradient, no decay", NETWORK, 16),),
    (_row("new_threshold_parameters", "", "SGD", "t - rate v, at least 0", NETWORK, 7, 16),),
    (_row("new_thresholds", "", "Algorithm 1", "t of the next step", NETWORK, 7, 18),),
    (
        _row(
            "final_rate", "", "Algorithm 1", "global rate, were the run to end here", STATISTIC, 18
        ),
    ),
    (_row("final_mask", "layer", "projection", "the round(r_0 N) smallest |w| / t go", EXACT, 18),),
)
"""All quantities in the order of computation."""

QUANTITIES: dict[str, tuple[int, int, Quantity]] = {
    quantity.name: (i, j, quantity)
    for i, block in enumerate(BLOCKS)
    for j, quantity in enumerate(block)
}
"""Block, place in the block, and row, by name."""

PER = {row.per for _, _, row in QUANTITIES.values()}


def quantity_of(name: str) -> Quantity | None:
    """Return the row of a name such as ``"mask/conv1.weight"``; None if the table lacks it."""
    found = QUANTITIES.get(name.partition("/")[0])
    return None if found is None else found[2]


def in_order(names: Iterable[str], graph: Graph | None) -> list[str]:
    """Sort names in the order of computation: unknown ones last, items by name without a graph."""
    positions = {per: _positions(graph, per) if graph is not None else {} for per in PER}

    def key(name: str) -> tuple[int, int, int, str]:
        quantity, _, item = name.partition("/")
        if quantity not in QUANTITIES:
            return LAST, 0, 0, name
        block, place, row = QUANTITIES[quantity]
        return block, positions[row.per].get(item, LAST), place, name

    return sorted(names, key=key)


def _positions(graph: Graph, per: str) -> dict[str, int]:
    """Return the position of each item among its kind."""
    nodes = [node.name for node in graph.nodes]
    names = {
        "layer": graph.prunable,
        "node": nodes,
        "node, last first": nodes[::-1],
        "parameter": tuple(graph.parameter_shapes),
        "buffer": tuple(graph.buffer_shapes),
    }.get(per, ())
    return {name: i for i, name in enumerate(names)}
