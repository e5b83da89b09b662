"""fcpts-ref inspect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import Place, Run, one_line
from small_networks import make_network

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.network import Network
from fcpts_ref.storage.network_files import read_network, write_network


def test_layers_and_rates(run: Run, place: Place) -> None:
    result = run("inspect", place.network, "--json").json
    network, _ = read_network(place.network)
    assert [layer["name"] for layer in result["layers"]] == list(network.graph.prunable)
    assert result["weights"] == sum(layer["weights"] for layer in result["layers"])
    conv1 = result["layers"][0]
    assert conv1["shape"] == [3, 1, 3, 3]
    assert conv1["macs"] == 27 * 64
    assert result["rate"] == 0.0
    assert result["masks"] is False


@pytest.mark.parametrize("name", ["resnet8-digits", None])
def test_text_fits_80_columns(run: Run, place: Place, name: str | None) -> None:
    result = run("inspect", name or place.network)
    assert result.code == 0
    assert "dense, without masks" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_a_pruned_network_says_how_it_was_made(run: Run, place: Place, tmp_path: Path) -> None:
    run("sparsify", *place.options, "--method=one-shot", "--quiet", "--out", tmp_path / "r")
    result = run("inspect", tmp_path / "r" / "network.h5")
    assert "pruned, with masks" in result.out
    assert "made by fcpts-ref sparsify" in result.out


def test_units_of_a_pruned_network(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--method=one-shot", "--granularity=1:3", "--sparsity=0.6667", "--quiet")
    result = run("sparsify", *place.options, *words, "--out", tmp_path / "r")
    assert result.code == 0, result.err
    assert "units:       1:3" in result.out
    assert "left out:    conv1" in result.out  # one input channel
    layers = run("inspect", tmp_path / "r", "--granularity=1:3", "--json").json["layers"]
    for layer in layers:
        divides = layer["shape"][1] % 3 == 0  # input channels; the others stay dense
        assert layer["whole_units"] == divides
        assert layer["rate"] == pytest.approx(2 / 3 if divides else 0)
    shown = run("inspect", tmp_path / "r", "--granularity=filter").out
    assert all(len(line) <= 80 for line in shown.splitlines())
    wrong = run("inspect", tmp_path / "r", "--granularity=3:1")
    assert wrong.code == 2
    assert one_line(wrong.err)


def test_blocks_of_a_pruned_network(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--method=one-shot", "--granularity=3x3", "--sparsity=0.5", "--quiet")
    assert run("sparsify", *place.options, *words, "--out", tmp_path / "r").code == 0
    layers = run("inspect", tmp_path / "r", "--granularity=3x3", "--json").json["layers"]
    assert all(layer["whole_units"] for layer in layers)


def test_foreign_newer_and_absent_files(run: Run, place: Place, tmp_path: Path) -> None:
    newer = tmp_path / "newer.h5"
    newer.write_bytes(place.network.read_bytes())
    with h5py.File(newer, "r+") as file:
        file.attrs["version"] = 99
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    for path, message in (
        (newer, "update fcpts-ref"),
        (text, "not an HDF5 file"),
        (place.data, "not of the format"),
        (tmp_path / "absent.h5", "cannot read"),
        (tmp_path / "absent.pth", "there is no file"),
        (tmp_path, "no network"),
    ):
        result = run("inspect", path)
        assert result.code == 2, path
        assert one_line(result.err)
        assert message in result.err


def test_a_run_s_folder_and_the_normalisation(run: Run, place: Place, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "network.h5").write_bytes(place.network.read_bytes())
    result = run("inspect", tmp_path / "run")
    assert result.code == 0, result.err
    found = run("inspect", place.network, "--json").json["normalisation"]
    assert set(found) == {"mean", "std"}
    assert f"deviation {found['std'][0]:.4g}" in result.out


def test_names_in_a_file_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    graph = replace(resnet(8), name="a\x1b[2Jb")
    network = make_network(graph, dtype=np.float32)
    write_network(tmp_path / "n.h5", network, {"made_by": "x\x1b]0;y\n"})
    result = run("inspect", tmp_path / "n.h5")
    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    assert "a\\x1b[2Jb" in result.out


def test_a_network_without_a_prunable_layer(run: Run, tmp_path: Path) -> None:
    net = GraphBuilder("none", (10, 8, 8))
    graph = net.graph(net.add("global_average_pool", net.add("relu", net.images)))
    write_network(tmp_path / "none.h5", Network(graph, {}, {}))
    np.savez(tmp_path / "a.npz", images=np.zeros((9, 10, 8, 8), np.uint8), labels=np.arange(9))
    data = ("--data", f"npz:{tmp_path / 'a.npz'}", "--quiet")
    assert "0 prunable weights" in run("inspect", tmp_path / "none.h5").out
    assert run("inspect", tmp_path / "none.h5", "--json").json["rate"] == 0
    assert run("predict", tmp_path / "none.h5", *data).code == 0
    refused = run("sparsify", "--weights", tmp_path / "none.h5", *data, "--out", tmp_path / "out")
    assert refused.code == 2
    assert one_line(refused.err)


def test_a_file_that_is_no_network_of_ours_is_to_be_imported(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "params.msgpack"
    path.write_bytes(b"\x81\xa6params\x80")
    result = run("inspect", path)
    assert result.code == 2
    assert "params.msgpack is another program's checkpoint: import it by" in result.err
