"""Mistakes in the gradients of batch norm's gamma and beta."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.oracle.mistakes.values import stored_of, value_of, wide

CHANNELS = (0, 2, 3)


def _dparameter(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    name, _, short = evidence.item.rpartition(".")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == name)
    if node.operation != "batch_norm":
        return
    x, stored = value_of(evidence, node.inputs[0]), stored_of(evidence, node)
    dy, y = evidence.given[f"dactivation/{name}"], evidence.given[f"activation/{name}"]
    mean, gamma, beta = x.mean(axis=CHANNELS), stored["weight"], stored["bias"]
    normed = (y - wide(beta)) / wide(gamma)
    running = (x - wide(stored["running_mean"])) / np.sqrt(wide(stored["running_var"]))
    if short == "weight":
        for cause, factor in (
            ("back-gamma-by-input", x),
            ("back-gamma-by-centred", x - wide(mean)),
            ("back-gamma-by-output", y),
            ("back-gamma-by-scaled", normed * wide(gamma)),
            ("back-gamma-by-running", running),
        ):
            yield cause, (dy * factor).sum(axis=CHANNELS)
        yield "back-gamma-is-beta", dy.sum(axis=CHANNELS)
    else:
        yield "back-gamma-is-beta", (dy * normed).sum(axis=CHANNELS)
        yield "back-beta-by-gamma", dy.sum(axis=CHANNELS) * gamma


VALUES: dict[str, Values] = {"dparameter": _dparameter}
