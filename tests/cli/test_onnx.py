"""fcpts-ref models, with ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import Place, Run, one_line
from interchange.onnx_files.onnx_models import linear_model, onnx, save
from interchange.onnx_files.onnx_run import assert_same, check, run_onnx

from fcpts_ref.storage.network_files import read_network

OMITTED = "--normalisation=omitted"


def test_from_a_run_to_onnx_and_back(run: Run, place: Place, tmp_path: Path) -> None:
    run("sparsify", *place.options, "--method=one-shot", "--quiet", "--out", tmp_path / "r")
    network, _ = read_network(tmp_path / "r" / "network.h5")
    out, images = tmp_path / "a.onnx", np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    result = run("models", "export", tmp_path / "r", out, "--json")
    assert result.code == 0, result.err
    assert (result.json["own_graph"], result.json["normalisation"]) == (False, "included")
    check(out)
    assert_same(run_onnx(out, images)[0], network(images))
    about = {entry.key: entry.value for entry in onnx.load(str(out)).metadata_props}
    assert about["fcpts_ref.method"] == "one-shot"
    assert float(about["fcpts_ref.rate"]) == pytest.approx(0.9, abs=0.01)
    result = run("models", "import", out, "--out", tmp_path / "b.h5", "--json")
    assert result.code == 0, result.err
    assert result.json["normalise"] == "none"
    back, provenance = read_network(tmp_path / "b.h5")
    assert np.array_equal(back(images), network(images))
    assert (provenance["opset"], provenance["producer"]) == (18, "fcpts-ref")


def test_a_file_without_normalisation_says_which_it_needs(
    run: Run, place: Place, tmp_path: Path
) -> None:
    out = tmp_path / "a.onnx"
    assert run("models", "export", place.network, out, OMITTED).code == 0
    result = run("models", "import", out, "--out", tmp_path / "b.h5")
    assert result.code == 0, result.err
    (network, _), (back, _) = (read_network(p) for p in (place.network, tmp_path / "b.h5"))
    images = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    assert_same(back(images), network(images))
    assert back.graph.nodes[0].operation == "normalise"


def test_sparse_files_are_smaller_and_the_same(run: Run, place: Place, tmp_path: Path) -> None:
    run("sparsify", *place.options, "--method=one-shot", "--quiet", "--out", tmp_path / "r")
    dense, sparse = tmp_path / "a.onnx", tmp_path / "b.onnx"
    assert run("models", "export", tmp_path / "r", dense).code == 0
    result = run("models", "export", tmp_path / "r", sparse, "--sparse", "--json")
    assert result.json["sparse"] > 0
    onnx.checker.check_model(str(sparse))
    images = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    assert np.array_equal(run_onnx(dense, images)[0], run_onnx(sparse, images)[0])
    assert run("models", "import", sparse, "--out", tmp_path / "c.h5").code == 0


def test_the_graph_that_it_came_with(run: Run, tmp_path: Path) -> None:
    path, out = save(linear_model(), tmp_path / "mine.onnx"), tmp_path / "out.onnx"
    home = ("--home", tmp_path / "home")
    result = run("models", "import", path, *home, "--normalise=0.5/0.25")
    assert result.code == 0, result.err
    result = run("models", "export", "mine", out, *home, "--json")
    assert result.json["own_graph"]
    before, after = (onnx.load(str(p)).graph for p in (path, out))
    assert before == after
    result = run("models", "export", "mine", out, *home, "--normalisation=included")
    assert result.code == 0
    images = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    expected = run_onnx(path, (images - np.float32(0.5)) / np.float32(0.25))[0]
    assert_same(run_onnx(out, images)[0], expected)


def test_bad_options(run: Run, place: Place, tmp_path: Path) -> None:
    path = save(linear_model(), tmp_path / "a.onnx")
    out = ("--out", tmp_path / "b.h5")
    for words in (
        ("import", path, *out, "--arch=resnet8"),
        ("import", path, *out, "--classes=5"),
        ("import", path, *out, "--input", 3, 9, 9),
        ("import", path, *out, "--normalise=1,2/3,4"),
        ("export", place.network, tmp_path / "b.pt", "--sparse"),
        ("export", place.network, tmp_path / "b.pt", OMITTED),
        ("export", place.network, tmp_path / "b.onnx", "--extras", tmp_path / "c.pt"),
        ("export", place.network, tmp_path / "no" / "b.onnx"),
    ):
        result = run("models", *words)
        assert result.code == 2, words
        assert one_line(result.err)
    assert {p.name for p in tmp_path.iterdir()} == {"a.onnx"}


def test_a_refused_file_leaves_nothing(run: Run, tmp_path: Path) -> None:
    proto = linear_model()
    proto.graph.initializer[0].dims[0] = 1 << 30
    path = save(proto, tmp_path / "a.onnx")
    result = run("models", "import", path, "--out", tmp_path / "out" / "b.h5")
    assert result.code == 2
    assert one_line(result.err)
    assert {p.name for p in tmp_path.iterdir()} == {"a.onnx"}
