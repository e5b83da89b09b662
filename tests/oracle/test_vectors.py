"""The frozen files: closed schema, hashes, stable ids, coverage, size, margins."""

import hashlib
import json
import os
import sys
import warnings
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.oracle import vectors
from fcpts_ref.oracle.adapters import load_python_adapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.report import format_case, format_report, make_json, make_junit
from fcpts_ref.resources import resource_path

FOLDER = resource_path("vectors")
ROOT = Path(__file__).resolve().parents[2]
CASES = vectors.load_cases()


def groups():
    names = json.loads((FOLDER / "suite.json").read_text())["files"]
    return [json.loads((FOLDER / name).read_text()) for name in names if name.endswith(".json")]


def test_every_file_follows_the_closed_schema():
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


def test_every_flag_has_a_note():
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
def test_regeneration_gives_the_same_vectors():
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
        {"shape": [1], "data": [None]},
        {"shape": [True], "data": [1.0]},
        {"dtype": "S1000000000", "shape": [1], "data": [1]},
        {"dtype": ["float64"], "shape": [1], "data": [1]},
        {"dtype": "int64", "shape": [1], "data": [10**30]},
        {"shape": [0] * 100, "data": []},
        {"shape": 3, "data": [1.0]},
    ],
)
def test_bad_arrays_are_refused(entry):
    with pytest.raises(InputError):
        vectors.decode_array(entry)


