"""Training with labels, accuracy, and the augmentation of batches."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref.data.augmentation import augment
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.training import Recipe, accuracy, train

GRAPH = small_plain()
NETWORK = make_network(GRAPH)
ENGINE = NumpyEngine(GRAPH)
IMAGES = make_images(GRAPH, 40)
LABELS = (IMAGES[:, 0, :3].mean(axis=(1, 2)) > 0.5).astype(int)
RECIPE = Recipe(epochs=25, batch_size=10, learning_rate=0.05, augmentation="none", warmup_epochs=1)


def run(seed=0, network=NETWORK, images=IMAGES, labels=LABELS, recipe=RECIPE, **settings):
    generator = np.random.default_rng(seed)
    return train(network, images, labels, recipe, engine=ENGINE, generator=generator, **settings)


def test_training_learns():
    reports = []
    trained = run(on_step=reports.append)
    assert [r.step for r in reports] == list(range(1, 101))
    assert reports[-1].numbers["loss"] < 0.5 * reports[0].numbers["loss"]
    before = accuracy(NETWORK, IMAGES, LABELS, engine=ENGINE)
    after = accuracy(trained, IMAGES, LABELS, engine=ENGINE)
    assert after.top1 > max(0.85, before.top1)


def test_same_seed_same_bits():
    recipe = Recipe(epochs=2, batch_size=10, augmentation="crop-flip")
    one, same, other = (run(seed, recipe=recipe) for seed in (1, 1, 2))
    for name, array in one.parameters.items():
        assert_same_bits(array, same.parameters[name], name)
    for name, array in one.buffers.items():
        assert_same_bits(array, same.buffers[name], name)
    assert (one.parameters["linear.weight"] != other.parameters["linear.weight"]).any()


def test_dtype_is_the_networks():
    assert run(network=NETWORK.astype(np.float32)).dtype == np.float32


def test_nothing_given_is_changed():
    before = {k: a.copy() for k, a in {**NETWORK.parameters, **NETWORK.buffers}.items()}
    run()
    for name, array in {**NETWORK.parameters, **NETWORK.buffers}.items():
        assert_same_bits(array, before[name], name)


def test_weight_decay_is_for_convolution_and_linear_alone():
    """With a tiny learning rate only the direction of the decay remains."""
    small = {"epochs": 1, "batch_size": 40, "warmup_epochs": 0, "momentum": 0.0,
             "learning_rate": 1e-3, "augmentation": "none", "nesterov": False}  # fmt: skip
    plain, decayed = (run(recipe=Recipe(weight_decay=d, **small)) for d in (0.0, 0.5))
    for name, array in NETWORK.parameters.items():
        want = -1e-3 * 0.5 * array if name in GRAPH.prunable else 0 * array
        assert_close(decayed.parameters[name] - plain.parameters[name], want, 1e-10, name)


def test_divergence_is_told():
    with pytest.raises(InputError, match="use a lower learning rate"):
        run(recipe=Recipe(learning_rate=1e200, batch_size=10, augmentation="none"))


@pytest.mark.parametrize("settings", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}])
def test_recipes(settings):
    with pytest.raises(InputError, match="expected all above 0"):
        Recipe(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": np.nan}, {"warmup_epochs": -1}],
)
def test_recipes_that_cannot_converge(settings):
    with pytest.raises(InputError, match=r"expected momentum in \[0, 1\)"):
        Recipe(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES[:, :1]}, "expects floats of shape"),
        ({"images": IMAGES + np.nan}, "NaN or infinity"),
        ({"labels": LABELS + 4}, "labels"),
        ({"labels": LABELS - 1}, "labels"),
        ({"labels": LABELS.astype(float)}, "labels"),
        ({"labels": LABELS[:-1]}, "labels"),
        ({"labels": np.append(LABELS, 0)}, "labels"),
        ({"recipe": Recipe(augmentation="mixup")}, "augmentation 'mixup'"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message) as caught:
        run(**change)
    assert "\n" not in str(caught.value)


# Accuracy


def test_accuracy_by_hand():
    logits = NETWORK(IMAGES)
    got = accuracy(NETWORK, IMAGES, LABELS, engine=ENGINE)
    assert got.images == 40
    assert got.correct == sum(
        int(np.argmax(row)) == y for row, y in zip(logits, LABELS, strict=True)
    )
    assert got.top1 == got.correct / 40
    assert got.correct5 == 40  # four classes


def test_top5():
    graph = small_resnet()
    network, images = make_network(graph), make_images(graph, 30)
    parameters = dict(network.parameters)
    parameters["linear.weight"] = np.zeros((5, 6))  # only the bias speaks, or all are equal
    parameters["linear.bias"] = np.zeros(5)
    equal = network.with_parameters(parameters)
    labels = np.arange(30) % 5
    got = accuracy(equal, images, labels, engine=NumpyEngine(graph))
    assert (got.top1, got.top5) == (0.2, 1.0)  # of equal logits the first class wins


@pytest.mark.parametrize("labels", [LABELS + 4, LABELS - 1, LABELS[:-1], LABELS[:, None]])
def test_labels_that_do_not_fit(labels):
    with pytest.raises(
        InputError, match=r"expected integers, one for each of 40|expected the 4 classes"
    ):
        accuracy(NETWORK, IMAGES, labels, engine=ENGINE)


# Augmentation


def draw(count=6, height=16, width=16):
    return np.random.default_rng(0).random((count, 2, height, width)) + 0.1


def test_none_returns_the_batch_and_draws_nothing():
    images, generator = draw(), np.random.default_rng(0)
    before = generator.bit_generator.state
    assert augment(images, "none", generator) is images
    assert generator.bit_generator.state == before


@given(st.integers(0, 500), st.sampled_from(["crop", "crop-flip"]), st.integers(8, 20))
def test_every_image_is_a_shifted_window_of_itself(seed, kind, width):
    images = draw(width=width)
    before = images.copy()
    got = augment(images, kind, np.random.default_rng(seed))
    assert_same_bits(images, before)
    assert (got.shape, got.dtype) == (images.shape, images.dtype)
    margin = max(16, width) // 8
    padded = np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    for image, source in zip(got, padded, strict=True):
        views = [image] if kind == "crop" else [image, image[:, :, ::-1]]
        assert any(
            np.array_equal(view, source[:, down : down + 16, right : right + width])
            for view in views
            for down in range(2 * margin + 1)
            for right in range(2 * margin + 1)
        )


def test_every_shift_and_both_sides_occur():
    images = np.zeros((3000, 1, 16, 16))
    images[:, :, 8, 7] = 1
    got = augment(images, "crop-flip", np.random.default_rng(0))
    places = np.argwhere(got[:, 0] == 1)[:, 1:]
    rows, row_counts = np.unique(places[:, 0], return_counts=True)
    columns, column_counts = np.unique(places[:, 1], return_counts=True)
    assert rows.tolist() == list(range(6, 11))
    assert columns.tolist() == list(range(5, 11))  # 7 +- 2, mirrored 8 +- 2
    assert (np.abs(row_counts - 600) < 100).all()
    want = 300 * np.array([1, 2, 2, 2, 2, 1])
    assert (np.abs(column_counts - want) < 100).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_augmentation_keeps_the_dtype_and_tiny_images(dtype):
    images = np.ones((2, 1, 4, 4), dtype)  # no margin below 8 pixels: only mirrored
    got = augment(images, "crop-flip", np.random.default_rng(0))
    assert_same_bits(got, images)
    assert augment(images[:0], "crop", np.random.default_rng(0)).shape == (0, 1, 4, 4)


def test_unknown_augmentation():
    with pytest.raises(InputError, match="expected one of none, crop, crop-flip"):
        augment(draw(), "mixup", np.random.default_rng(0))
