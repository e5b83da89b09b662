"""A whole network run with other arrays, where the values of its nodes are not recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.graphs.graph import LOGITS
from fcpts_ref.oracle.evidence import Array, Arrays, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.reads import FED, fed_functions


def run_network(evidence: Evidence, parameters: Arrays, buffers: Arrays) -> Array:
    """Return the logits of the step's images, or the running statistic that the evidence is of."""
    c, graph = evidence.conventions, evidence.setting.network.graph
    mode = c.teacher_batch_norm if evidence.dense else c.student_batch_norm
    assert evidence.inputs is not None
    images = {graph.input: evidence.inputs.images}
    passed = NumpyEngine(graph).forward(parameters, buffers, images, training=mode == "training")
    statistic = evidence.quantity == "new_buffer"
    return np.asarray(passed.buffers[evidence.item] if statistic else passed.outputs[LOGITS])


def _fed(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """Yield the logits of images that go through a function first."""
    assert evidence.inputs is not None
    network = evidence.setting.network
    dense = {**network.parameters}, network.buffers
    parameters, buffers = dense if evidence.dense else (evidence.stored, evidence.state.buffers)
    for text, images, _ in fed_functions(evidence.inputs.images):
        changed = replace(evidence, inputs=replace(evidence.inputs, images=images))
        yield f"{FED}{MARK}{text}", partial(run_network, changed, parameters, buffers)


def _dense_logits(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    yield from _fed(evidence)
    network, state = evidence.setting.network, evidence.state
    for buffers in (state.buffers, network.buffers):
        yield "arrays-of-student", partial(run_network, evidence, state.parameters, buffers)
    new = {n: evidence.given.get(f"new_parameter/{n}", w) for n, w in state.parameters.items()}
    yield "dense-after-the-update", partial(run_network, evidence, new, network.buffers)


def _sparse_logits(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    yield from _fed(evidence)
    network, state = evidence.setting.network, evidence.state
    stored = evidence.stored
    masks = {n: evidence.given[f"mask/{n}"] for n in evidence.layers}
    yield "weight-dense", partial(run_network, evidence, state.parameters, state.buffers)
    others = {**network.parameters, **{n: stored[n] for n in masks}}
    for parameters, buffers in (
        (others, state.buffers),
        (others, network.buffers),
        (stored, network.buffers),
    ):
        yield "arrays-of-dense", partial(run_network, evidence, parameters, buffers)
    dense = {n: network.parameters[n] * mask for n, mask in masks.items()}
    yield "dense-weight-masked", partial(run_network, evidence, stored | dense, state.buffers)


VALUES: dict[str, Values] = {"dense_logits": _dense_logits, "sparse_logits": _sparse_logits}
