"""What a mistake in a quantity that was not recorded makes of those that are computed from it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import LOGITS, Graph, Node, macs
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes import known
from fcpts_ref.oracle.mistakes.computed import Computed
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.forward import BY_OPERATION
from fcpts_ref.oracle.mistakes.networks import run_network
from fcpts_ref.oracle.mistakes.operands import FORMULAS, Formula, W
from fcpts_ref.oracle.mistakes.slips import right_formula
from fcpts_ref.oracle.mistakes.values import run_forward, stored_of, value_of
from fcpts_ref.pruning.fcpts.step import thresholds_of

ALL = "*"  # of an operand with an array for every layer, all of which are needed


def _run(e: Evidence) -> Any:
    return run_network(e, e.stored, e.state.buffers)


def _dweight(e: Evidence) -> Any:
    return e.given[f"dweight/{e.item}"]


def _new_thresholds(e: Evidence) -> Any:
    return thresholds_of(e.given["new_threshold_parameters"], e.conventions)


CHAIN: dict[str, tuple[Formula, tuple[str, ...]]] = FORMULAS | {
    "new_buffer": (_run, (f"sparse_weight/{ALL}",)),
    "sparse_logits": (_run, (f"sparse_weight/{ALL}",)),
    "dreconstruction_dthreshold": (right_formula, (f"dmask/{ALL}", f"dmask_dthreshold/{ALL}")),
    "dparameter": (_dweight, ("dweight/",)),
    "new_thresholds": (_new_thresholds, ("new_threshold_parameters",)),
}
"""By quantity: its formula, and the quantities in it."""

OF_NETWORKS = ("dense_logits", "sparse_logits", "new_buffer")
"""Quantities that a whole network gives."""

MOST = 10**8
"""Multiplications of a pass for which mistakes in single nodes are sought; each takes a pass."""

Wrong = Mapping[str, list[Array]]
"""By mistake: the values that it gives."""


def passed_on(
    evidence: Evidence, values: Callable[[str], Wrong], recorded: Container[str]
) -> Iterator[tuple[str, Array]]:
    """Yield mistakes in operands that were not recorded, with the value that follows from each.

    values: of the name of an operand, the mistakes in it.  recorded: the names in the trace.
    General mistakes are left out, and those that are known to show in this quantity, too.
    """
    formula, operands = CHAIN.get(evidence.quantity, (right_formula, ()))
    for operand in operands:
        names = _names(operand, evidence)
        if any(name in recorded or name not in evidence.given for name in names):
            continue
        wrong = {name: values(name) for name in names}
        for mistake in dict.fromkeys(m for found in wrong.values() for m in found):
            kind = known(mistake)
            if kind is None or kind.general or evidence.quantity in kind.of:
                continue
            for given in _forms(mistake, wrong):
                changed = replace(evidence, given={**evidence.given, **given})
                try:
                    yield mistake, np.asarray(formula(changed), dtype=np.float64)
                except (InputError, KeyError, ValueError):  # the operand makes no sense in it
                    continue


def _names(operand: str, evidence: Evidence) -> list[str]:
    """Return the full names of an operand; none where it has none for this item."""
    if operand in (W, "samples"):
        return []
    if operand.endswith(ALL):
        return [operand.removesuffix(ALL) + layer for layer in evidence.layers]
    if not operand.endswith("/"):
        return [operand]
    return [operand + evidence.item]


def _forms(mistake: str, wrong: Mapping[str, Wrong]) -> Iterator[dict[str, Array]]:
    """Yield the values of all arrays of an operand in each form of the mistake."""
    found = {name: values[mistake] for name, values in wrong.items() if mistake in values}
    for form in range(max(map(len, found.values()))):
        yield {name: values[min(form, len(values) - 1)] for name, values in found.items()}


def through_nodes(
    evidence: Evidence, recorded: Container[str], only: str | None
) -> Iterator[tuple[str, Array]]:
    """Yield mistakes in the nodes of a network whose values were not recorded, with what follows.

    Each mistake is made in all nodes that can have it.  The value is that of the logits, or of a
    running statistic.  Mistakes with a constant are left out, and all of a network ``too_large``.
    """
    graph = evidence.setting.network.graph
    if not hides_nodes(evidence.quantity, graph, recorded) or too_large(graph, evidence.batch):
        return
    for mistake in [only] if only is not None else _mistakes_in(evidence, graph.nodes):
        kind = known(mistake)
        if MARK in mistake or kind is None or not {"activation", "dense_activation"} & {*kind.of}:
            continue
        for form in range(FORMS):
            value = _run_with(evidence, mistake, form)
            if value is None:
                break
            yield mistake, value


def hides_nodes(quantity: str, graph: Graph, recorded: Container[str]) -> bool:
    """Return whether a quantity is a network's, of whose nodes no value was recorded."""
    prefix = _prefix(quantity == "dense_logits")
    nodes = (f"{prefix}/{node.name}" for node in graph.nodes)
    return quantity in OF_NETWORKS and not any(name in recorded for name in nodes)


def too_large(graph: Graph, images: int) -> bool:
    """Return whether a pass takes so long that mistakes in single nodes are not sought."""
    return images * sum(macs(graph).values()) > MOST


FORMS = 4  # of a mistake, at most


def _prefix(dense: bool) -> str:
    return "dense_activation" if dense else "activation"


def _mistakes_in(evidence: Evidence, nodes: Iterable[Node]) -> list[str]:
    """Return the names of the mistakes that the nodes can have, those of an operation together."""
    first = {node.operation: node for node in reversed(list(nodes))}
    return list(dict.fromkeys(n for node in first.values() for n in _variants(evidence, node)))


def _variants(evidence: Evidence, node: Node) -> dict[str, list[Callable[[], Computed]]]:
    """Return the node with each mistake in all its forms, on demand."""
    found: dict[str, list[Callable[[], Computed]]] = {}
    function = BY_OPERATION.get(node.operation)
    for name, variant in function(evidence, node) if function is not None else ():
        if callable(variant):
            found.setdefault(name, []).append(variant)
    return found


def _run_with(evidence: Evidence, mistake: str, form: int) -> Array | None:
    """Run the network with a mistake in one of its forms; None if no node has it so."""
    prefix, graph = _prefix(evidence.dense), evidence.setting.network.graph
    given, made = dict(evidence.given), False
    for node in graph.nodes:
        now = replace(evidence, given=given)
        forms = _variants(now, node).get(mistake, [])
        if form < len(forms):
            given[f"{prefix}/{node.name}"], made = forms[form]().value, True
        elif made:  # before it, all is as it was
            given[f"{prefix}/{node.name}"] = run_forward(now, node, {})[0]
    if not made:
        return None
    now = replace(evidence, given=given)
    if evidence.quantity == "new_buffer":
        return _new_buffer(now)
    return given[f"{prefix}/{graph.outputs[LOGITS]}"]


def _new_buffer(evidence: Evidence) -> Array:
    """Return the running statistic that follows from the value of the node before."""
    name, _, short = evidence.item.rpartition(".")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == name)
    x = [value_of(evidence, source) for source in node.inputs]
    training = evidence.conventions.student_batch_norm == "training"
    _, changed, _ = node.row.forward(x, stored_of(evidence, node), node.attributes, training)
    return np.asarray(changed[short])
