"""A small data set and a small network on disk, and running commands on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from commands import Outcome, Place, Run
from small_networks import make_network

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.cli import main
from fcpts_ref.data.dataset import Dataset, write_dataset
from fcpts_ref.data.split import Split
from fcpts_ref.storage.network_files import write_network

CLASSES = 6
SHAPE = (1, 8, 8)


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
    """Run a command in this process."""

    def command(*words: Any) -> Outcome:
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return command
