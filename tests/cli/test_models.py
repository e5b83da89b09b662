"""fcpts-ref models: import and export without loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import Place, Run, one_line
from small_networks import make_network

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.interchange.importing import read_checkpoint
from fcpts_ref.interchange.torch_write import write_torch_file
from fcpts_ref.storage.network_files import read_network, write_network

GRAPH = resnet(8)
FORM = ("--arch=resnet8",)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = make_network(GRAPH, dtype=np.float32)
    arrays = {f"module.{n}": a for n, a in (network.parameters | network.buffers).items()}
    arrays = {n: a for n, a in arrays.items() if not n.startswith("module.normalise")}
    write_torch_file(tmp_path / "trained.pt", arrays)
    return tmp_path / "trained.pt"


def test_import_is_found_by_name(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    words = ("--home", tmp_path / "home", "--normalise=cifar10")
    result = run("models", "import", checkpoint, *FORM, *words, "--name=mine")
    assert result.code == 0, result.err
    assert "0 missing" not in result.out
    inspected = run("inspect", "mine", "--home", tmp_path / "home", "--json").json
    assert inspected["provenance"]["source"] == "trained.pt"
    network, _ = read_network(tmp_path / "home" / "models" / "mine.h5")
    expected = make_network(GRAPH, dtype=np.float32).parameters
    assert all(np.array_equal(network.parameters[n], a) for n, a in expected.items())
    assert np.allclose(network.buffers["normalise.mean"], [0.4914, 0.4822, 0.4465])


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_there_and_back(run: Run, tmp_path: Path, ending: str) -> None:
    network, out = make_network(GRAPH, dtype=np.float32), tmp_path / f"out.{ending}"
    write_network(tmp_path / "n.h5", network)
    extras = ("--extras", tmp_path / f"extras.{ending}")
    assert run("models", "export", tmp_path / "n.h5", out, *extras).code == 0
    arrays = read_checkpoint(out) | read_checkpoint(extras[1])
    for name, array in {**network.parameters, **network.buffers}.items():
        assert np.array_equal(arrays[name], array)
    result = run("models", "import", out, *FORM, *extras, "--out", tmp_path / "again.h5")
    assert result.code == 0, result.err
    back, _ = read_network(tmp_path / "again.h5")
    assert all(np.array_equal(back.parameters[n], a) for n, a in network.parameters.items())
    assert all(np.array_equal(back.buffers[n], a) for n, a in network.buffers.items())


def test_export_of_a_pruned_network_has_zeros_and_masks(
    run: Run, place: Place, tmp_path: Path
) -> None:
    run("sparsify", *place.options, "--method=one-shot", "--quiet", "--out", tmp_path / "r")
    out, extras = tmp_path / "sparse.safetensors", tmp_path / "extras.safetensors"
    result = run(
        "models", "export", tmp_path / "r" / "network.h5", out, "--extras", extras, "--json"
    )
    assert result.json["masks"] == 8
    assert not [name for name in read_checkpoint(out) if name.endswith("_mask")]
    arrays = read_checkpoint(out) | read_checkpoint(extras)
    for name in [n for n in arrays if n.endswith("_mask")]:
        mask = arrays[name].astype(bool)
        assert not arrays[name.removesuffix("_mask")][~mask].any()


@pytest.mark.parametrize("name", ["trained", "trained.pth", "trained.pth.tar"])
def test_a_network_is_found_by_the_name_of_its_checkpoint(
    run: Run, tmp_path: Path, checkpoint: Path, name: str
) -> None:
    home, file = ("--home", tmp_path / "home"), checkpoint.rename(tmp_path / "trained.pth.tar")
    assert run("models", "import", file, *FORM, *home).code == 0
    assert (tmp_path / "home" / "models" / "trained.h5").is_file()
    assert run("inspect", name, *home).code == 0


def test_the_number_of_classes_is_that_of_the_checkpoint(run: Run, tmp_path: Path) -> None:
    network = make_network(resnet(8, classes=7), dtype=np.float32)
    arrays = network.parameters | network.buffers
    write_torch_file(tmp_path / "seven.pt", {f"module.{n}": a for n, a in arrays.items()})
    out = ("--out", tmp_path / "n.h5")
    result = run("models", "import", tmp_path / "seven.pt", *FORM, *out)
    assert result.code == 0, result.err
    assert read_network(tmp_path / "n.h5")[0].graph.classes == 7
    result = run("models", "import", tmp_path / "seven.pt", *FORM, *out, "--classes=10")
    assert result.code == 2
    assert "choose the number of classes" in result.err


def test_a_name_that_looks_like_a_checkpoint_s(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    home = ("--home", tmp_path / "home")
    assert run("models", "import", checkpoint, *FORM, *home, "--name=my.pt").code == 0
    assert run("inspect", "my.pt", *home).code == 0


def test_a_checkpoint_in_place_of_a_network(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    result = run("inspect", checkpoint, "--home", tmp_path)
    assert result.code == 2
    assert f"import it by 'fcpts-ref models import {checkpoint}'" in result.err


@pytest.mark.parametrize(
    ("words", "mean"),
    [
        (("--normalise=kuangliu",), (0.4914, 0.4822, 0.4465)),
        (("--normalise=0.1,0.2,0.3/0.4,0.5,0.6",), (0.1, 0.2, 0.3)),
        (("--normalise", "0.5/0.25"), (0.5, 0.5, 0.5)),
    ],
)
def test_normalisation(
    run: Run, tmp_path: Path, checkpoint: Path, words: tuple[str, ...], mean: tuple[float, ...]
) -> None:
    result = run("models", "import", checkpoint, *FORM, *words, "--out", tmp_path / "n.h5")
    assert result.code == 0, result.err
    network, provenance = read_network(tmp_path / "n.h5")
    assert np.allclose(network.buffers["normalise.mean"], mean)
    assert provenance["normalise"] == words[-1].removeprefix("--normalise=")


@pytest.mark.parametrize("text", ["cifar", "0.5", "0.5,0.5/1,1", "0.5/0", "a/b"])
def test_bad_normalisation(run: Run, tmp_path: Path, checkpoint: Path, text: str) -> None:
    words = (f"--normalise={text}", "--out", tmp_path / "n.h5")
    result = run("models", "import", checkpoint, *FORM, *words)
    assert result.code == 2
    assert one_line(result.err)


@pytest.mark.parametrize("name", ["x.npz", "x.hdf5", "x"])
def test_export_to_other_formats_is_refused(
    run: Run, place: Place, tmp_path: Path, name: str
) -> None:
    result = run("models", "export", place.network, tmp_path / name)
    assert result.code == 2
    assert ".safetensors, or .pt" in result.err
    assert not (tmp_path / name).exists()


def test_the_architecture_is_recognised_and_shown(run: Run, tmp_path: Path) -> None:
    row = ARCHITECTURES["mobilenet_v1"]
    layout = next(one for one in row.layouts if "timm" in one.source)
    graph = layout.apply(row.graph(**layout.settings, width=0.25, classes=12))
    network = make_network(graph, dtype=np.float32)
    arrays = {**network.parameters, **network.buffers}
    foreign = {n: a for n, a in arrays.items() if not n.startswith("normalise")}
    write_torch_file(tmp_path / "a.pth", foreign)
    out = ("--out", tmp_path / "n.h5")
    result = run("models", "import", tmp_path / "a.pth", *out)
    assert result.code == 0, result.err
    assert result.out.splitlines()[:3] == [
        "mobilenet_v1 of width 0.25 under the names of timm",
        "12 classes, images 3x224x224 normalised by half, 210,672 prunable weights",
        "pictures are prepared by resize 256, crop 224, bicubic",
    ]
    inspected = run("inspect", tmp_path / "n.h5").out
    assert "pictures are prepared by resize 256, crop 224, bicubic" in inspected
    assert "recognised as mobilenet_v1 of width 0.25 under the names of timm" in inspected
    # of another size, the published preprocessing does not fit
    result = run("models", "import", tmp_path / "a.pth", *out, "--input", 3, 64, 64, "--json")
    assert (result.json["input_shape"], result.json["preprocess"]) == ([3, 64, 64], None)


def test_architectures(run: Run) -> None:
    result = run("models", "architectures")
    assert result.code == 0, result.err
    assert all(len(line) <= 80 for line in result.out.splitlines())
    found = run("models", "architectures", "--json").json
    rows = {(row["name"], row["shortcut"]): row for row in found}
    assert {name for name, _ in rows} >= {*ARCHITECTURES, "resnet20"}
    assert rows["resnet20", "B"]["weights"] == 270_896
    assert "chenyaofo/pytorch-cifar-models" in rows["resnet20", "B"]["names"]


def test_an_option_b_checkpoint_given_as_option_a(run: Run, tmp_path: Path) -> None:
    network = make_network(resnet(8, shortcut="B"), dtype=np.float32)
    write_torch_file(tmp_path / "b.pt", {**network.parameters, **network.buffers})
    words = ("models", "import", tmp_path / "b.pt", "--arch=resnet8", "--out", tmp_path / "n.h5")
    result = run(*words, "--shortcut=A")
    assert result.code == 2
    assert one_line(result.err)
    assert "give --arch resnet8 and --shortcut B" in result.err
    assert run(*words).code == 0


def test_a_checkpoint_is_evaluated_without_being_imported(
    run: Run, place: Place, tmp_path: Path
) -> None:
    network, _ = read_network(place.network)
    write_torch_file(tmp_path / "a.pt", {**network.parameters, **network.buffers})
    mine = run("evaluate", "--weights", tmp_path / "a.pt", "--data", place.data, "--json")
    assert mine.code == 0, mine.err
    own = run("evaluate", "--weights", place.network, "--data", place.data, "--json")
    assert mine.json["top1"] == own.json["top1"]


def test_bad_input(run: Run, place: Place, tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    for words in (
        ("import", checkpoint, "--arch=resnet14", "--out", tmp_path / "n.h5"),
        ("import", checkpoint, "--arch=resnet9", "--out", tmp_path / "n.h5"),
        ("import", checkpoint, *FORM, "--classes=100", "--out", tmp_path / "n.h5"),
        ("import", tmp_path / "text.pt", *FORM, "--out", tmp_path / "n.h5"),
        ("import", tmp_path / "absent.pt", *FORM, "--out", tmp_path / "n.h5"),
        ("import", checkpoint, *FORM, "--out", checkpoint / "n.h5"),
        ("export", "absent", tmp_path / "x.pt"),
        ("export", place.network, tmp_path / "x.h5"),
        ("export", place.network, tmp_path / "absent" / "x.pt"),
    ):
        result = run("models", *words)
        assert result.code == 2, words
        assert one_line(result.err), result.err
    assert not (tmp_path / "n.h5").exists()
