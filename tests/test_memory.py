"""Memory is computed and refused before it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref import memory
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.memory import check_memory, free_memory
from fcpts_ref.storage.files import check_writable, write_atomically


def test_more_than_is_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 4 << 30)
    check_memory(4 << 30, "it", "do less")
    with pytest.raises(InputError, match=r"it would take 5\.0 GiB of memory, 4\.0 GiB are free"):
        check_memory(5 << 30, "it", "do less")
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    check_memory(1 << 20, "it", "do less")  # too little to look
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    check_memory(1 << 60, "it", "do less")  # the system does not tell


def test_free_memory_is_known_on_linux() -> None:
    if Path("/proc/meminfo").exists():
        assert free_memory() > 0


def padded() -> Graph:
    attributes = {"in_channels": 1, "out_channels": 64, "kernel": 3, "padding": 1000}
    nodes = (
        Node("conv", "convolution", ("images",), attributes),
        Node("pool", "global_average_pool", ("conv",), {}),
    )
    return Graph("padded", {"images": (1, 8, 8)}, nodes, {"logits": "pool"})


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("keep", [False, True])
def test_activations_are_computed_first(
    monkeypatch: pytest.MonkeyPatch, engine: Any, keep: bool
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 8 << 30)
    network = initialise(padded(), np.random.default_rng(0))
    made, images = make_engine(network.graph, engine), np.zeros((64, 1, 8, 8), network.dtype)
    with pytest.raises(InputError, match="a pass of 64 images through 'padded' would take"):
        made.forward(
            network.parameters, network.buffers, {"images": images}, training=False, keep=keep
        )


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for write in (
        lambda: write_atomically(pipe, lambda path: path.write_bytes(b"x")),
        lambda: check_writable(pipe),
        lambda: check_writable("/dev/null"),
    ):
        with pytest.raises(InputError, match="pipe or a device"):
            write()
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
