"""How many threads, and by what they are run."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numba
import pytest

from fcpts_ref.engines.numba.jit import threads
from fcpts_ref.errors import InputError

CHOSEN = "NUMBA_THREADING_LAYER"  # by whoever runs the tests
LAYER = """
import numba, numpy
from fcpts_ref.engines.numba.pointwise.activation import clamp_planes
clamp_planes(numpy.ones(64), numpy.ones(64), 0.0, numpy.nan)
print(numba.threading_layer())
"""


def tbb_is_installed() -> bool:
    try:
        return bool(version("tbb"))
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not tbb_is_installed(), reason="needs the extra tbb")
def test_tbb_is_used_where_it_is_installed() -> None:
    environment = {key: value for key, value in os.environ.items() if key != CHOSEN}
    environment["NUMBA_DISABLE_JIT"] = "0"
    command = [sys.executable, "-c", LAYER]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert result.stdout.strip() == "tbb"


def test_without_tbb_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(threads, "files", absent)
    threads.prefer_tbb()


def test_a_library_that_cannot_be_loaded_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Damaged:
        name = threads.TBB

        def locate(self) -> Path:
            path = tmp_path / self.name
            path.write_bytes(b"no library")
            return path

    monkeypatch.setattr(threads, "files", lambda name: [Damaged()])
    threads.prefer_tbb()


@pytest.mark.parametrize("count", [0, -1, 10_000])
def test_threads_that_cannot_be(count: int) -> None:
    with pytest.raises(InputError, match=f"threads is {count}; expected 1 to"):
        threads.set_threads(count)


def test_threads_are_as_before_after_a_block() -> None:
    before = threads.set_threads(None)
    with threads.using_threads(1) as count:
        assert count == 1
    assert threads.set_threads(before) == before


ENGINE = """
import numpy as np
from fcpts_ref.engines.numba.jit.threads import sharing_library
from fcpts_ref.engines.make import make_engine
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.network_files import read_network

network, _ = read_network(resource_path("resnet8-digits.h5"))
images = np.random.default_rng(0).random((8, 1, 8, 8), "f4")


def run(_=0):
    engine = make_engine(network.graph, "numba")
    inputs = {"images": images}
    passed = engine.forward(
        network.parameters, network.buffers, inputs, training=True, keep=True
    )
    logits = passed.outputs["logits"]
    gradients = engine.backward(passed, {"logits": np.ones_like(logits)})
    return b"".join([logits.tobytes(), *(g.tobytes() for g in gradients.values())])


expected = run()
"""

FORKED = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert set(pool.map_async(run, range(4)).get(timeout=240)) == {expected}
assert run() == expected
print(sharing_library())
"""

TWO_PYTHON_THREADS = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(3) as pool:
    assert set(pool.map(run, range(30))) == {expected}
print(sharing_library())
"""

needs_the_jit = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="of what the JIT makes")


def run_with(library: str, source: str) -> str:
    environment = {**os.environ, CHOSEN: library, "NUMBA_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", ENGINE + source]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=500, check=True
    ).stdout.strip()


@needs_the_jit
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("library", ["omp", "workqueue"])
def test_forked_processes_compute_the_same_bits(library: str) -> None:
    """GNU OpenMP ends a process that was forked after its use, and the pool never answers."""
    assert run_with(library, FORKED) == library


@needs_the_jit
@pytest.mark.slow
@pytest.mark.parametrize("library", ["omp", "workqueue"])
def test_python_threads_compute_the_same_bits(library: str) -> None:
    """The workqueue aborts the process where two compute at a time."""
    assert run_with(library, TWO_PYTHON_THREADS) == library
