"""Recording from one's own program: arrays of any library, strings, truth values, .npz files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from traced_networks import record as reference_of

from fcpts_ref.cli import main
from fcpts_ref.errors import InputError
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.record import Recorder, as_numpy, read_any_trace, record, trace_from_npz
from fcpts_ref.oracle.trace_file import read_trace, write_trace

ROOT = Path(__file__).resolve().parents[2]
TRACE = reference_of(steps=(0, 1))


class Foreign:
    """An array of another library, through ``__array__``."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


class Capsule:
    """An array that offers DLPack, and nothing else."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Device(Capsule):
    """An array whose ``__array__`` refuses, as on another device."""

    def __array__(self, *_, **__):
        raise TypeError("only DLPack")


def test_a_run_is_recorded_and_compared(tmp_path):
    path = tmp_path / "mine.h5"
    with record(path) as see:
        for number in (0, 1):
            see.next_step(number)
            q = TRACE.steps[number].quantities
            see("rates", Foreign(q["rates"]))
            see("total_loss", float(q["total_loss"]))
            see("dthreshold", Capsule(q["dthreshold"]))
            see("densities", Device(q["densities"]))
            masks = {n.partition("/")[2]: v > 0 for n, v in q.items() if n.startswith("mask/")}
            see.every("mask", masks)
    trace = read_trace(path)
    assert set(trace.steps) == {0, 1}
    assert diverge(trace, TRACE).count == 14


def test_a_copy_is_recorded():
    see, array = Recorder(), np.array([0.5, 0.25, 0.75])
    see("rates", array)
    array[:] = 0
    assert see.steps[0].quantities["rates"].sum() == 1.5


def test_hooks_record_outputs():
    see = Recorder()
    see.hook("activation/relu1")(None, (), np.ones(3))
    assert see.steps[0].quantities["activation/relu1"].sum() == 3


@pytest.mark.parametrize("name", ["rate", "masks/conv1.weight", "", 3, None])
def test_names_that_no_trace_has_are_refused(name):
    with pytest.raises(InputError, match="name"):
        Recorder()(name, np.ones(3))


@pytest.mark.parametrize("array", [None, "text", object(), [[1], [1, 2]], 1j, np.longdouble(1)])
def test_values_that_are_no_arrays_are_refused(array):
    with pytest.raises(InputError):
        Recorder()("rates", array)


def test_nothing_recorded_is_refused_and_a_failed_block_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="nothing was recorded"), record(tmp_path / "a.h5"):
        pass
    with pytest.raises(InputError, match="no quantity"), record(tmp_path / "b.h5") as see:
        see("nothing", 1.0)
    with pytest.raises(InputError, match="JSON"), record(tmp_path / "c.h5", {"x": {1}}) as see:
        see("rates", np.ones(3))
    assert not list(tmp_path.iterdir())


def test_a_trace_with_its_own_network_and_inputs(tmp_path):
    path, whole = tmp_path / "mine.h5", tmp_path / "whole.h5"
    write_trace(whole, TRACE)
    notes = read_trace(whole).notes
    with record(path, notes) as see:
        see.every("network/parameters", TRACE.setting.network.parameters)
        see.every("network/buffers", TRACE.setting.network.buffers)
        see.every("inputs", TRACE.steps[0].inputs)
        see("rates", TRACE.steps[0].quantities["rates"])
    assert diverge(read_trace(path)).ok


def test_ordinary_strings_and_truth_values_are_read(tmp_path):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "fcpts-ref trace"
        file.attrs["version"] = 2
        file["notes"] = "{}"
        for name in ("mask/conv1.weight", "rates"):
            value = TRACE.steps[0].quantities[name]
            file[f"steps/0/quantities/{name}"] = value > 0 if "mask" in name else value
    assert diverge(read_trace(path), TRACE).count == 2


def test_an_npz_file_is_a_trace(tmp_path, capsys):
    path, reference = tmp_path / "mine.npz", tmp_path / "reference.h5"
    first, second = (TRACE.steps[k].quantities for k in (0, 1))
    arrays = {"rates": first["rates"], "mask/conv1.weight": first["mask/conv1.weight"] > 0}
    np.savez(path, **arrays, **{"steps/1/rates": second["rates"]})
    assert diverge(trace_from_npz(path), TRACE).count == 3
    write_trace(reference, TRACE)
    assert main(["diverge", str(path), str(reference), "--quiet"]) == 0
    assert "3 quantities" in capsys.readouterr().out
    assert set(read_any_trace(path).steps) == {0, 1}


def test_npz_files_without_a_trace_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", anything=np.ones(2))
    np.savez(tmp_path / "b.npz", **{"network/parameters/x": np.ones(2)})
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(InputError):
            trace_from_npz(tmp_path / name)


def test_tensors_with_a_gradient_are_detached():
    torch = pytest.importorskip("torch")
    leaf = torch.ones(3, requires_grad=True)
    assert as_numpy(2 * leaf).sum() == 6
    assert as_numpy(torch.tensor([True, False])).dtype == bool


@pytest.mark.slow
def test_the_example_with_hooks_agrees(tmp_path, capsys):
    pytest.importorskip("torch")
    reference, mine = tmp_path / "reference.h5", tmp_path / "mine.h5"
    arguments = ["trace", "--steps", "0-1", "--batch-size", "16", "--out", str(reference)]
    assert main([*arguments, "--profile", "released", "--quiet"]) == 0
    program = [sys.executable, ROOT / "examples" / "record_torch.py", reference, mine]
    subprocess.run(program, check=True)
    assert main(["diverge", str(mine), str(reference), "--quiet"]) == 0
    assert "agrees" in capsys.readouterr().out
