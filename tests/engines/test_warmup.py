"""Kernels of backward that another process compiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from small_networks import small_plain

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.engines.numba import warmup
from fcpts_ref.storage.network_files import graph_from_json, graph_to_json

BACKWARD = """
import json, sys
import numpy as np
from numba.core import event
from fcpts_ref.engines.make import make_engine
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.storage.network_files import graph_from_json

graph = graph_from_json(json.load(sys.stdin))
network = initialise(graph, np.random.default_rng(0))
engine = make_engine(graph, "numba")
images = np.random.default_rng(1).random((8, *graph.input_shape), np.float32)
compiled = []

class Listener(event.Listener):
    def on_start(self, event):
        pass
    def on_end(self, event):
        compiled.append(event.data["dispatcher"].py_func.__name__)

for rate in (0.0, 0.95):
    parameters = dict(network.parameters)
    for name in graph.prunable:
        w = parameters[name]
        parameters[name] = w * (abs(w) > np.quantile(abs(w), rate))
    for kind in ("all", "kept"):
        passed = engine.forward(
            parameters,
            network.buffers,
            {"images": images},
            training=True,
            keep=True,
            sparse=rate > 0,
        )
        dlogits = np.ones_like(passed.outputs["logits"])
        with event.install_listener("numba:compile", Listener()):
            engine.backward(passed, {"logits": dlogits}, weight_gradient=kind)
print(*sorted(set(compiled)))
"""


def in_a_process(words: list[str], text: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        input=text,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("graph", [small_plain(), resnet(8)], ids=["plain", "resnet8"])
def test_backward_finds_everything_compiled(graph: Any, tmp_path: Path) -> None:
    said = json.dumps({"graph": graph_to_json(graph), "dtype": "float32"})
    in_a_process(["-m", "fcpts_ref.engines.numba.warmup"], said, tmp_path)
    text = json.dumps(graph_to_json(graph))
    assert in_a_process(["-c", BACKWARD], text, tmp_path).strip() == ""


class FakeProcess:
    """Keeps what it is told."""

    started: list[FakeProcess]

    def __init__(self, words: list[str], **options: Any) -> None:
        read, write = os.pipe()
        self.words, self.told = words, os.fdopen(read)
        self.stdin, self.ended = os.fdopen(write, "w"), ""
        self.started.append(self)

    def kill(self) -> None:
        self.ended += "killed "

    def wait(self) -> None:
        self.ended += "waited"


@pytest.mark.parametrize(("cold", "threads"), [(True, 2), (True, 1), (False, 2)])
def test_another_process_starts_on_a_cold_machine_with_two_cores(
    monkeypatch: pytest.MonkeyPatch, cold: bool, threads: int
) -> None:
    FakeProcess.started = []
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    monkeypatch.setattr(warmup, "nothing_compiled", lambda: cold)
    graph = small_plain()
    with (
        pytest.raises(KeyboardInterrupt),
        warmup.backward_compiled_ahead(graph, np.float32, threads),
    ):
        raise KeyboardInterrupt
    if not cold or threads == 1:
        assert not FakeProcess.started
        return
    (process,) = FakeProcess.started
    assert process.ended == "killed waited"
    said = json.load(process.told)
    process.told.close()
    assert said["dtype"] == "float32"
    assert graph_from_json(said["graph"]) == graph


def test_a_system_without_room_for_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: Any, **options: Any) -> None:
        raise BlockingIOError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(warmup, "nothing_compiled", lambda: True)
    with warmup.backward_compiled_ahead(small_plain(), np.float32, 2):
        pass


def test_it_compiles_for_the_package_that_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not for one of that name in the working folder, such as a checkout beside an installation."""
    (tmp_path / "fcpts_ref").mkdir()
    (tmp_path / "fcpts_ref" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    started = []
    monkeypatch.setattr(warmup, "nothing_compiled", lambda: True)
    real = subprocess.Popen

    def start(words: list[str], **options: Any) -> Any:
        started.append(real(words, **{**options, "stderr": subprocess.PIPE}))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    process = warmup._start(small_plain(), np.float32)
    assert process is started[0]
    limit = time.monotonic() + 120
    while not list(tmp_path.rglob("*.nbc")) and time.monotonic() < limit:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    assert list(tmp_path.rglob("*.nbc"))
    process.kill()
    process.wait()
    process.stderr.close()


def test_compiled_once_it_has_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(warmup, "cache_folder", lambda file: tmp_path)
    assert warmup.nothing_compiled()
    (tmp_path / "kernels_1").mkdir()  # Numba makes a folder for each folder of sources
    (tmp_path / "kernels_1" / "batch_norm.gradient_sums-1.py311.nbi").touch()
    assert not warmup.nothing_compiled()
    monkeypatch.setattr(warmup, "cache_folder", lambda file: None)
    assert not warmup.nothing_compiled()  # and there is no place to leave anything


def test_a_machine_that_has_run_backward_is_known() -> None:
    warmup.compile_backward(small_plain(), "float64")
    assert not warmup.nothing_compiled()
