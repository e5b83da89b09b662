"""Detectors from end to end: pruning from Python and from the command line, drawing, export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_networks import make_images, make_network, small_resnet

from fcpts_ref.architectures.registry import find_architecture
from fcpts_ref.cli import main
from fcpts_ref.detection.boxes import Objects
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict_outputs
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.detection import (
    detections_of,
    objects_of,
    precision,
    train_detector,
)
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import resume, run
from fcpts_ref.experiments.training import Recipe
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.interchange.importing import export_network
from fcpts_ref.pruning.registry import sparsify

Image = pytest.importorskip("PIL.Image")

CLASSES = ("cat", "dog")
SIDE = 64


def graph(name: str = "mobilenet_v2_ssd_lite", classes: int = 3) -> Graph:
    row = find_architecture(name)
    return row.graph(classes=classes, width=0.25, input_shape=(3, SIDE, SIDE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of 80 x 60 pixels in VOC's layout, the last one without objects."""
    root = tmp_path_factory.mktemp("voc")
    rng = np.random.default_rng(0)
    for part in ("JPEGImages", "Annotations"):
        (root / part).mkdir()
    (root / "labels.txt").write_text("cat\ndog\n")
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(
            root / "JPEGImages" / f"{number}.png"
        )
        sides = "<xmin>11</xmin><ymin>7</ymin><xmax>51</xmax><ymax>37</ymax>"
        name = CLASSES[number % 2]
        thing = f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>"
        (root / "Annotations" / f"{number}.xml").write_text(
            "<annotation><size><width>80</width><height>60</height></size>"
            f"{thing if number < 3 else ''}</annotation>"
        )
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    export_network(path, make_network(graph(), dtype=np.float32))
    return str(path)


def options(weights: str, folder: Path) -> list[str]:
    data = ["--data", f"voc:{folder}", "--preprocess", f"stretch/{SIDE}/bilinear"]
    return ["--weights", weights, *data]


def job(weights: str, folder: Path, **more: object) -> Job:
    return Job(
        network=weights,
        arch="mobilenet_v2_ssd_lite",
        data=f"voc:{folder}",
        test_data=f"voc:{folder}",
        preprocess=f"stretch/{SIDE}/bilinear",
        **more,
    )


@pytest.mark.parametrize("profile", ["paper", "released", "extended"])
def test_fcpts_in_every_profile(profile):
    network = make_network(graph(), dtype=np.float32)
    images = make_images(network.graph, 4, dtype=np.float32)
    result = sparsify(network, images, target=0.8, profile=profile, epochs=2, batch_size=2)
    masks = result.network.masks
    kept = sum(int(mask.sum()) for mask in masks.values())
    assert kept == sum(m.size for m in masks.values()) - result_count(masks, 0.8)


def result_count(masks, rate):
    return round(rate * sum(mask.size for mask in masks.values()))


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("pot", {"steps": 2}),
        ("one-shot", {"allocation": "l2norm"}),
        ("one-shot", {"allocation": "global"}),
        ("str", {"epochs": 1, "batch_size": 2}),
    ],
)
def test_other_methods(method, settings):
    network = make_network(graph("mobilenet_v1_ssd"), dtype=np.float32)
    images = make_images(network.graph, 4, dtype=np.float32)
    result = sparsify(network, images, target=0.5, method=method, **settings)
    assert set(result.network.graph.outputs) == {"scores", "boxes"}


def test_channel_methods_say_that_they_do_not_fit():
    network = make_network(graph(), dtype=np.float32)
    images = make_images(network.graph, 4, dtype=np.float32)
    with pytest.raises(InputError, match="expected one"):
        sparsify(network, images, target=0.5, method="dsa", objective="outputs")


def test_a_run_shows_precision_and_is_resumed(weights, folder, tmp_path):
    work = job(weights, folder, target=0.5, settings={"epochs": 1, "batch_size": 2})
    summary = run(work, tmp_path / "run")
    assert [row.top1 for row in summary.rows] == [None] * 4
    assert all(0 <= row.mean_precision <= 1 for row in summary.rows)
    assert summary.rows[0].drop == 0
    assert resume(tmp_path / "run") == summary


