"""Published ResNets, imported and run on the real test images: their top-1 to the last image."""

import os
from pathlib import Path

import pytest

from fcpts_ref.data.cifar import read_cifar_archive, to_dataset
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict
from fcpts_ref.interchange.checkpoints import import_checkpoint

WEIGHTS = os.environ.get("FCPTS_REF_TEST_WEIGHTS")
CIFAR10 = os.environ.get("FCPTS_REF_TEST_CIFAR10")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (WEIGHTS and CIFAR10),
        reason="FCPTS_REF_TEST_WEIGHTS and FCPTS_REF_TEST_CIFAR10 do not name weights and images",
    ),
]


@pytest.fixture(scope="module")
def test_images():
    dataset = to_dataset(read_cifar_archive(CIFAR10))
    return dataset.as_floats(dataset.test.images), dataset.test.labels


# Of 10,000; the first three as PyTorch counts them with the same weights and images.
@pytest.mark.parametrize(
    ("pattern", "correct"),
    [
        ("resnet20-*.th", 9173),
        ("resnet32-*.th", 9263),
        ("resnet56-*.th", 9339),
        ("optionb-resnet32-cifar10.pth", 9213),
    ],
)
def test_top1_to_the_last_image(pattern, correct, test_images):
    (path,) = Path(WEIGHTS).glob(pattern)
    network = import_checkpoint(path).network
    images, labels = test_images
    logits = predict(network, images, engine=make_engine(network.graph, "numba", threads=2))
    assert (logits.argmax(axis=1) == labels).sum() == correct
