"""fcpts-ref evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import Place, Run, one_line

from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.storage.network_files import read_network, write_network


def test_counts_are_those_of_the_logits(run: Run, place: Place) -> None:
    result = run("evaluate", *place.options, "--quiet", "--json").json
    network, _ = read_network(place.network)
    dataset = read_dataset(place.data)
    logits = network(dataset.as_floats(dataset.test.images))
    correct = int((logits.argmax(axis=1) == dataset.test.labels).sum())
    top5 = np.argsort(-logits, axis=1)[:, :5]
    correct5 = int((top5 == dataset.test.labels[:, None]).any(axis=1).sum())
    assert (result["correct"], result["images"]) == (correct, 30)
    assert result["top1"] == correct / 30
    assert result["top5"] == correct5 / 30


def test_table(run: Run, place: Place) -> None:
    result = run("evaluate", *place.options)
    assert result.code == 0
    assert "resnet8  squares" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_sparse_network_and_its_rate(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--method=one-shot", "--sparsity=0.5", "--quiet", "--json")
    pruned = run("sparsify", *place.options, *words, "--out", tmp_path / "r").json
    weights = f"--weights={tmp_path / 'r' / 'network.h5'}"
    result = run("evaluate", f"--data={place.data}", weights, "--engine=numpy", "--json").json
    row = next(row for row in pruned["rows"] if row["name"] == "one-shot ERK")
    assert (result["rate"], result["top1"]) == (row["achieved"], row["top1"])


def test_weights_that_are_not_numbers(run: Run, place: Place, tmp_path: Path) -> None:
    network, _ = read_network(place.network)
    network.parameters["linear.bias"][0] = np.inf
    write_network(tmp_path / "n.h5", network)
    result = run("evaluate", f"--data={place.data}", f"--weights={tmp_path / 'n.h5'}")
    assert result.code == 2
    assert one_line(result.err)
    assert "linear.bias" in result.err


@pytest.mark.parametrize(
    "words", [("--weights=absent",), ("--data=absent",), ("--threads=0", "--engine=numba")]
)
def test_bad_input(run: Run, place: Place, words: tuple[str, ...]) -> None:
    result = run("evaluate", *place.options, *words)
    assert result.code == 2
    assert one_line(result.err)