def sparsify_options(weights, folder, out):
    given = ["--weights", weights, "--arch", "mobilenet_v2_ssd_lite", "--data", f"voc:{folder}"]
    given += ["--preprocess", f"stretch/{SIDE}/bilinear", "--method", "one-shot", "--quiet"]
    return ["sparsify", *given, "--sparsity", "0.5", "--out", str(out)]


def test_sparsify_draws_dense_and_sparse(weights, folder, tmp_path, capsys):
    given = sparsify_options(weights, folder, tmp_path / "run")
    drawn = ["--draw", str(tmp_path / "a" / "b"), "--draw-count", "2"]
    assert main([*given, "--test-data", f"voc:{folder}", *drawn]) == 0
    assert f"2 pictures drawn in {tmp_path / 'a' / 'b'}" in capsys.readouterr().out
    assert [path.name for path in sorted((tmp_path / "a" / "b").iterdir())] == ["0.png", "1.png"]
    with Image.open(tmp_path / "a" / "b" / "0.png") as picture:
        assert picture.size == (3 * (320 + 8) - 8, 240 + 16)
    again = ["sparsify", "--resume", str(tmp_path / "run"), "--draw", str(tmp_path / "c"), "--json"]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == str(tmp_path / "c")
    assert len(list((tmp_path / "c").iterdir())) == 4


def test_pictures_without_annotations_are_drawn_too(weights, folder, tmp_path, capsys):
    """Those of the calibration, where there are no others."""
    import shutil

    shutil.copytree(folder / "JPEGImages", tmp_path / "voc" / "JPEGImages")
    given = sparsify_options(weights, tmp_path / "voc", tmp_path / "run")
    assert main([*given, "--draw", str(tmp_path / "d"), "--draw-count", "1"]) == 0
    with Image.open(tmp_path / "d" / "0.png") as picture:
        assert picture.size == (2 * (320 + 8) - 8, 240 + 16)


