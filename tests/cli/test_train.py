"""fcpts-ref train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import Outcome, Place, Run, one_line

from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.storage.network_files import read_network

SHORT = ("--arch=resnet8", "--epochs=2", "--batch-size=20", "--engine=numpy", "--quiet")


def test_a_network_that_other_commands_can_use(run: Run, place: Place, tmp_path: Path) -> None:
    out = tmp_path / "n.h5"
    result = run("train", f"--data={place.data}", *SHORT, "--out", out)
    assert result.code == 0
    assert str(out) in result.out
    network, provenance = read_network(out)
    assert provenance["recipe"]["epochs"] == 2
    images = read_dataset(place.data).as_floats(read_dataset(place.data).train.images)
    mean = network.buffers["normalise.mean"]
    assert np.abs(mean - images.mean(axis=(0, 2, 3))).max() <= 1e-6
    words = (f"--data={place.data}", f"--weights={out}", "--engine=numpy", "--json")
    assert run("evaluate", *words).json["top1"] == provenance["test_top1"]


def test_same_seed_same_bits(run: Run, place: Place, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = (f"--data={place.data}", *SHORT, f"--seed={seed}", "--json")
        assert run("train", *words, "--out", tmp_path / name).json["seed"] == seed
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


BAD = [
    ("--epochs=0",),
    ("--learning-rate=0",),
    ("--learning-rate=1e30",),
    ("--arch=resnet9",),
    ("--data=absent",),
    ("--momentum=5",),
    ("--seed=-1",),
]


def test_an_unwritable_place_is_told_before_training(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcpts_ref.cli.train.train", None)
    for out in (tmp_path / "absent" / "n.h5", tmp_path):
        result = run("train", f"--data={place.data}", *SHORT, "--out", out)
        assert result.code == 2
        assert one_line(result.err)


@pytest.mark.parametrize("arch", ["plain2", "resnet8", "mobilenet_v1_cifar"])
def test_every_kind_of_architecture(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str
) -> None:
    """Only CIFAR's resnetN has a choice of shortcuts; the others do without the option."""
    monkeypatch.setattr("fcpts_ref.cli.train.train", lambda network, *_, **__: network)
    out = tmp_path / "n.h5"
    result = run("train", f"--data={place.data}", *SHORT, f"--arch={arch}", "--out", out)
    assert result.code == 0, result.err
    assert read_network(out)[0].graph.name == arch
    words = (f"--arch={arch}", "--shortcut=B", "--out", out)
    result = run("train", f"--data={place.data}", *SHORT, *words)
    assert result.code == (0 if arch == "resnet8" else 2)


@pytest.mark.parametrize("words", BAD)
def test_bad_input(
    run: Run,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train", f"--data={place.data}", *SHORT, "--out", tmp_path / "n.h5", *words)
    assert result.code == 2
    assert one_line(result.err)
    assert not list(tmp_path.iterdir())


def test_training_goes_on_from_given_weights(run: Run, place: Place, tmp_path: Path) -> None:
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    run("train", f"--data={place.data}", *SHORT, "--out", first)
    again = ("--epochs=1", "--learning-rate=1e-12", "--batch-size=20", "--quiet")
    words = (f"--data={place.data}", f"--weights={first}", "--engine=numpy", *again)
    assert run("train", *words, "--out", second).code == 0
    (a, _), (b, provenance) = read_network(first), read_network(second)
    for name, parameter in a.parameters.items():
        assert np.abs(parameter - b.parameters[name]).max() <= 1e-6
    assert np.array_equal(a.buffers["normalise.mean"], b.buffers["normalise.mean"])
    assert provenance["weights"] == str(first)


def refused(result: Outcome) -> str:
    """The one line of standard error."""
    assert result.code == 2
    assert one_line(result.err)
    return result.err


def test_what_training_cannot_go_on_from(run: Run, place: Place, tmp_path: Path) -> None:
    data, out = f"--data={place.data}", tmp_path / "n.h5"
    result = run("train", data, *SHORT, "--normalise", "imagenet", "--out", out)
    assert "--normalise describes the file of --weights" in refused(result)
    dense, pruned = tmp_path / "dense.h5", tmp_path / "runs"
    run("train", data, *SHORT, "--out", dense)
    words = (f"--weights={dense}", "--engine=numpy")
    result = run("train", data, *words, "--width=2", "--out", out)
    assert "--width is for random weights" in refused(result)
    prune = ("--method=one-shot", "--sparsity=0.5", "--quiet", "--out", pruned)
    assert run("sparsify", data, *words, *prune).code == 0
    result = run("train", data, f"--weights={pruned / 'network.h5'}", "--out", out)
    assert "is pruned" in refused(result)
    assert not out.exists()
