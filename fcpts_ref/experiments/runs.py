"""A run and its folder: settings first, a checkpoint after every stage, results at the end.

    settings.json    what was asked for; enough to repeat the run
    checkpoint.h5    the state after the last finished stage
    network.h5       the sparse network
    history.h5       losses, rates and thresholds by step
    summary.json     everything the tables show, with versions and checksums

Every file appears whole or not at all, and one process writes to a folder at a time.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref import __version__
from fcpts_ref.engines.base import Engine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.interrupts import held_interrupts
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.common import (
    Method,
    OnStep,
    Problem,
    Result,
    StepReport,
    ignore_step,
    make_problem,
)
from fcpts_ref.pruning.registry import make_method
from fcpts_ref.storage.files import describe_failure, write_atomically
from fcpts_ref.storage.hdf5 import array_sha256 as array_sha256
from fcpts_ref.storage.network_files import read_arrays, write_arrays

Array = NDArray[Any]
SETTINGS, CHECKPOINT, SUMMARY = "settings.json", "checkpoint.h5", "summary.json"
NETWORK, HISTORY = "network.h5", "history.h5"


@dataclass(frozen=True)
class RunSettings:
    """All that decides the outcome of a run, as it is stored in settings.json.

    method_settings: what was said of the method; resolved: what it came to (``resolve``), which is
    worked out unless it is given.  calibration: how many training images; None for all of them or
    the profile's number, whichever is less.  network_sha256 and images_sha256 pin the inputs.
    Raises InputError for what is no setting of the method.
    """

    weights: str
    data: str
    target: float
    method: str = "fcpts"
    method_settings: Mapping[str, Any] = field(default_factory=dict)
    resolved: Mapping[str, Any] | None = None
    calibration: int | None = None
    seed: int = 0
    engine: str = "numba"
    network_sha256: str = ""
    images_sha256: str = ""

    def __post_init__(self) -> None:
        if self.resolved is None:
            object.__setattr__(self, "resolved", resolve(self.method, self.method_settings))


def resolve(method: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a method and its conventions, by what was said and today's defaults.

    As JSON holds them.  Raises InputError for what is no setting of the method.
    """
    made: Any = make_method(method, **said)
    everything = asdict(made)
    if hasattr(made, "conventions"):
        everything["conventions"] = asdict(made.conventions)
    plain: dict[str, Any] = as_json(everything)
    return plain


@dataclass(frozen=True)
class Finished:
    """A result and how much of the run is behind it; seconds: of all its sessions together."""

    result: Result
    stages_done: int
    stages: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every stage was run."""
        return self.stages_done == self.stages


def execute(
    settings: RunSettings,
    network: Network,
    images: Array,
    folder: Path,
    *,
    threads: int | None = None,
    on_step: OnStep = ignore_step,
) -> Finished:
    """Runs the stages that ``folder`` has no checkpoint for yet, and finishes.

    After a kill at any moment the next call goes on from the last checkpoint and ends with the
    same bits.  On KeyboardInterrupt the result is that of the last finished stage.
    Raises InputError for bad input, settings that came to something else when they were made, or a
    checkpoint of other settings.
    """
    if settings.resolved != resolve(settings.method, settings.method_settings):
        raise InputError(
            f"the settings of {settings.method} were made with other defaults, or for other "
            "method_settings; make them anew, with resolved=None"
        )
    method = make_method(settings.method, **settings.method_settings)
    problem = make_problem(
        network, images, settings.target, engine=settings.engine, threads=threads
    )
    generator = np.random.default_rng(settings.seed)
    stages = method.stages(problem)
    begun = time.perf_counter()
    pinned = as_json(asdict(settings))
    state, done, earlier = _resumed(method, problem, generator, folder, pinned)
    try:
        with held_interrupts() as check:
            on_step = _followed_by(on_step, check)
            while done < stages:
                state = method.advance(problem, state, generator, on_step)
                done += 1
                spent = earlier + time.perf_counter() - begun
                _write_checkpoint(folder, method, state, done, generator, spent, pinned)
                check()
    except KeyboardInterrupt:
        if done == 0:
            raise
    result = method.finish(problem, state)
    return Finished(result, done, stages, earlier + time.perf_counter() - begun)


def _followed_by(on_step: OnStep, check: Callable[[], None]) -> OnStep:
    def both(report: StepReport) -> None:
        on_step(report)
        check()

    return both


def _resumed(
    method: Method,
    problem: Problem,
    generator: np.random.Generator,
    folder: Path,
    pinned: Mapping[str, Any],
) -> tuple[Any, int, float]:
    """The state after the last checkpoint and the seconds it took, the generator set to where it
    was; or a fresh start."""
    path = folder / CHECKPOINT
    if not path.exists():
        return method.begin(problem), 0, 0.0
    arrays, notes = read_arrays(path)
    if notes.get("settings") != pinned:
        raise InputError(f"{path} is of other settings or inputs; remove it to start anew")
    try:
        state = method.unpack(arrays, notes["state"])
        generator.bit_generator.state = notes["generator"]
        return state, int(notes["stages_done"]), float(notes["seconds"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no checkpoint of this method ({error}); remove it to start anew"
        ) from error


def _write_checkpoint(
    folder: Path,
    method: Method,
    state: Any,
    done: int,
    generator: np.random.Generator,
    seconds: float,
    pinned: Mapping[str, Any],
) -> None:
    arrays, notes = method.pack(state)
    everything = {
        "settings": pinned,
        "state": notes,
        "stages_done": done,
        "seconds": seconds,
        "generator": generator.bit_generator.state,
    }
    write_arrays(folder / CHECKPOINT, arrays, everything)


def draw_calibration(
    n: int, count: int | None, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The indices of ``count`` of n training images (default all), drawn once, in rising order.

    Labels are never looked at.  Raises InputError for more images than there are, or none.
    """
    if count is None or count == n:
        return np.arange(n)
    if not 1 <= count <= n:
        raise InputError(f"{count} calibration images were asked for; there are {n}")
    return np.sort(generator.choice(n, size=count, replace=False))


