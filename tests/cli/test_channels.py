"""inspect --groups and models remove-channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Place, Run, one_line
from small_networks import make_images, make_network

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.experiments.figures import can_plot
from fcpts_ref.graphs.channel_groups import find_groups
from fcpts_ref.graphs.channel_removal import mask_channels
from fcpts_ref.interchange.importing import read_checkpoint
from fcpts_ref.storage.network_files import read_network, write_network


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    graph = resnet(20, shortcut="B")
    keep = {g.name: np.arange(g.units) < g.units // 2 for g in find_groups(graph).groups}
    network = mask_channels(make_network(graph, dtype=np.float32), keep)
    write_network(tmp_path / "masked.h5", network, {})
    return tmp_path / "masked.h5"


def test_the_table_of_groups(run: Run, masked: Path) -> None:
    result = run("inspect", masked, "--groups")
    assert result.code == 0, result.err
    assert all(len(line) <= 80 for line in result.out.splitlines())
    assert "layer3.0.conv2" in result.out
    assert "they are the network's output" in result.out
    found = run("inspect", masked, "--groups", "--json").json
    assert len(found["groups"]) == 12
    first = found["groups"][0]
    assert first["layers"] == ["conv1", *(f"layer1.{i}.conv2" for i in range(3))]
    assert (first["channels"], first["units"], first["kept"]) == (16, 16, 8)
    assert 0 < first["macs"] < 1
    assert found["refused"] == [{"layer": "fc", "reason": "they are the network's output"}]


def test_long_names_and_refusals_fit_80_columns(run: Run, tmp_path: Path) -> None:
    network = make_network(ARCHITECTURES["deit_tiny"].graph(), dtype=np.float32)
    write_network(tmp_path / "t.h5", network, {})
    result = run("inspect", tmp_path / "t.h5", "--groups")
    assert "no channel of this network can be removed" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_the_picture(run: Run, masked: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("inspect", masked, "--groups", "--plot", tmp_path / "pictures")
    assert result.code == 0, result.err
    assert (tmp_path / "pictures" / "groups.png").stat().st_size > 1000
    assert (tmp_path / "pictures" / "groups.svg").is_file()


def test_plot_without_groups(run: Run, masked: Path, tmp_path: Path) -> None:
    result = run("inspect", masked, "--plot", tmp_path / "p")
    assert result.code == 2
    assert one_line(result.err)
    assert not (tmp_path / "p").exists()


def test_removal_and_export(run: Run, masked: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.h5"
    words = ("--engine=numpy", "--quiet")
    result = run("models", "remove-channels", masked, out, *words)
    assert result.code == 0, result.err
    assert all(len(line) <= 80 for line in result.out.splitlines() if str(out) not in line)
    (before, _), (after, _) = read_network(masked), read_network(out)
    images = make_images(before.graph, 4, dtype=np.float32)
    assert np.abs(before(images) - after(images)).max() <= 1e-5 * np.abs(before(images)).max()
    found = run("models", "remove-channels", masked, out, *words, "--json").json
    dense, small = found["networks"]
    assert small["weights"] == sum(after.sizes.values()) < dense["weights"] / 3
    assert 4 * small["weights"] <= small["bytes"] < dense["bytes"]
    assert small["macs"] < dense["macs"] / 3
    assert small["seconds"] > 0
    assert found["kept"]["conv1"] == [8, 16]
    for ending in ("pt", "safetensors"):
        assert run("models", "export", out, tmp_path / f"small.{ending}").code == 0
        arrays = read_checkpoint(tmp_path / f"small.{ending}")
        assert arrays["conv1.weight"].shape == (8, 3, 3, 3)


def test_the_smaller_network_as_onnx(run: Run, masked: Path, tmp_path: Path) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out, file = tmp_path / "small.h5", tmp_path / "small.onnx"
    assert run("models", "remove-channels", masked, out, "--no-time").code == 0
    assert run("models", "export", out, file).code == 0
    network, _ = read_network(out)
    images = make_images(network.graph, 4, dtype=np.float32)
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: images})
    assert np.abs(got - network(images)).max() <= 1e-4 * np.abs(got).max()


def test_nothing_to_remove(run: Run, place: Place, tmp_path: Path) -> None:
    out = tmp_path / "small.h5"
    result = run("models", "remove-channels", place.network, out, "--no-time")
    assert result.code == 2
    assert one_line(result.err)
    assert "has no channel to remove" in result.err
    assert not out.exists()


def test_another_ending(run: Run, masked: Path, tmp_path: Path) -> None:
    result = run("models", "remove-channels", masked, tmp_path / "small.pt", "--no-time")
    assert result.code == 2
    assert "'models export' writes other formats" in result.err


def test_a_run_that_removes_channels_says_what_it_did(
    run: Run, place: Place, tmp_path: Path
) -> None:
    """With widths of 3, 4 and 6 a tenth of the multiplications cannot be removed alone."""
    words = ("--method=channels", "--cost=macs", "--sparsity=0.1", "--epochs=1", "--batch-size=8")
    result = run("sparsify", *place.options, *words, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert "of the training images, with labels" in result.out
    assert "projection" not in result.out + result.err
    assert "points beyond the target, which is met from above" in result.err
    words = (*words, "--objective=outputs")
    assert "without labels" in run("sparsify", *place.options, *words, "--out", tmp_path / "o").out


def test_keep_ratios_of_runs_beside_sensitivities(run: Run, tmp_path: Path) -> None:
    short = ("--cost", "macs", "--sparsity=0.4", "--epochs=0", "--calibration=64", "--quiet")
    folders = [tmp_path / "dsa", tmp_path / "ssl"]
    for folder in folders:
        words = ("--method", folder.name, "--search-epochs=1", "--engine=numpy", "--out", folder)
        result = run("sparsify", *short, *words)
        assert result.code == 0, result.err
    words = ("inspect", "resnet8-digits", "--groups", "--runs", *folders, "--data=digits")
    result = run(*words, "--engine=numpy", "--quiet")
    assert result.code == 0, result.err
    assert all(len(line) <= 80 for line in result.out.splitlines())
    assert "1: kept by DSA, 40 %" in result.out
    assert "2: kept by SSL, 40 %" in result.out
    rows = run(*words, "--engine=numpy", "--json").json
    assert max(row["sensitivity"] for row in rows) == 1
    assert min(row["sensitivity"] for row in rows) >= 0
    dsa, ssl = ([row["kept"][f"{name}, 40 %"] for row in rows] for name in ("DSA", "SSL"))
    assert dsa != ssl
    assert all(0 < share <= 1 for share in dsa + ssl)
    if can_plot():
        assert run(*words, "--engine=numpy", "--plot", tmp_path / "p").code == 0
        assert (tmp_path / "p" / "keep-ratios.svg").stat().st_size > 1000


def test_runs_of_another_network_are_refused(run: Run, masked: Path, tmp_path: Path) -> None:
    short = ("--method=channels", "--cost=macs", "--sparsity=0.4", "--epochs=0", "--engine=numpy")
    assert run("sparsify", *short, "--quiet", "--out", tmp_path / "run").code == 0
    for words, message in (
        ((masked, "--groups", "--runs", tmp_path / "run"), "has other channel groups"),
        ((masked, "--groups", "--runs", tmp_path), "summary.json"),
        ((masked, "--runs", tmp_path / "run"), "give --groups too"),
        ((masked, "--groups", "--data=digits"), "choose a network, data"),
    ):
        result = run("inspect", *words)
        assert result.code == 2
        assert one_line(result.err)
        assert message in result.err
