"""The frozen files: closed schema, hashes, stable ids, coverage, size, margins."""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.oracle import vectors
from fcpts_ref.resources import resource_path

FOLDER = resource_path("vectors")
ROOT = Path(__file__).resolve().parents[2]
CASES = vectors.load_cases()


def groups():
    names = json.loads((FOLDER / "suite.json").read_text())["files"]
    return [json.loads((FOLDER / name).read_text()) for name in names if name.endswith(".json")]


def test_every_file_keeps_to_the_closed_schema():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))
    for group in groups():
        validator.validate(group)
    broken = groups()[0]
    broken["cases"][0]["surprise"] = 1
    assert not validator.is_valid(broken)


def test_the_table_of_contents_has_every_file_and_its_hash():
    suite = json.loads((FOLDER / "suite.json").read_text())
    on_disk = {p.name for p in FOLDER.iterdir() if p.suffix in (".json", ".h5")}
    assert on_disk - {"suite.json", "schema.json"} == set(suite["files"])
    for name, entry in suite["files"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == entry["sha256"], name
    assert suite["cases"] == len(CASES)


def test_the_set_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 2_000_000


def test_ids_are_unique_and_named_after_their_group():
    counts = Counter(case.id for case in CASES)
    assert max(counts.values()) == 1
    assert all(case.id.startswith(f"{case.group}.") for case in CASES)


def test_every_flag_has_a_note_and_every_note_is_used():
    for group in groups():
        used = {flag for case in group["cases"] for flag in case.get("flags", ())}
        assert used <= set(group["notes"]), group["group"]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14])
def test_every_equation_has_cases(number):
    assert any(case.source == f"Equation {number}" for case in CASES)


def test_every_decision_of_the_equations_has_boundary_cases():
    boundary = {case.operation for case in CASES if "BOUNDARY" in case.flags}
    assert boundary >= {
        "mask",
        "control_loss",
        "control_loss_gradient",
        "mask_threshold_gradient",
        "sparsity_rate",
        "histogram_density",
        "relu_backward",
        "relu6_backward",
        "max_pool_backward",
        "mask_of_count",
        "exact_masks",
        "pruned_count",
        "allocation_lamp",
    }


def test_floating_inputs_are_exact_in_float32():
    for case in CASES:
        if "BOUNDARY" in case.flags or case.reject:
            continue
        for name, value in case.inputs.items():
            for array in value if isinstance(value, list) else [value]:
                if isinstance(array, np.ndarray) and array.dtype == np.float64:
                    assert np.array_equal(array, array.astype(np.float32)), (case.id, name)


@pytest.mark.slow
def test_regeneration_differs_in_nothing():
    pytest.importorskip("mpmath")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    command = pytest.importorskip("tools.vectors.command")
    assert command.main(["drift"]) == 0


def test_arrays_survive_the_json_round_trip():
    array = np.array([[0.1, -0.0, np.nan], [np.inf, -np.inf, 5e-324]])
    entry = json.loads(json.dumps(vectors.encode_array(array), allow_nan=False))
    decoded = vectors.decode_array(entry)
    assert decoded.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [2], "data": [1.0]},
        {"shape": [-1], "data": []},
        {"shape": [1], "data": ["one"]},
        {"shape": [1], "data": [{}]},
        {"data": [1.0]},
        {"shape": [1 << 40], "data": []},
        {"dtype": "object", "shape": [1], "data": [[]]},
        {"shape": [1], "file": "eq01.h5", "dataset": "x"},
    ],
)
def test_bad_arrays_are_refused(entry):
    with pytest.raises(InputError):
        vectors.decode_array(entry)


def test_unknown_patterns_are_refused():
    with pytest.raises(InputError, match=r"eq99"):
        vectors.select_cases(CASES, skip=["eq99.0001"])
    with pytest.raises(InputError, match="nothing"):
        vectors.select_cases(CASES, only=["nothing*"])


def test_selection_by_id_group_operation_and_flag():
    for pattern in ("eq08.0010", "eq08", "control_loss_gradient", "BOUNDARY"):
        chosen, skipped = vectors.select_cases(CASES, only=[pattern], skip=["eq08.0010"])
        assert [case.id for case in skipped] == ["eq08.0010"]
        assert "eq08.0010" not in {case.id for case in chosen}


@pytest.mark.parametrize("content", ["", "[]", '{"format": "fcpts-vectors/2"}'])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "suite.json").write_text(content)
    with pytest.raises(InputError, match=r"suite\.json"):
        vectors.load_cases(tmp_path)
