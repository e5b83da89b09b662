"""fcpts-ref predict."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest
from commands import Place, Run, one_line

import fcpts_ref
from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.storage.network_files import read_network, write_network

if numba.config.DISABLE_JIT:
    pytest.skip("the predictor needs the JIT", allow_module_level=True)


def probabilities(network, images):
    logits = network(images)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_classes_are_those_of_the_logits(run: Run, place: Place) -> None:
    result = run("predict", place.network, "--data", place.data, "--quiet", "--json").json
    network, _ = read_network(place.network)
    dataset = read_dataset(place.data)
    want = probabilities(network, dataset.as_floats(dataset.test.images))
    assert result["compiled"]
    assert [row["image"] for row in result["images"]] == list(range(30))
    assert [row["class"] for row in result["images"]] == list(want.argmax(axis=1))
    got = [row["probability"] for row in result["images"]]
    assert np.allclose(got, want.max(axis=1), rtol=1e-4)
    names = [dataset.label_names[k] for k in want.argmax(axis=1)]
    assert [row["name"] for row in result["images"]] == names


def test_table(run: Run, place: Place) -> None:
    result = run("predict", place.network, "--data", place.data, "--threads=1")
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 2 + 30
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_benchmark(run: Run, place: Place) -> None:
    """Three batch sizes, even of a data set with fewer images."""
    words = ("predict", place.network, "--data", place.data, "--benchmark", "--rounds=2")
    times = run(*words, "--json", "--threads=1").json["times"]
    assert [row["batch"] for row in times] == [1, 16, 64]
    assert all(row["ms"] > 0 and row["images_per_second"] > 0 for row in times)
    shown = run(*words, "--threads=1")
    assert shown.code == 0
    assert "1 thread, one compiled call" in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines())


def test_an_onnx_file(run: Run, place: Place, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    network, _ = read_network(place.network)
    fcpts_ref.export_onnx(tmp_path / "n.onnx", network)
    files = (place.network, tmp_path / "n.onnx")
    own, other = (
        run("predict", file, "--data", place.data, "--quiet", "--json").json["images"]
        for file in files
    )
    assert [row["class"] for row in own] == [row["class"] for row in other]


def test_a_network_with_nan(run: Run, place: Place, tmp_path: Path) -> None:
    network, _ = read_network(place.network)
    network.parameters["linear.bias"][0] = np.nan
    write_network(tmp_path / "n.h5", network)
    result = run("predict", tmp_path / "n.h5", "--data", place.data)
    assert result.code == 2
    assert one_line(result.err)
    assert "linear.bias" in result.err


@pytest.mark.parametrize(
    "words",
    [("absent",), ("absent.onnx",), ("resnet8-digits", "--data=absent"), ("--threads=0",)],
)
def test_bad_input(run: Run, place: Place, words: tuple[str, ...]) -> None:
    given = words if not words[0].startswith("--") else (place.network, *words)
    result = run("predict", *given, *(() if "--data=absent" in words else ("--data", place.data)))
    assert result.code == 2
    assert one_line(result.err)
