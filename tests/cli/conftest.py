"""A small data set and a small network on disk, and running commands on them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fcpts_ref.cli import main
from fcpts_ref.datasets.dataset import Dataset, Split, write_dataset
from fcpts_ref.networks import resnet
from fcpts_ref.storage import write_network
from tests.small_networks import make_network

CLASSES = 6
SHAPE = (1, 8, 8)


class Place(NamedTuple):
    """Where the data set and the network lie."""

    data: Path
    network: Path

    @property
    def options(self) -> list[str]:
        return [f"--data={self.data}", f"--weights={self.network}", "--engine=numpy"]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("inputs")
    generator = np.random.default_rng(0)

    def split(count: int) -> Split:
        images = generator.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
        return Split(images, generator.integers(0, CLASSES, count))

    names = tuple(f"class {i}" for i in range(CLASSES))
    data = Dataset("squares", split(40), split(30), names, 255, "made for a test", "none")
    write_dataset(folder / "squares.h5", data)
    graph = resnet(8, classes=CLASSES, widths=(3, 4, 6), input_shape=SHAPE)
    write_network(folder / "small.h5", make_network(graph, dtype=np.float32))
    return Place(folder / "squares.h5", folder / "small.h5")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def command(*words: Any) -> Outcome:
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return command


def start(*words: Any, **options: Any) -> subprocess.Popen[str]:
    """Starts a command in a process of its own, deaf to this one's Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, "-m", "fcpts_ref", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def one_line(message: str) -> bool:
    return message.count("\n") == 1 and message.startswith("fcpts-ref")