def test_what_cannot_be_drawn_is_told_before_pruning(weights, folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["sparsify", "--draw", str(tmp_path / "d"), "--out", str(out), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error == "fcpts-ref sparsify: --draw is for detectors; resnet8 classifies: omit it\n"
    (tmp_path / "file").write_text("")
    given = sparsify_options(weights, folder, out)
    assert main([*given, "--draw", str(tmp_path / "file" / "d")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fcpts-ref sparsify: cannot make")
    assert error.count("\n") == 1
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_comparison_names_precision(weights, folder, tmp_path, capsys):
    given = ["--networks", weights, "--arch", "mobilenet_v2_ssd_lite", "--data", f"voc:{folder}"]
    given += ["--test-data", f"voc:{folder}", "--preprocess", f"stretch/{SIDE}/bilinear"]
    given += ["--methods", "one-shot-l2norm", "one-shot-erk", "--rates", "0.5", "--quiet"]
    given += ["--out", str(tmp_path / "grid")]
    assert main(["compare", *given]) == 0
    text = capsys.readouterr().out
    heading, header = text.splitlines()[0], text.splitlines()[2]
    assert "dense mAP" in heading
    assert header.split() == ["method", "rate", "n", "mAP", "drop", "time"]
    assert "top-1" not in text
    assert max(map(len, text.splitlines())) <= 80 + len(str(tmp_path))
    assert main(["compare", *given, "--json"]) == 0
    for line in json.loads(capsys.readouterr().out):
        assert line["top1"] is line["dense"] is None
        assert line["drop"] == line["dense_mean_precision"] - line["mean_precision"]
    stored = json.loads((tmp_path / "grid" / "dense.json").read_text())["networks"]
    assert set(stored[0]) == {"data", "sha256", "mean_precision"}
    assert "| mAP | drop |" in (tmp_path / "grid" / "table.md").read_text()


def test_annotations_are_read_before_pruning(weights, folder, tmp_path, monkeypatch):
    """A fault in the last one is not found at the end of a long run."""
    import shutil

    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "Annotations" / "3.xml").write_text("")

    def forbidden(*_, **__):
        raise AssertionError("pruning has begun")

    monkeypatch.setattr("fcpts_ref.experiments.run.run_stages", forbidden)
    with pytest.raises(InputError, match=r"3\.xml is not XML"):
        run(job(weights, tmp_path / "copy", method="one-shot"), tmp_path / "run")


def test_agreement_is_for_classifiers(weights, folder, tmp_path):
    work = job(weights, folder, agreement=True, method="one-shot")
    with pytest.raises(InputError, match="--agreement compares the predictions of classifiers"):
        run(work, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluate_prints_every_class(weights, folder, tmp_path, capsys):
    assert main(["evaluate", *options(weights, folder), "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "objects", "AP", "(11-point)"]
    assert [line.split()[:2] for line in lines[2:5]] == [["cat", "2"], ["dog", "1"], ["mean", "3"]]
    more = ["--json", "--measure", "area", "--draw", str(tmp_path / "d"), "--draw-count", "2"]
    assert main(["evaluate", *options(weights, folder), "--quiet", *more]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["average_precision"]) == set(CLASSES)
    mean = np.mean(list(result["average_precision"].values()))
    assert result["mean_average_precision"] == pytest.approx(mean)
    with Image.open(tmp_path / "d" / "0.png") as picture:
        assert picture.size == (2 * 4 * 80 + 8, 4 * 60 + 16)  # enlarged
    assert len(list((tmp_path / "d").iterdir())) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--draw-beside", "resnet8-digits"], "reads images"),
        (["--arch", "mobilenet_v1_ssd"], "not mobilenet_v1_ssd"),
        (["--measure", "coco"], "invalid choice"),
    ],
)
def test_bad_options(weights, folder, capsys, more, message):
    try:
        code = main(["evaluate", *options(weights, folder), "--quiet", *more])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_options_of_detectors_are_refused_for_classifiers(capsys, tmp_path):
    assert main(["evaluate", "--draw", str(tmp_path / "d"), "--quiet"]) == 2
    assert "--draw is for detectors" in capsys.readouterr().err


def test_classes_have_to_match(folder, tmp_path, capsys):
    path = tmp_path / "other.safetensors"
    export_network(path, make_network(graph(classes=5), dtype=np.float32))
    assert main(["evaluate", *options(str(path), folder), "--quiet"]) == 2
    assert "in 5 classes" in capsys.readouterr().err


def without_objects(root: Path) -> None:
    for path in (root / "Annotations").iterdir():
        path.write_text(
            "<annotation><size><width>80</width><height>60</height></size></annotation>"
        )


def with_box(root: Path, sides: tuple[int, ...]) -> None:
    path = root / "Annotations" / "0.xml"
    text = path.read_text()
    names = ("xmin", "ymin", "xmax", "ymax")
    for name, before, side in zip(names, (11, 7, 51, 37), sides, strict=True):
        text = text.replace(f"<{name}>{before}<", f"<{name}>{side}<")
    path.write_text(text)


def another_size(root: Path) -> None:
    Image.new("RGB", (60, 80)).save(root / "JPEGImages" / "1.png")


@pytest.mark.parametrize("command", ["evaluate", "train", "sparsify", "compare"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "Annotations" / "0.xml").unlink(), "0.xml"),
        (lambda root: (root / "Annotations" / "0.xml").write_text("<!DOCTYPE a><a/>"), "0.xml"),
        (lambda root: (root / "labels.txt").write_text("owl\ncat\n"), "of class 'dog'"),
        (lambda root: (root / "labels.txt").write_text("cat\ncat\n"), "name every class once"),
        (lambda root: (root / "JPEGImages" / "1.png").write_bytes(b"x"), "1.png"),
        (lambda root: with_box(root, (11, 7, 81, 37)), "0.xml: object 1 has the box 11, 7, 81"),
        (lambda root: with_box(root, (51, 7, 11, 37)), "0.xml: object 1 has the box 51, 7, 11"),
        (lambda root: (root / "JPEGImages" / "2.png").unlink(), "2 is not in JPEGImages"),
        (another_size, "1.xml: its size is 80 x 60, and its picture has 60 x 80 pixels"),
        (without_objects, "no object that counts"),
    ],
)
def test_bad_folders(weights, folder, tmp_path, capsys, command, change, message):
    """One line, exit code 2, and nothing written, whichever command meets the file first."""
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(folder, root)
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    read, other = ("trainval", "test") if command == "train" else ("test", "trainval")
    (lists / f"{read}.txt").write_text("0\n1\n2\n")
    (lists / f"{other}.txt").write_text("3\n")
    change(root)
    shape = ["--preprocess", f"stretch/{SIDE}/bilinear", "--quiet"]
    data = ["--data", f"voc:{root}", *shape]
    given = {
        "evaluate": ["--weights", weights, *data],
        "train": ["--arch", "mobilenet_v2_ssd_lite", "--width", "0.125", "--epochs", "1", *data],
        "sparsify": ["--weights", weights, "--arch", "mobilenet_v2_ssd_lite", *data],
        "compare": ["--networks", weights, "--arch", "mobilenet_v2_ssd_lite", *data],
    }[command]
    out = tmp_path / "out.h5"
    given += ["--out", str(out)] if command != "evaluate" else []
    given += ["--method", "one-shot"] if command == "sparsify" else []
    given += ["--methods", "one-shot-erk"] if command == "compare" else []
    assert main([command, *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert command == "compare" or not out.exists()


def test_training_needs_test_images(folder, tmp_path, capsys):
    given = ["--arch", "mobilenet_v2_ssd_lite", "--data", f"voc:{folder}", "--quiet"]
    given += ["--preprocess", f"stretch/{SIDE}", "--out", str(tmp_path / "n.h5")]
    assert main(["train", *given]) == 2
    error = capsys.readouterr().err
    assert "have no images for testing; list some of each in ImageSets/Main" in error
    assert not (tmp_path / "n.h5").exists()


def test_a_preprocessing_that_crops(weights, folder, capsys):
    given = ["--weights", weights, "--data", f"voc:{folder}", "--preprocess", f"{SIDE}/{SIDE}"]
    assert main(["evaluate", *given, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert f"use --preprocess stretch/{SIDE}/bilinear" in error
    assert error.count("\n") == 1


def test_a_checkpoint_of_the_other_detector(folder, tmp_path, capsys):
    path = tmp_path / "v1.safetensors"
    export_network(path, make_network(graph("mobilenet_v1_ssd"), dtype=np.float32))
    arch = ["--arch", "mobilenet_v2_ssd_lite"]
    assert main(["evaluate", *options(str(path), folder), *arch, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "not mobilenet_v2_ssd_lite" in error
    assert error.count("\n") == 1


def test_precision_of_perfect_detections(folder, weights):
    from fcpts_ref.data.preprocessing import preprocessing
    from fcpts_ref.data.sources import find_dataset
    from fcpts_ref.detection.boxes import Detections

    data = find_dataset(f"voc:{folder}", None)
    images = data.prepare(data.train, preprocessing=preprocessing("stretch/64"))
    objects = objects_of(data.train.objects, images)
    assert [len(o) for o in objects] == [1, 1, 1, 0]
    perfect = [Detections(o.boxes, np.ones(len(o)), o.labels) for o in objects]
    assert precision(perfect, objects, CLASSES).mean == 1
    with pytest.raises(InputError, match="no annotations"):
        objects_of(None, images)


def test_a_classifier_detects_nothing():
    network = make_network(small_resnet())
    images = make_images(network.graph, 1)
    with pytest.raises(InputError, match="expected a detector"):
        detections_of(network, images, engine=make_engine(network.graph, "numpy"))


@pytest.mark.parametrize("name", ["mobilenet_v1_ssd", "mobilenet_v2_ssd_lite"])
def test_export_to_onnx(name, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from fcpts_ref.interchange.onnx.exporting import export_onnx

    network = make_network(graph(name), dtype=np.float32)
    images = make_images(network.graph, 3, dtype=np.float32)
    export_onnx(tmp_path / "detector.onnx", network)
    session = runtime.InferenceSession(
        str(tmp_path / "detector.onnx"), providers=["CPUExecutionProvider"]
    )
    found = dict(
        zip(
            [o.name for o in session.get_outputs()],
            session.run(None, {"images": images}),
            strict=True,
        )
    )
    expected = predict_outputs(network, images, engine=make_engine(network.graph, "numba"))
    assert set(found) == {"scores", "boxes"}
    for output, values in expected.items():
        scale = max(1.0, np.abs(values).max())
        assert np.abs(found[output] - values).max() < 1e-5 * scale


def test_training_brings_the_loss_down(folder, tmp_path, capsys):
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "trainval.txt").write_text("0\n1\n")
    (lists / "test.txt").write_text("2\n")
    out = tmp_path / "trained.h5"
    given = ["--arch", "mobilenet_v2_ssd_lite", "--width", "0.125", "--data", f"voc:{folder}"]
    given += ["--preprocess", f"stretch/{SIDE}/bilinear", "--batch-size", "2", "--quiet"]
    try:
        assert main(["train", *given, "--epochs", "2", "--out", str(out), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert 0 <= result["test_map"] <= 1
        assert main(["evaluate", "--weights", str(out), "--data", f"voc:{folder}", "--quiet"]) == 0
        assert "cat" in capsys.readouterr().out
        assert main(["train", *given, "--augmentation", "crop-flip", "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert "--augmentation crop-flip: mobilenet_v2_ssd_lite is a detector; expected" in error
        assert error.count("\n") == 1
    finally:
        for path in lists.iterdir():
            path.unlink()


def test_a_detector_learns_an_image():
    network = make_network(graph(), dtype=np.float32)
    images = make_images(network.graph, 2, dtype=np.float32)
    objects = [
        Objects(np.array([[0.1, 0.1, 0.5, 0.6]]), np.array([1]), np.array([False])),
        Objects(np.empty((0, 4)), np.empty(0, int), np.empty(0, bool)),
    ]
    losses = []
    train_detector(
        network,
        images,
        objects,
        Recipe(epochs=40, batch_size=2, learning_rate=0.01, warmup_epochs=0, augmentation="none"),
        engine=make_engine(network.graph, "numba"),
        generator=np.random.default_rng(0),
        on_step=lambda report: losses.append(report.numbers["loss"]),
    )
    assert losses[-1] < losses[0] / 2


def test_annotations_of_other_images():
    network = make_network(graph(), dtype=np.float32)
    with pytest.raises(InputError, match="0 annotations for 2 images"):
        train_detector(
            network,
            make_images(network.graph, 2, dtype=np.float32),
            [],
            Recipe(augmentation="none"),
            engine=make_engine(network.graph, "numpy"),
            generator=np.random.default_rng(0),
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arch", "vit_b_16", "--width", "0.5"], "has no such factor"),
        (["--arch", "mobilenet_v2_cifar", "--width", "0"], "expected above 0"),
        (["--arch", "mobilenet_v2_cifar", "--width", "1e9"], "at most 8"),
    ],
)
def test_widths_that_cannot_be(capsys, options, message):
    assert main(["train", *options, "--quiet"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["ssd-crop", "ssd-zoom-crop-flip"])
def test_training_with_views(folder, kind):
    """The seed decides the views, and so the network."""
    from fcpts_ref.data.preprocessing import preprocessing
    from fcpts_ref.data.sources import find_dataset

    data = find_dataset(f"voc:{folder}", None)
    images = data.prepare(data.train, np.float32, preprocessing(f"stretch/{SIDE}/bilinear"))
    recipe = Recipe(epochs=1, batch_size=2, learning_rate=0.01, augmentation=kind)
    trained = [
        train_detector(
            make_network(graph(), dtype=np.float32),
            images,
            objects_of(data.train.objects, images),
            recipe,
            engine=make_engine(graph(), "numba"),
            generator=np.random.default_rng(seed),
        )
        for seed in (0, 0, 1)
    ]
    for name, array in trained[0].parameters.items():
        assert (array == trained[1].parameters[name]).all()
    assert any((a != trained[2].parameters[n]).any() for n, a in trained[0].parameters.items())


def test_augmentations_of_detectors_are_refused_for_classifiers(capsys, tmp_path):
    out = tmp_path / "n.h5"
    assert main(["train", "--augmentation", "ssd-crop", "--out", str(out), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "--augmentation ssd-crop: resnet8 is a classifier; expected one of none, crop" in error
    assert error.count("\n") == 1
    assert not out.exists()
