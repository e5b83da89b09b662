"""Networks: initialisation, rates, prediction, and arrays or images that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.predict import predict
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.training import accuracy
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.graphs.network import Network, global_rate, sparsity_rates

GRAPH = small_resnet()
NETWORK = make_network(GRAPH)
IMAGES = make_images(GRAPH, 5)


def test_initialise():
    graph = resnet(8, widths=(16, 32, 64))
    network = initialise(graph, np.random.default_rng(0), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    assert network.dtype == np.float32
    for name, array in network.parameters.items():
        if name in graph.prunable:
            spread = np.sqrt(2 / np.prod(array.shape[1:]))
            assert abs(array.std() / spread - 1) < 0.15
            assert abs(array.mean()) < 0.15 * spread
        else:
            wanted = 1 if name.endswith(".weight") else 0
            assert (array == wanted).all()
    assert_close(network.buffers["normalise.mean"], np.array([0.1, 0.2, 0.3], np.float32))
    assert_close(network.buffers["normalise.std"], np.array([0.5, 0.6, 0.7], np.float32))
    assert (network.buffers["bn1.running_mean"] == 0).all()
    assert (network.buffers["bn1.running_var"] == 1).all()


def test_initialise_is_seeded():
    first, same, other = (
        initialise(GRAPH, np.random.default_rng(seed)).parameters for seed in (7, 7, 8)
    )
    for name in GRAPH.prunable:
        assert_same_bits(first[name], same[name])
        assert (first[name] != other[name]).any()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_predict_in_batches(batch_size):
    seen = []
    logits = predict(
        NETWORK,
        IMAGES,
        engine=NumpyEngine(GRAPH),
        batch_size=batch_size,
        on_batch=seen.append,
    )
    assert_close(logits, NETWORK(IMAGES), 1e-13)
    assert sum(seen) == 5
    assert max(seen) <= batch_size


def test_rates_count_exact_zeros():
    parameters = dict(NETWORK.parameters)
    weight = parameters["linear.weight"].copy()
    weight.flat[:7] = [0.0, -0.0, 0.0, 1e-300, 1.0, 1.0, 1.0]
    network = NETWORK.with_parameters(parameters | {"linear.weight": weight})
    assert sparsity_rates(network)["linear.weight"] == pytest.approx(3 / weight.size)
    assert sparsity_rates(network)["conv1.weight"] == 0
    assert global_rate(network) == pytest.approx(3 / sum(network.sizes.values()))


def test_astype_and_with_parameters_leave_the_network():
    single = NETWORK.astype(np.float32)
    assert single.dtype == np.float32
    assert NETWORK.dtype == np.float64
    assert_close(single(IMAGES), NETWORK(IMAGES), 1e-5)


def test_images_are_read_in_the_networks_dtype():
    assert NETWORK.astype(np.float32)(IMAGES).dtype == np.float32
    assert NETWORK(IMAGES.astype(np.float32)).dtype == np.float64


def changed(kind, name, value):
    arrays = {"parameters": dict(NETWORK.parameters), "buffers": dict(NETWORK.buffers)}
    arrays[kind][name] = value
    return arrays


BIAS = np.zeros(5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (changed("parameters", "linear.bias", np.zeros(4)), r"expected floats of shape \(5,\)"),
        (changed("parameters", "linear.bias", np.zeros(5, int)), "dtype int64"),
        (changed("parameters", "linear.bias", np.zeros(5, complex)), "expected floats"),
        (changed("parameters", "linear.bias", BIAS + np.nan), "'linear.bias' holds NaN"),
        (changed("parameters", "linear.bias", BIAS + np.inf), "'linear.bias' holds NaN"),
        (changed("parameters", "linear.bias", BIAS.astype(np.float32)), "float32, float64"),
        (changed("parameters", "more.weight", BIAS), "belongs to no layer"),
        (changed("buffers", "bn1.running_var", np.zeros((3, 1))), "'bn1.running_var' has shape"),
        (changed("buffers", "bn1.running_var", np.full(3, np.nan)), "holds NaN"),
        (changed("buffers", "more", BIAS), "belongs to no layer"),
        (changed("buffers", "bn1.running_var", np.full(3, -0.1)), "expected at least 0"),
        (changed("buffers", "normalise.std", np.array([1.0, 0.0])), "expected above 0"),
        ({"parameters": {}, "buffers": NETWORK.buffers}, "'conv1.weight' is missing"),
        ({"parameters": NETWORK.parameters, "buffers": {}}, "'normalise.mean' is missing"),
    ],
)
def test_arrays_that_do_not_fit(arrays, message):
    with pytest.raises(InputError, match=message) as caught:
        Network(GRAPH, **arrays)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bn1.weight", "linear.bias", "nothing"])
def test_masks_belong_to_prunable_weights(name):
    with pytest.raises(InputError, match="one of the convolution or linear weights"):
        Network(GRAPH, NETWORK.parameters, NETWORK.buffers, {name: np.ones(3, bool)})
    with pytest.raises(InputError, match="has shape"):
        Network(
            GRAPH, NETWORK.parameters, NETWORK.buffers, {"linear.weight": np.ones((5, 5), bool)}
        )


def with_first(value):
    """Images of which one pixel has another value."""
    images = IMAGES.copy()
    images.flat[0] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8)), r"expects floats of shape \(N, 2, 8, 8\)"),
        (np.zeros((1, 3, 8, 8)), r"expects floats of shape \(N, 2, 8, 8\)"),
        (np.zeros((1, 2, 8, 8), np.uint8), "dtype uint8"),
        (np.zeros((0, 2, 8, 8)), "no images"),
        (np.full((1, 2, 8, 8), np.nan), "NaN or infinity"),
        (np.full((1, 2, 8, 8), np.inf), "NaN or infinity"),
        ("digits.h5", "expects floats"),
        (IMAGES * 255, r"run from .*; expected \[0, 1\]: divide 8-bit values by 255"),
        ((IMAGES - 0.5) / 0.25, "run from -.*leave the normalisation to the network"),
        (with_first(np.nextafter(1, 2)), "run from"),
        (with_first(-1e-9), "run from -1e-09"),
    ],
)
def test_images_that_do_not_fit(images, message):
    engine = NumpyEngine(GRAPH)
    for call in (
        NETWORK,
        lambda x: predict(NETWORK, x, engine=engine),
        lambda x: accuracy(NETWORK, x, np.zeros(len(x), int), engine=engine),
    ):
        with pytest.raises(InputError, match=message) as caught:
            call(images)
        assert "\n" not in str(caught.value)


def test_images_of_the_whole_range_are_read():
    images = np.array([0.0, 1.0, -0.0]).reshape(3, 1, 1, 1) * np.ones(GRAPH.input_shape)
    assert predict(NETWORK, images, engine=NumpyEngine(GRAPH)).shape == (3, GRAPH.classes)


def test_engines_by_name():
    assert isinstance(make_engine(GRAPH, "numpy"), NumpyEngine)
    with pytest.raises(InputError, match="unknown engine 'torch'; expected one of numba, numpy"):
        make_engine(GRAPH, "torch")


def test_plain_without_batch_norm_has_biases():
    names = set(small_plain(batch_norm=False).parameter_shapes)
    assert {"conv1.bias", "conv2.bias"} <= names
    assert not any(name.startswith("bn") for name in names)