@pytest.mark.parametrize("entry", ["x", "inside/x", "outside/x"])
def test_no_other_file_is_read(tmp_path, entry):
    (tmp_path / "secret").write_bytes(bytes(range(64)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(64, np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        place = [(str(tmp_path / "secret"), 0, 64)]
        file.create_dataset("x", (64,), np.uint8, external=place)
        file["outside"] = h5py.ExternalLink("other.h5", "/")
        file["inside/x"] = h5py.SoftLink("/outside/x")
    array = {"dtype": "uint8", "shape": [64], "file": "a.h5", "dataset": entry}
    with pytest.raises(InputError, match=r"inside the file|another place"):
        vectors.decode_array(array, tmp_path)


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


def broken(value, generator):
    """Return the JSON value with one entry changed, removed or replaced."""
    if isinstance(value, dict) and value and generator.random() < 0.9:
        key = list(value)[generator.integers(len(value))]
        rest = {k: v for k, v in value.items() if k != key}
        kind = generator.integers(4)
        if kind == 0:
            return rest
        if kind == 1:
            return rest | {f"{key}\x1b": value[key]}
        return value | {key: broken(value[key], generator)}
    if isinstance(value, list) and value and generator.random() < 0.9:
        i = int(generator.integers(len(value)))
        return [*value[:i], broken(value[i], generator), *value[i + 1 :]]
    others: list[object] = [
        None,
        True,
        -1,
        10**30,
        1e308,
        "",
        "x\x1b[31m",
        [],
        [[1]],
        {},
        {"shape": [2]},
        "nan",
    ]
    others += [
        10**4000,
        [10**39],
        "a" * 100_000,
        [1] * 100_000,
        {"shape": [], "data": ["z" * 5000]},
    ]
    return others[generator.integers(len(others))]


SOURCE = json.loads((FOLDER / "eq08.json").read_text())
SOURCE["cases"] = SOURCE["cases"][:2] + SOURCE["cases"][-2:]
SUITE = {"format": vectors.FORMAT, "files": {"eq08.json": {}}}


def write_suite(folder, group, suite=SUITE):
    (folder / "suite.json").write_text(json.dumps(suite))
    (folder / "eq08.json").write_text(json.dumps(group))


@pytest.mark.parametrize("seed", range(10))
def test_broken_files_are_refused_or_read_whatever_is_wrong(tmp_path, seed):
    """A mutated file gives a one-line InputError, or cases that can be run, shown and exported."""
    generator = np.random.default_rng(seed)
    refused = []
    for _ in range(60):
        write_suite(tmp_path, broken(SOURCE, generator))
        try:
            cases = vectors.load_cases(tmp_path)
        except InputError as error:
            refused.append(str(error))
            continue
        report = check(load_python_adapter("reference"), cases)
        make_json(report), make_junit(report), format_report(report)
        for case in cases:
            text = format_case(case)
            assert text.replace("\n", "").isprintable()
            assert len(text) < 10_000
            json.dumps(vectors.export_case(case), allow_nan=False)
    assert len(refused) > 10
    for message in refused:
        assert "eq08.json" in message
        assert message.isprintable()
        assert len(message) < 500


@pytest.mark.parametrize(
    "suite",
    [
        {"format": vectors.FORMAT},
        {"format": vectors.FORMAT, "files": 3},
        {"format": vectors.FORMAT, "files": {"../eq08.json": {}}},
        {"format": vectors.FORMAT, "files": {"/etc/passwd": {}}},
    ],
)
def test_a_suite_without_its_parts_is_refused(tmp_path, suite):
    write_suite(tmp_path, SOURCE, suite)
    with pytest.raises(InputError, match=r"suite\.json"):
        vectors.load_cases(tmp_path)


def test_deep_nesting_is_refused(tmp_path):
    (tmp_path / "suite.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        vectors.load_cases(tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"shape": [1], "data": ["z" * 5000]},
            "the data of an array hold 'zzz.*; expected numbers",
        ),
        ({"shape": [10**30], "data": []}, "has more than 16777216 elements"),
        ({"shape": [0, 2**62], "data": []}, "too big"),
        ({"dtype": "int8", "shape": [1], "data": [300]}, "out of bounds for int8"),
        ({"dtype": "int64", "shape": [1], "data": [1e300]}, "too large"),
        ({"dtype": "int64", "shape": [1], "data": [1.5]}, "not all of its dtype, int64"),
        ({"dtype": "bool", "shape": [1], "data": [0.5]}, "not all of its dtype, bool"),
    ],
)
def test_arrays_are_refused_in_few_words(entry, message):
    with pytest.raises(InputError, match=message) as refused:
        vectors.decode_array(entry)
    assert len(str(refused.value)) < 300


def test_a_number_beyond_a_dtype_is_infinite_in_it_without_a_warning():
    entry = {"dtype": "float16", "shape": [2], "data": [1e300, -1e300]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vectors.decode_array(entry).tolist() == [np.inf, -np.inf]


def test_a_pipe_in_place_of_a_suite_is_refused(tmp_path):
    os.mkfifo(tmp_path / "suite.json")  # reading it would wait forever
    with pytest.raises(InputError, match="pipe"):
        vectors.load_cases(tmp_path)


def test_a_file_of_millions_of_values_is_refused_before_memory_is_taken(tmp_path):
    (tmp_path / "suite.json").write_text("[" + "[]," * (1 << 21) + "0]")
    with pytest.raises(InputError, match="values"):
        vectors.load_cases(tmp_path)


def from_file(folder, dataset="x"):
    entry = {"dtype": "float64", "shape": [2], "file": "a.h5", "dataset": dataset}
    return vectors.decode_array(entry, folder)


def test_arrays_in_a_file_are_read_from_that_file_alone(tmp_path):
    """External storage and links would read and print any file on the machine."""
    (tmp_path / "secret").write_bytes(b"0123456789abcdef")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = [1.0, 2.0]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [3.0, 4.0]
        file["group/x"] = [5.0, 6.0]
        file.create_dataset("raw", (2,), "f8", external=str(tmp_path / "secret"))
        file["soft"] = h5py.SoftLink("/x")
        file["linked"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
        file["away"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        layout = h5py.VirtualLayout((2,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (2,))
        file.create_virtual_dataset("virtual", layout)
    assert from_file(tmp_path).tolist() == [3.0, 4.0]
    assert from_file(tmp_path, "group/x").tolist() == [5.0, 6.0]
    for name in ("raw", "soft", "linked", "away/x", "virtual", "group", "none", "x/y", ".", "/x"):
        with pytest.raises(InputError, match=r"a\.h5"):
            from_file(tmp_path, name)


@pytest.mark.parametrize("content", [None, b"", b"no HDF5"])
def test_a_file_of_arrays_that_is_absent_or_foreign(tmp_path, content):
    if content is not None:
        (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.h5"):
        from_file(tmp_path)
