"""The trace of a run as an HDF5 file that any language can write (docs/oracle.md).

Format "fcpts-ref trace", version 1::

    attributes   format, version
    notes        uint8 (n,): JSON: graph, target, conventions, control, learn_rates, schedule
    network/     parameters/NAME, buffers/NAME: the dense network
    steps/K/     inputs/..., quantities/...: by the names of ``fcpts_ref.oracle.quantities``

Everything but the quantities may be absent if another trace has it.  There are no checksums:
other programs may change the arrays in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.oracle.quantities import in_order
from fcpts_ref.spec.conventions import Conventions, profile
from fcpts_ref.storage.hdf5 import open_hdf5, read_group, write_hdf5
from fcpts_ref.storage.hdf5_trees import read_json_text, read_tree, write_json, write_tree
from fcpts_ref.storage.network_files import graph_from_json, graph_to_json

Array = NDArray[Any]
Arrays = Mapping[str, Array]

FORMAT, VERSION = "fcpts-ref trace", 2
CONTROLS = ("loss", "projection")


@dataclass(frozen=True)
class Schedule:
    """The numbers that the learning-rate factor depends on (conventions 16 and 17)."""

    calibration_images: int
    epochs: int
    batch_size: int


@dataclass(frozen=True)
class Setting:
    """The settings of a run.

    schedule: None if every step has its own ``rate_factor``.  ramp: the share of the steps over
    which the target rises (``FCPTS.ramp``), for which a schedule is needed.
    """

    network: Network
    target: float
    conventions: Conventions
    control: str = "loss"
    learn_rates: bool = True
    schedule: Schedule | None = None
    ramp: float = 0.0


@dataclass(frozen=True)
class StepTrace:
    """The inputs and the quantities of one step, by name."""

    inputs: dict[str, Array] = field(default_factory=dict)
    quantities: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """The recorded steps of a run.

    setting: None if none was recorded.  network: by "parameters/NAME" and "buffers/NAME", what is
    written of the dense network without a setting.
    """

    steps: dict[int, StepTrace]
    setting: Setting | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    network: Arrays = field(default_factory=dict)


def write_trace(path: Path | str, trace: Trace) -> None:
    """Write a trace, whole or not at all.  Raises InputError if the file cannot be written."""

    def fill(file: h5py.File) -> None:
        notes = dict(trace.notes)
        if trace.setting is not None:
            notes |= _notes_of(trace.setting)
            group = file.create_group("network")
            _write_arrays(group.create_group("parameters"), trace.setting.network.parameters)
            _write_arrays(group.create_group("buffers"), trace.setting.network.buffers)
        elif trace.network:
            _write_arrays(file.create_group("network"), trace.network)
        write_json(file, "notes", notes, checksum=False)
        for number, step in trace.steps.items():
            group = file.create_group(f"steps/{number}")
            _write_arrays(group.create_group("inputs"), step.inputs)
            _write_arrays(group.create_group("quantities"), step.quantities)

    write_hdf5(path, FORMAT, VERSION, fill)


_write_arrays = partial(write_tree, checksum=False)


def read_trace(path: Path | str) -> Trace:
    """Read a trace that ``write_trace`` or another program wrote.

    Raises InputError, one line, for a file that is absent, damaged, foreign, of a newer version,
    or that would take more memory than it has bytes.
    """
    with open_hdf5(path, FORMAT, VERSION, oldest=2) as file:
        notes = _read_notes(file)
        setting = _read_setting(file, notes)
        steps = {}
        group = read_group(file, "steps")
        for number in sorted(group, key=_step_number):
            step = read_group(group, number)
            inputs, quantities = (
                read_tree(read_group(step, kind), levels=1) if kind in step else {}
                for kind in ("inputs", "quantities")
            )
            if setting is not None:
                graph = setting.network.graph
                quantities = {name: quantities[name] for name in in_order(quantities, graph)}
            steps[_step_number(number)] = StepTrace(inputs, quantities)
    return Trace(steps, setting, notes)


def conventions_from_json(data: Any) -> Conventions:
    """Return the conventions of a profile's name, or of an object of conventions.

    The object's "profile" fills in the conventions that it does not name; without one, "paper".

    Raises InputError for unknown names and values of another type.
    """
    if isinstance(data, str):
        return profile(data)
    if not isinstance(data, dict):
        raise InputError(f"conventions are {data!r}; expected a profile's name or an object")
    choices = dict(data)
    return profile(str(choices.pop("profile", "paper"))).with_choices(choices)


def _notes_of(setting: Setting) -> dict[str, Any]:
    return {
        "graph": graph_to_json(setting.network.graph),
        "target": setting.target,
        "conventions": asdict(setting.conventions),
        "control": setting.control,
        "learn_rates": setting.learn_rates,
        "schedule": None if setting.schedule is None else asdict(setting.schedule),
        "ramp": setting.ramp,
    }


def _read_notes(file: h5py.File) -> dict[str, Any]:
    if "notes" not in file:
        return {}
    notes = read_json_text(file, "notes")
    if not isinstance(notes, dict):
        raise InputError("notes should be a JSON object")
    return notes


def _read_setting(file: h5py.File, notes: Mapping[str, Any]) -> Setting | None:
    """Return the setting, or None if the file lacks notes or network."""
    if "network" not in file or "graph" not in notes:
        return None
    graph = graph_from_json(notes["graph"])
    group = read_group(file, "network")
    network = _network(
        graph,
        read_tree(read_group(group, "parameters")),
        read_tree(read_group(group, "buffers")) if "buffers" in group else {},
    )
    target, control = notes.get("target"), notes.get("control", "loss")
    if type(target) is not float or not 0 <= target < 1:
        raise InputError(f"target is {target!r}; expected a sparsity rate in [0, 1)")
    if control not in CONTROLS:
        raise InputError(f"control is {control!r}; expected one of {', '.join(CONTROLS)}")
    schedule, learn_rates = (
        _schedule_from_json(notes.get("schedule")),
        notes.get("learn_rates", True),
    )
    return Setting(
        network,
        target,
        conventions_from_json(notes.get("conventions", "paper")),
        control,
        learn_rates is not False,
        schedule,
        _ramp_from_json(notes.get("ramp", 0), control, schedule, learn_rates is not False),
    )


def _ramp_from_json(ramp: Any, control: str, schedule: Schedule | None, learn_rates: bool) -> float:
    if type(ramp) not in (int, float) or not 0 <= ramp <= 1:
        raise InputError(f"ramp is {ramp!r}; expected a share of the steps in [0, 1]")
    if ramp and (control != "projection" or schedule is None or not learn_rates):
        raise InputError(
            f"ramp is {ramp}; it needs control 'projection', a schedule, and rates that are learned"
        )
    return float(ramp)


def _network(graph: Graph, parameters: Arrays, buffers: Arrays) -> Network:
    """Make the network in float64, with its names in the graph's order."""

    def cast(arrays: Arrays, names: Any) -> dict[str, Array]:
        order = [name for name in names if name in arrays]
        order += [name for name in arrays if name not in names]  # the network will refuse them
        return {name: arrays[name].astype(np.float64) for name in order}

    return Network(
        graph, cast(parameters, graph.parameter_shapes), cast(buffers, graph.buffer_shapes)
    )


def _schedule_from_json(data: Any) -> Schedule | None:
    if data is None:
        return None
    names = [item.name for item in fields(Schedule)]
    valid = isinstance(data, dict) and sorted(data) == sorted(names)
    if not valid or not all(type(data[name]) is int and data[name] >= 1 for name in names):
        raise InputError(f"schedule is {data!r}; expected {', '.join(names)}, each 1 or more")
    return Schedule(**data)


def _step_number(name: str) -> int:
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        raise InputError(f"steps/{name} should be a step's number, counted from 0")
    return int(name)
