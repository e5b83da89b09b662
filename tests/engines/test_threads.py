"""How many threads, and by what they are run."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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
