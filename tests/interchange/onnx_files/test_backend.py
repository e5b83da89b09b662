"""ONNX's own tests of the operators that we have, generated in memory by its package."""

from __future__ import annotations

import fnmatch
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.draft import PARTS
from fcpts_ref.interchange.onnx.importing import finish, translate
from fcpts_ref.interchange.onnx.operators import OPERATORS
from interchange.onnx_files.inexpressible import DIFFERENT, REASONS
from interchange.onnx_files.onnx_run import run_ours

onnx = pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[3]

VALUES = {
    "Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "MatMul": 2, "Attention": 3, "Concat": 99, "Sum": 99,
}  # fmt: skip
"""Inputs that are values; those of other operators after the first are weights and settings."""
ONLY_PARTS = {"Erf", "Sqrt", "Reciprocal"}
assert {name.lower() for name in ONLY_PARTS} <= set(PARTS)
ONLY_SHAPES = {"Shape", "Size"}  # known when a file is read: they make no network


def collect() -> dict[str, Any]:
    """The cases with one node, of an operator that is translated."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        cases = collect_testcases(None)
    chosen = set(OPERATORS) - ONLY_PARTS - ONLY_SHAPES
    return {
        case.name: case
        for case in cases
        if len(case.model.graph.node) == 1
        and case.model.graph.node[0].op_type in chosen
        and case.model.graph.node[0].domain == ""
        and "_expanded" not in case.name
    }


CASES = collect()


def with_weights(case: Any, inputs: list[Any]) -> tuple[Any, dict[str, Any]]:
    """The case's model with initialisers for weights and settings, and the values it is given."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    count = VALUES.get(graph.node[0].op_type, 1)
    names = [value.name for value in graph.input]
    values = set(graph.node[0].input[:count])
    given = dict(zip(names, inputs, strict=True))
    kept = [value for value in graph.input if value.name in values]
    del graph.input[:]
    graph.input.extend(kept)
    if graph.node[0].op_type != "Split":
        del graph.output[1:]  # indices, masks, means: not computed
    for name, array in given.items():
        if name not in values:
            graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return model, {name: given[name] for name in names if name in values}


def compute(case: Any, *, batched: bool) -> list[tuple[Any, Any]]:
    """What we compute and what is expected, for every data set of a case."""
    results = []
    for inputs, outputs in case.data_sets:
        model, values = with_weights(case, inputs)
        translation = translate(model, Path("a.onnx"), batched=batched)
        network = finish(translation, "case", "none")
        arrays = [np.asarray(v) if batched else np.asarray(v)[None] for v in values.values()]
        found = run_ours(network, dict(zip(network.graph.inputs, arrays, strict=True)))
        arrays = found if batched else [array[0] for array in found]
        results += [(a, np.asarray(e)) for a, e in zip(arrays, outputs, strict=False)]
    return results


def reason_of(name: str) -> str:
    for reason, patterns in REASONS.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns.split()):
            return reason
    return ""


@pytest.mark.parametrize("name", sorted(CASES.keys() - DIFFERENT))
def test_case(name: str) -> None:
    """With the first axis as the batch, or with the whole input as one element of a batch."""
    case, errors = CASES[name], []
    for batched in (True, False):
        try:
            results = compute(case, batched=batched)
        except InputError as error:
            errors.append(str(error))
            continue
        for ours, expected in results:
            assert ours.squeeze().shape == expected.squeeze().shape
            ours = ours.reshape(expected.shape)
            np.testing.assert_allclose(ours, expected, rtol=case.rtol, atol=case.atol)
        assert not reason_of(name), "it can be expressed"
        return
    assert reason_of(name), errors


def test_every_reason_is_used() -> None:
    for reason, patterns in REASONS.items():
        for pattern in patterns.split():
            assert fnmatch.filter(CASES, pattern), (reason, pattern)


def test_the_page_lists_the_reasons() -> None:
    text = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    for reason in (*REASONS, *DIFFERENT.values()):
        assert reason in text
