"""A whole network run with other arrays, where the values of its nodes are not recorded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.graphs.graph import LOGITS
from fcpts_ref.oracle.evidence import Array, Arrays, Evidence
from fcpts_ref.oracle.mistakes.mistake import Found, Values


def _run(evidence: Evidence, parameters: Arrays, buffers: Arrays) -> Array:
    """Return the logits of the step's images."""
    c, graph = evidence.conventions, evidence.setting.network.graph
    mode = c.teacher_batch_norm if evidence.dense else c.student_batch_norm
    assert evidence.inputs is not None
    images = {graph.input: evidence.inputs.images}
    passed = NumpyEngine(graph).forward(parameters, buffers, images, training=mode == "training")
    return np.asarray(passed.outputs[LOGITS])


def _dense_logits(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    network, state = evidence.setting.network, evidence.state
    for buffers in (state.buffers, network.buffers):
        yield "arrays-of-student", partial(_run, evidence, state.parameters, buffers)
    new = {n: evidence.given.get(f"new_parameter/{n}", w) for n, w in state.parameters.items()}
    yield "dense-after-the-update", partial(_run, evidence, new, network.buffers)


def _sparse_logits(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    network, state = evidence.setting.network, evidence.state
    stored = evidence.stored
    masks = {n: evidence.given[f"mask/{n}"] for n in evidence.layers}
    yield "weight-dense", partial(_run, evidence, state.parameters, state.buffers)
    others = {**network.parameters, **{n: stored[n] for n in masks}}
    for parameters, buffers in (
        (others, state.buffers),
        (others, network.buffers),
        (stored, network.buffers),
    ):
        yield "arrays-of-dense", partial(_run, evidence, parameters, buffers)
    dense = {n: network.parameters[n] * mask for n, mask in masks.items()}
    yield "dense-weight-masked", partial(_run, evidence, stored | dense, state.buffers)


VALUES: dict[str, Values] = {"dense_logits": _dense_logits, "sparse_logits": _sparse_logits}