def re_estimate_batch_norm(
    network: Network, images: Array, *, engine: Engine, batch_size: int = 64
) -> Network:
    """The network with batch norm's running statistics measured anew on ``images``.

    The mean over all full batches of the batch's mean and unbiased variance.
    Raises InputError for images so few and small that a layer has one value per channel.
    """
    batch = min(batch_size, len(images))
    momentum = {
        f"{node.name}.{short}": node.attributes["momentum"]
        for node in network.graph.nodes
        if node.operation == "batch_norm"
        for short in ("running_mean", "running_var")
    }
    blank = dict(network.buffers) | {k: np.zeros_like(network.buffers[k]) for k in momentum}
    total = {k: np.zeros(network.buffers[k].shape) for k in momentum}
    batches = range(0, len(images) - batch + 1, batch)
    for start in batches:
        x = images[start : start + batch].astype(network.dtype, copy=False)
        passed = engine.forward(
            network.parameters,
            blank,
            {network.graph.input: x},
            training=True,
            keep=False,
            sparse=bool(network.masks),
        )
        for k, m in momentum.items():  # from zero, the new running value is momentum * batch's
            total[k] += passed.buffers[k] / m
    new = {k: (total[k] / len(batches)).astype(network.dtype) for k in momentum}
    return Network(network.graph, network.parameters, {**network.buffers, **new}, network.masks)


def network_sha256(network: Network) -> str:
    """A checksum of all parameters and buffers, names and bytes, in the order of the graph."""
    digest = hashlib.sha256()
    stored = {**network.parameters, **network.buffers}
    for name in (*network.graph.parameter_shapes, *network.graph.buffer_shapes):
        array = stored[name]
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """What ran: this package, Python, and the packages that compute."""
    packages = {name: version(name) for name in ("numpy", "scipy", "numba", "h5py")}
    return {
        "fcpts-ref": __version__,
        **packages,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def write_settings(folder: Path, settings: RunSettings) -> None:
    """Writes settings.json.  Raises InputError if that fails."""
    write_json(folder / SETTINGS, asdict(settings))


def read_settings(folder: Path) -> RunSettings:
    """The settings of a run.  Raises InputError for a folder that holds none."""
    data = read_json(folder / SETTINGS)
    try:
        if not isinstance(data["resolved"], dict):  # else it would be worked out anew
            raise TypeError("resolved does not list settings")
        return RunSettings(**data)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / SETTINGS} is not of a run ({error}); give its folder"
        ) from error


def as_json(data: Any) -> Any:
    """The data as they come back from JSON."""
    return json.loads(json.dumps(data, default=_plain))


def write_json(path: Path, data: Any) -> None:
    """Writes JSON, whole or not at all."""
    text = json.dumps(data, indent=2, default=_plain) + "\n"
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def read_json(path: Path) -> Any:
    """Reads JSON.  Raises InputError if the file is absent or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}); make it anew") from error


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
