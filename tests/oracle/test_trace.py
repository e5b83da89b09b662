"""Recording runs, and the files of traces: content and refusals."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from small_networks import make_images
from traced_networks import IMAGE_COUNT, network, pooled, record

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.trace import record_run, trace_bytes
from fcpts_ref.oracle.trace_file import Trace, conventions_from_json, read_trace, write_trace
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.pruning.registry import sparsify

TRACE = record(steps=(0, 2))
SHORT = FCPTS(profile="paper", epochs=1, batch_size=8)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "trace.h5"
    write_trace(path, TRACE)
    return path


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def rewrite_notes(path, **changes):
    def change(file):
        notes = json.loads(file["notes"][()].tobytes()) | changes
        del file["notes"]
        file["notes"] = np.frombuffer(json.dumps(notes).encode(), dtype=np.uint8)

    edit(path, change)


@pytest.mark.parametrize("profile", ["paper", "released"])
@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"augmentation": "crop-flip"},
        {"augmentation": "crop", "views": 1, "control": "projection"},
    ],
    ids=["unchanged", "new views", "cached views"],
)
def test_the_traced_run_is_the_run(profile, seen):
    settings = {"profile": profile, "epochs": 2, "batch_size": 8, **seen}
    images = make_images(pooled(), IMAGE_COUNT)
    trace = record(steps=(5,), **settings)
    result = sparsify(network(), images, target=0.5, seed=0, engine="numpy", **settings)
    q = trace.steps[5].quantities
    for name, mask in result.network.masks.items():
        assert_same_bits(q[f"final_mask/{name}"].astype(bool), mask, name)
        kept = q[f"new_parameter/{name}"] * mask
        assert_close(kept, result.network.parameters[name], 1e-10, name)
    assert_close(q["rate_factor"], result.history["learning_rate_factor"][-1])
    assert_close(q["final_rate"], result.rate_before_projection)


def test_a_trace_is_read_back_bit_by_bit(path):
    again = read_trace(path)
    assert list(again.steps) == [0, 2]
    for number, step in TRACE.steps.items():
        for kind in ("inputs", "quantities"):
            want, got = getattr(step, kind), getattr(again.steps[number], kind)
            assert set(want) == set(got)
            for name in want:
                assert_same_bits(got[name], want[name], name)
        assert list(again.steps[number].quantities) == list(step.quantities)
    assert again.setting.conventions == TRACE.setting.conventions
    assert again.setting.network.graph == TRACE.setting.network.graph
    assert again.setting.schedule == TRACE.setting.schedule


def test_quantities_can_be_left_out():
    images = make_images(pooled(), IMAGE_COUNT)
    few = record_run(
        network(), images, target=0.5, steps=[0], method=SHORT,
        without=["activation", "dactivation/*"],
    )  # fmt: skip
    kinds = {name.partition("/")[0] for name in few.steps[0].quantities}
    assert not kinds & {"activation", "dactivation"}
    assert "dense_activation" in kinds
    assert trace_bytes(few.steps) < trace_bytes({0: TRACE.steps[0]})
    assert diverge(few).ok


def test_every_step_is_reported_when_done():
    images = make_images(pooled(), IMAGE_COUNT)
    told: list[int] = []
    trace = record_run(
        network(), images, target=0.5, steps=[0, 2], method=SHORT,
        on_step=told.append,
    )  # fmt: skip
    assert told == [1, 1, 1]
    told.clear()
    assert diverge(trace, on_step=told.append).ok
    assert told == [1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": []}, "steps are"),
        ({"steps": [12]}, "the run has 12"),
        ({"steps": [-1]}, "the run has 12"),
        ({"target": 1.0}, "target"),
        ({"ramp": 0.5, "control": "projection", "learn_rates": False}, "rates are fixed"),
        ({"target": 0.999}, "would prune all"),
    ],
)
def test_impossible_runs_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        record(**settings)


def test_quantities_of_the_first_step_can_be_left_out():
    images = make_images(pooled(), IMAGE_COUNT)
    trace = record_run(
        network(), images, target=0.5, steps=[0, 1], method=SHORT,
        without=["initial_rates", "final_*"],
    )  # fmt: skip
    assert "initial_rates" not in trace.steps[0].quantities


def test_another_allocation_is_traced():
    images = make_images(pooled(), IMAGE_COUNT)
    method = replace(SHORT, allocation="uniform")
    trace = record_run(network(), images, target=0.5, steps=[0], method=method)
    result = sparsify(
        network(), images, target=0.5, engine="numpy", profile="paper", epochs=1, batch_size=8,
        allocation="uniform",
    )  # fmt: skip
    initial = trace.steps[0].quantities["initial_rates"]
    assert_close(initial, np.array(list(result.initial_rates.values())))


def test_an_unknown_quantity_to_leave_out_is_refused():
    images = make_images(pooled(), 8)
    with pytest.raises(InputError, match="activations"):
        record_run(
            network(), images, target=0.5, steps=[0], method=SHORT,
            without=["activations"],
        )  # fmt: skip


def test_a_trace_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("fcpts_ref.oracle.trace.MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="GiB"):
        record(steps=(0, 1))


def test_a_foreign_program_needs_only_names_and_arrays(tmp_path, path):
    mine = tmp_path / "mine.h5"
    with h5py.File(mine, "w") as file:
        file.attrs["format"] = np.bytes_("fcpts-ref trace")
        file.attrs["version"] = 2
        for name in ("rates", "mask/conv1.weight", "total_loss"):
            file[f"steps/0/quantities/{name}"] = TRACE.steps[0].quantities[name]
    trace = read_trace(mine)
    assert trace.setting is None
    assert diverge(trace, read_trace(path)).count == 3


def test_big_endian_numbers_are_read(path):
    value = TRACE.steps[0].quantities["rates"]

    def change(file):
        del file["steps/0/quantities/rates"]
        file["steps/0/quantities/rates"] = value.astype(">f8")

    edit(path, change)
    assert_same_bits(read_trace(path).steps[0].quantities["rates"], value)


def _link(file):
    del file["steps/0/quantities/rates"]
    file["steps/0/quantities/rates"] = h5py.ExternalLink("/etc/passwd", "/")


def _chunks(file):
    del file["steps/0/quantities/rates"]
    file.create_dataset("steps/0/quantities/rates", (1 << 40,), "f8", chunks=(1 << 16,))


def _many_links(file):
    big = file["steps/0/quantities/activation/conv1"]
    for i in range(2_000):
        file[f"steps/0/quantities/dmask/{i}"] = big


def _circle(file):
    file["steps/0/quantities/mask/again"] = file["steps/0/quantities"]


def _text(file):
    file["steps/0/quantities/total"] = "text"


def _step_name(file):
    file.create_group("steps/first")


@pytest.mark.parametrize("change", [_link, _chunks, _many_links, _circle, _text, _step_name])
def test_malicious_files_are_refused(path, change):
    edit(path, change)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "notes",
    [
        {"target": "0.5"},
        {"target": 1.5},
        {"control": "hope"},
        {"conventions": {"tie": "kept"}},
        {"conventions": {"temperature": "hot"}},
        {"conventions": {"unheard": 1}},
        {"conventions": 3},
        {"schedule": {"epochs": 0, "batch_size": 1, "calibration_images": 1}},
        {"schedule": [1]},
        {"graph": {"name": "x"}},
    ],
    ids=str,
)
def test_bad_notes_are_refused(path, notes):
    rewrite_notes(path, **notes)
    with pytest.raises(InputError):
        read_trace(path)


def test_a_file_cut_short_is_refused(path, tmp_path):
    for cut in (0, 1, 100, path.stat().st_size // 2, path.stat().st_size - 1):
        part = tmp_path / "part.h5"
        part.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(InputError):
            read_trace(part)


@pytest.mark.parametrize("name", ["nothing.h5", "."])
def test_a_file_that_is_not_a_trace_is_refused(tmp_path, name):
    with pytest.raises(InputError):
        read_trace(tmp_path / name)


def test_conventions_are_a_profile_and_choices():
    assert conventions_from_json("released").temperature == 4.0
    mixed = conventions_from_json({"profile": "released", "temperature": 2})
    assert (mixed.temperature, mixed.density) == (2, "histogram")
    assert conventions_from_json({}).temperature == 1.0


def test_nothing_is_left_if_a_trace_cannot_be_written(tmp_path):
    with pytest.raises(InputError):
        write_trace(tmp_path / "no" / "folder" / "t.h5", Trace({}))
    assert os.listdir(tmp_path) == []
    assert replace(TRACE, steps={}).steps == {}


def test_the_page_describes_the_notes(path):
    notes = read_trace(path).notes
    page = (Path(__file__).resolve().parents[2] / "docs" / "oracle.md").read_text(encoding="utf-8")
    table = page.partition("| key | meaning |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE))
    assert set(rows) == set(notes)
    graph = notes["graph"]
    assert set(re.findall(r"`(\w+)`", rows["graph"])) == {*graph, *graph["nodes"][0]}
    assert set(re.findall(r"`(\w+)`", rows["schedule"])) == set(notes["schedule"])
