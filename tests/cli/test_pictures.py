"""Pictures of one's own through the command line, from import to evaluation and resuming."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Run, one_line, start
from small_networks import make_network

pytest.importorskip("PIL.Image")

from picture_files import bomb, class_folders, save

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.data.preprocessing import Preprocessing, as_provenance, stored_preprocessing
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import resume
from fcpts_ref.experiments.run import run as run_job
from fcpts_ref.experiments.summary import read_summary
from fcpts_ref.interchange.importing import export_network
from fcpts_ref.storage.network_files import read_network, write_network

CLASSES = ("cat", "dog", "owl")
SMALL = Preprocessing(9, 8)
QUICK = ("--engine=numpy", "--epochs=1", "--batch-size=4", "--sparsity=0.5", "--quiet")


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pets")
    class_folders(root / "pets" / "train", CLASSES, 4)
    class_folders(root / "pets" / "val", CLASSES, 2, seed=40)
    network = make_network(resnet(8, classes=3, widths=(3, 4, 6), input_shape=(3, 8, 8)))
    write_network(root / "net.h5", network.astype(np.float32), as_provenance(SMALL))
    write_network(root / "plain.h5", network.astype(np.float32))
    export_network(root / "net.pt", network.astype(np.float32))
    return root


def test_evaluate_uses_the_stored_preprocessing(run: Run, pets: Path) -> None:
    data = f"--data=folder:{pets / 'pets'}"
    stored = run("evaluate", f"--weights={pets / 'net.h5'}", data, "--engine=numpy", "--json")
    assert stored.code == 0
    assert stored.json["images"] == 6
    given = run(
        *("evaluate", f"--weights={pets / 'plain.h5'}", data, "--engine=numpy", "--json"),
        "--preprocess=9/8",
    )
    assert {**given.json, "weights": 0} == {**stored.json, "weights": 0}
    missing = run("evaluate", f"--weights={pets / 'plain.h5'}", data, "--engine=numpy")
    assert missing.code == 2
    assert one_line(missing.err)
    assert "--preprocess with one of torchvision" in missing.err
    other = run("evaluate", f"--weights={pets / 'net.h5'}", data, "--preprocess=9/7")
    assert other.code == 2
    assert "has (3, 7, 7)" in other.err


def test_a_run_stores_the_preprocessing_and_resumes(run: Run, pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = run(
        *("sparsify", f"--weights={pets / 'net.h5'}", f"--data=folder:{pets / 'pets'}", *QUICK),
        *("--agreement", f"--out={out}"),
    )
    assert found.code == 0, found.err
    assert "agree" in found.out
    assert "12 of the training images" in found.out
    _, provenance = read_network(out / "network.h5")
    assert stored_preprocessing(provenance) == SMALL
    summary = read_summary(out)
    assert summary.pinned.settings["augmentation"] == "resized-crop-flip"
    dense, *_, pruned = summary.rows
    assert (dense.agreement, dense.divergence) == (1.0, 0.0)
    assert pruned.divergence > 0
    assert pruned.top1 is not None
    again = run("evaluate", f"--weights={out}", f"--data=folder:{pets / 'pets'}", "--json")
    assert again.json["top1"] == pruned.top1


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stopped_run_ends_with_the_same_bits(pets: Path, tmp_path: Path, threads: int) -> None:
    settings = {"epochs": 3, "batch_size": 4, "views": 2, "augmentation": "resized-crop-flip"}
    job = Job(
        network=str(pets / "net.h5"),
        data=f"folder:{pets / 'pets'}",
        target=0.5,
        settings=settings,
        engine="numpy",
        baselines=False,
    )
    whole = run_job(job, tmp_path / "whole", threads=2)

    def stop(report: Any) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    partly = run_job(job, tmp_path / "partly", threads=threads, on_step=stop)
    assert not partly.complete
    finished = resume(tmp_path / "partly", threads=threads)
    assert finished.rows == whole.rows
    for name in ("network.h5", "history.h5"):
        ours, theirs = ((tmp_path / where / name) for where in ("whole", "partly"))
        if name == "history.h5":
            assert ours.read_bytes() == theirs.read_bytes()
        else:
            one, other = read_network(ours)[0], read_network(theirs)[0]
            assert all(np.array_equal(a, other.parameters[n]) for n, a in one.parameters.items())


def test_changed_pictures_are_noticed_on_resuming(run: Run, pets: Path, tmp_path: Path) -> None:
    class_folders(tmp_path / "own", CLASSES, 2)
    out = tmp_path / "run"
    words = ("sparsify", f"--weights={pets / 'net.h5'}", *QUICK)
    run(*words, f"--data=folder:{tmp_path / 'own'}", f"--out={out}")
    (out / "summary.json").unlink()
    save(tmp_path / "own" / "cat" / "cat_0.png", 99)
    again = run("sparsify", f"--resume={out}")
    assert again.code == 2
    assert "the network or the data have changed" in again.err


def test_without_labels_networks_are_compared_by_their_outputs(
    run: Run, pets: Path, tmp_path: Path
) -> None:
    for i in range(6):
        save(tmp_path / "all" / f"{i}.png", i)
    words = ("sparsify", f"--weights={pets / 'net.h5'}", *QUICK)
    found = run(
        *(*words, f"--data=folder:{pets / 'pets' / 'train'}"),
        *(f"--test-data=folder:{tmp_path / 'all'}", f"--out={tmp_path / 'a'}"),
    )
    assert found.code == 0, found.err
    assert "top-1" not in found.out
    assert "the 6 test images" in found.out
    rows = read_summary(tmp_path / "a").rows
    assert all(row.top1 is None and row.agreement is not None for row in rows)
    alone = run(*words, f"--data=folder:{tmp_path / 'all'}", f"--out={tmp_path / 'b'}")
    assert alone.code == 0
    assert "none, as there are no test images; name some by --test-data" in alone.out
    evaluated = run("evaluate", f"--weights={pets / 'net.h5'}", f"--data=folder:{tmp_path / 'all'}")
    assert (evaluated.code, one_line(evaluated.err)) == (2, True)
    assert "have no labels" in evaluated.err


def test_comparing_without_labels(run: Run, pets: Path, tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / "all" / f"{i}.png", i)
    found = run(
        *("compare", f"--networks={pets / 'net.h5'}", "--methods=one-shot-erk", "--rates=0.5"),
        *(f"--data=folder:{tmp_path / 'all'}", f"--test-data=folder:{tmp_path / 'all'}"),
        *("--engine=numpy", "--quiet", f"--out={tmp_path / 'out'}"),
    )
    assert found.code == 0, found.err
    assert "agree" in found.out
    (line,) = json.loads((tmp_path / "out" / "table.json").read_text())
    assert line["top1"] is None
    assert 0 <= line["agreement"] <= 1
    assert line["divergence"] > 0
    pytest.importorskip("matplotlib")
    report = run("report", tmp_path / "out", f"--out={tmp_path / 'report'}")
    assert report.code == 0, report.err


def test_the_first_corrupt_picture_is_named_and_skipped_when_asked(
    run: Run, pets: Path, tmp_path: Path
) -> None:
    class_folders(tmp_path / "own" / "train", CLASSES, 3)
    class_folders(tmp_path / "own" / "val", CLASSES, 2)
    (tmp_path / "own" / "train" / "dog" / "dog_1.png").write_bytes(b"no picture")
    (tmp_path / "own" / "val" / "owl" / "owl_0.png").write_bytes(b"")
    data = f"--data=folder:{tmp_path / 'own'}"
    words = ("sparsify", f"--weights={pets / 'net.h5'}", data, *QUICK)
    refused = run(*words, f"--out={tmp_path / 'run'}")
    assert (refused.code, one_line(refused.err)) == (2, True)
    assert "dog_1.png is not a picture" in refused.err
    assert not (tmp_path / "run").exists()
    skipped = run(*words, "--skip-corrupt", f"--out={tmp_path / 'run'}")
    assert skipped.code == 0, skipped.err
    assert skipped.err.count("left out: ") == 2
    assert "8 of the training images" in skipped.out
    assert "the 5 test images" in skipped.out
    evaluate = ("evaluate", f"--weights={pets / 'net.h5'}", data, "--engine=numpy", "--json")
    assert run(*evaluate).code == 2
    assert run(*evaluate, "--skip-corrupt").json["images"] == 5


def test_a_checkpoint_with_preprocessing_and_numbers(run: Run, pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.h5"
    words = ("models", "import", pets / "net.pt", "--arch=resnet8", f"--out={out}")
    made = run(*words, "--preprocess=9/8", "--mean=0.1,0.2,0.3", "--std=0.5")
    assert made.code == 0, made.err
    network, provenance = read_network(out)
    assert stored_preprocessing(provenance).resize == 9
    assert network.buffers["normalise.mean"] == pytest.approx([0.1, 0.2, 0.3])
    assert network.buffers["normalise.std"] == pytest.approx([0.5] * 3)


def test_mean_without_std(run: Run, pets: Path, tmp_path: Path) -> None:
    found = run("models", "import", pets / "net.pt", "--mean=0.5", f"--out={tmp_path / 'x.h5'}")
    assert found.code == 2
    assert "--mean without --std; give both" in found.err
    own = run("evaluate", f"--weights={pets / 'net.h5'}", "--mean=0.5", "--std=0.5")
    assert own.code == 2
    assert "holds its own: omit it" in own.err


def test_packing(run: Run, pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "pets.h5"
    made = run("data", "prepare", "folder", pets / "pets", out, "--size=9", "--quiet", "--json")
    assert made.code == 0, made.err
    assert made.json | {"file": ""} == {
        "data": "pets",
        "train_images": 12,
        "test_images": 6,
        "classes": 3,
        "skipped": 0,
        "size": 9,
        "file": "",
    }
    weights = f"--weights={pets / 'net.h5'}"
    packed = run("evaluate", weights, f"--data={out}", "--engine=numpy", "--json").json
    assert packed["images"] == 6
    text = run("data", "prepare", "csv", listing(pets, tmp_path), out, "--size=9", "--quiet")
    assert "6 training and 0 test images of 9x9, 3 classes, 0 left out" in text.out


def listing(pets: Path, folder: Path) -> Path:
    path = folder / "list.csv"
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        for picture in sorted((pets / "pets" / "val").glob("*/*.png")):
            table.writerow([picture, picture.parent.name])
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("folder",), "needs the pictures, the file to write and --size"),
        (("folder", ".", "x.h5"), "needs the pictures, the file to write and --size"),
        (("folder", ".", "x.h5", "--size=0"), "--size is 0"),
        (("folder", ".", "x.png", "--size=9"), "another ending than .h5"),
        (("folder", "nowhere", "x.h5", "--size=9"), "no such file or folder"),
        (("cifar10", ".", "x.h5"), "is made from an archive: give its path by --from"),
        (("cifar10",), "is made from an archive: give its path by --from"),
    ],
)
def test_packing_refuses(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run("data", "prepare", *words)
    assert (found.code, one_line(found.err)) == (2, True)
    assert message in found.err
    assert list(tmp_path.iterdir()) == []


def test_a_decompression_bomb_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.png").write_bytes(bomb(12_000, 12_000))
    process = start("data", "prepare", "folder", tmp_path / "own", tmp_path / "x.h5", "--size=9")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert one_line(err)
    assert "limit against decompression bombs" in err
    assert not (tmp_path / "x.h5").exists()


def test_images_that_are_not_in_0_1(run: Run, pets: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((6, 3, 8, 8)).astype(np.float32)
    for name, bad in (("forgotten", x * 255), ("twice", (x - 0.5) / 0.25)):
        np.save(tmp_path / f"{name}.npy", bad)
        np.savez(tmp_path / f"{name}.npz", images=bad)
        for ending in ("npy", "npz"):
            found = run(
                *("sparsify", f"--weights={pets / 'plain.h5'}", *QUICK),
                *(f"--data={tmp_path / name}.{ending}", f"--out={tmp_path / 'run'}"),
            )
            assert (found.code, one_line(found.err)) == (2, True), found.err
            assert "expected [0, 1]: divide 8-bit values by 255" in found.err
            assert not (tmp_path / "run").exists()


def test_training_on_pictures(run: Run, pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.h5"
    words = ("train", "--arch=resnet8", f"--data=folder:{pets / 'pets'}", "--epochs=1")
    found = run(*words, "--engine=numpy", "--quiet", "--preprocess=9/8", f"--out={out}")
    assert found.code == 0, found.err
    network, provenance = read_network(out)
    assert network.graph.input_shape == (3, 8, 8)
    assert stored_preprocessing(provenance) == Preprocessing(9, 8)
    refused = run(*words, "--engine=numpy", f"--out={out}")
    assert refused.code == 2
    assert "say how they are resized" in refused.err


def test_the_example_of_photographs(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    try:
        import photographs
    finally:
        sys.path.pop(0)
    for i in range(3):
        save(tmp_path / f"{i}.jpg", i)
    (tmp_path / "labels.csv").write_text("file,class_index\n0.jpg,4\n1.jpg,2\n2.jpg,9\n")
    paths = [str(tmp_path), str(tmp_path / "labels.csv"), str(tmp_path / "out.csv")]
    assert photographs.main(["pictures", *paths]) == 0
    from fcpts_ref.data.csv_file import read_csv

    data = read_csv(tmp_path / "out.csv")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([4, 9], [2])
    np.savez(tmp_path / "n.npz", **{"a.weight": np.ones((1001, 5, 1, 1)), "a.bias": np.ones(1001)})
    words = ["network", str(tmp_path / "n.npz"), str(tmp_path / "n.safetensors")]
    assert photographs.main(words) == 0
    from safetensors.numpy import load_file

    found = load_file(tmp_path / "n.safetensors")
    assert {name: array.shape for name, array in found.items()} == {
        "a.weight": (1000, 5),
        "a.bias": (1000,),
    }
    assert photographs.main([]) == 2
