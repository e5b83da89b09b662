"""Networks that Keras builds and tf2onnx writes; skipped where these are not installed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.interchange.onnx.exporting import export_onnx
from fcpts_ref.interchange.onnx.importing import import_onnx
from interchange.onnx_files.onnx_run import assert_same, run_onnx

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf2onnx = pytest.importorskip("tf2onnx")
tensorflow = pytest.importorskip("tensorflow")
L = tensorflow.keras.layers
IMAGES = (24, 24, 3)


def plain(x: Any) -> Any:
    """Both paddings, a stride, ReLU6, max pooling."""
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(x)))
    x = L.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    x = L.MaxPooling2D()(L.Conv2D(16, 3, padding="valid", activation="relu")(x))
    return L.Dense(10)(L.GlobalAveragePooling2D()(x))


def mobile(x: Any) -> Any:
    """Depthwise convolutions, padding of its own, residual additions, softmax."""
    x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(8, 3, strides=2, padding="same")(x)))
    y = L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = L.Conv2D(8, 1, use_bias=False)(L.ReLU(6.0)(L.BatchNormalization()(y)))
    x = L.Add()([x, L.BatchNormalization()(y)])
    x = L.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = L.DepthwiseConv2D(3, strides=2, padding="valid")(x)
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))
    return L.Dense(10, activation="softmax")(x)


def dense(x: Any) -> Any:
    """Concatenations, average pooling, flatten: the order of the features is Keras's."""
    for _ in range(2):
        y = L.Activation("relu")(L.BatchNormalization()(x))
        x = L.Concatenate()([x, L.Conv2D(4, 3, padding="same")(y)])
    x = L.Flatten()(L.AveragePooling2D(3, strides=2, padding="same")(x))
    return L.Dense(5)(L.Dense(16, activation="relu")(x))


def excited(x: Any) -> Any:
    """Squeeze and excitation, swish, separable convolution, upsampling, the largest pixel."""
    x = L.Rescaling(1 / 127.5, offset=-1)(x)
    x = L.Conv2D(8, 3, dilation_rate=2, padding="same", activation="swish")(x)
    s = L.GlobalAveragePooling2D(keepdims=True)(x)
    s = L.Conv2D(8, 1, activation="sigmoid")(L.Conv2D(2, 1, activation="relu")(s))
    x = L.LeakyReLU()(L.SeparableConv2D(12, 3, strides=2, padding="same")(L.Multiply()([x, s])))
    return L.Dense(4)(L.GlobalMaxPooling2D()(L.UpSampling2D()(x)))


def transformer(x: Any) -> Any:
    """Layer norm, attention, GELU by tanh."""
    x = L.Reshape((9, 16))(L.Conv2D(16, 8, strides=8)(x))
    y = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 8)(y, y)])
    y = L.Dense(32)(L.LayerNormalization()(x))
    y = L.Dense(16)(tensorflow.keras.activations.gelu(y, approximate=True))
    return L.Dense(4)(L.GlobalAveragePooling1D()(L.Add()([x, y])))


NETWORKS = {net.__name__: net for net in (plain, mobile, dense, excited, transformer)}


def export(name: str, path: Path, opset: int, channels_first: bool) -> None:
    images = tensorflow.keras.Input(IMAGES)
    model = tensorflow.keras.Model(images, NETWORKS[name](images))
    generator = np.random.default_rng(0)
    for variable in model.weights:
        if "kernel" not in variable.name:  # statistics, scales, biases: off their start
            variable.assign(generator.uniform(0.2, 1.2, variable.shape))
    signature = (tensorflow.TensorSpec((None, *IMAGES), tensorflow.float32, name="input"),)
    function = tensorflow.function(lambda x: model(x, training=False), input_signature=signature)
    tf2onnx.convert.from_function(
        function,
        input_signature=signature,
        opset=opset,
        inputs_as_nchw=["input"] if channels_first else None,
        output_path=str(path),
    )


@pytest.mark.parametrize(
    ("opset", "channels_first"), [(13, False), (17, False), (13, True)], ids=["13", "17", "NCHW"]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_round_trip(name: str, opset: int, channels_first: bool, tmp_path: Path) -> None:
    path = tmp_path / "keras.onnx"
    export(name, path, opset, channels_first)
    network = import_onnx(path, normalise="none").network
    assert network.graph.input_shape == (3, 24, 24)
    x = np.random.default_rng(1).random((2, 3, 24, 24)).astype(np.float32)
    theirs = x if channels_first else x.transpose(0, 2, 3, 1)
    assert_same(network(x), run_onnx(path, theirs)[0])
    changed = {
        n: a * np.float32(0.9) if n in network.graph.prunable else a + np.float32(0.01)
        for n, a in network.parameters.items()
    }
    network = replace(network, parameters=changed)
    export_onnx(tmp_path / "again.onnx", network)
    assert_same(network(x), run_onnx(tmp_path / "again.onnx", theirs)[0])
