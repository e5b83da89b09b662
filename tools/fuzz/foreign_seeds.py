"""Small valid files of ONNX, of pictures and of lists of pictures; their libraries are optional."""

from __future__ import annotations

import importlib.util
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from fcpts_ref.graphs.network import Network

NEEDS = {"onnx": "onnx", "picture": "PIL"}
"""The package without which a target has no seeds."""


def foreign_seeds(network: Network) -> dict[str, list[bytes]]:
    """Return valid files by target; none where the package that makes them is missing."""
    makers = {"onnx": lambda: _onnx(network), "picture": _pictures}
    found = {name: bool(importlib.util.find_spec(package)) for name, package in NEEDS.items()}
    return {
        **{name: make() if found[name] else [] for name, make in makers.items()},
        "picture-list": [b"file,label,split\nx.png,3,train\nx.png,2,test\n"],
        "meta-mat": [_meta(compressed) for compressed in (False, True)],
    }


def _onnx(network: Network) -> list[bytes]:
    """Return our own export, dense and sparse, and graphs that use settings of other exporters."""
    from fcpts_ref.interchange.onnx.exporting import export_onnx

    models = [_layers(), _tokens()]
    one = {"fc.weight": np.array([[0, 0], [0, 1]], np.float32)}
    network = Network(network.graph, {**network.parameters, **one}, network.buffers)
    with tempfile.TemporaryDirectory() as folder:
        for sparse in (False, True):
            models.append(export_onnx(Path(folder) / "x.onnx", network, sparse=sparse))
    return [model.SerializeToString() for model in models]


def _layers() -> Any:
    """Return a network of pads, pools, resizing, slices and a linear layer."""
    nodes = [
        ("Pad", ["x", "pads"], {"mode": "constant"}),
        ("Conv", [0, "w", "b"], {"kernel_shape": [3, 3], "strides": [2, 1], "dilations": [1, 2]}),
        ("BatchNormalization", [1, "b", "b", "b", "b"], {"epsilon": 1e-3}),
        ("Clip", [2, "low", "high"], {}),
        ("MaxPool", [3], {"kernel_shape": [2, 2], "strides": [1, 1], "ceil_mode": 1}),
        ("Resize", [4, "", "scales"], {"mode": "nearest", "nearest_mode": "floor"}),
        ("Slice", [5, "starts", "ends", "axes"], {}),
        ("AveragePool", [6], {"kernel_shape": [2, 2], "count_include_pad": 1}),
        ("Flatten", [7], {"axis": 1}),
        ("Gemm", [8, "fc"], {"transB": 1, "alpha": 0.5}),
    ]
    arrays = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "w": np.ones((2, 1, 3, 3), np.float32),
        "b": np.ones(2, np.float32),
        "low": np.float32(0),
        "high": np.float32(6),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "starts": np.array([0, 0]),
        "ends": np.array([3, 3]),
        "axes": np.array([2, 3]),
        "fc": np.ones((3, 8), np.float32),
    }
    return _model(nodes, arrays, ["N", 1, 8, 8])


def _tokens() -> Any:
    """Return a network of reshapes, transpositions, attention's products and a layer norm."""
    nodes = [
        ("Reshape", ["x", "tokens"], {}),
        ("Transpose", [0], {"perm": [0, 2, 1]}),
        ("LayerNormalization", [1, "one", "one"], {"axis": -1}),
        ("MatMul", [2, "square"], {}),
        ("Split", [3, "parts"], {"axis": 2}),
        ("Softmax", [4], {"axis": -1}),
        ("Sigmoid", [5], {}),
        ("ReduceMean", [6, "axis"], {"keepdims": 0}),
    ]
    arrays = {
        "tokens": np.array([0, 4, -1]),
        "one": np.ones(4, np.float32),
        "square": np.ones((4, 4), np.float32),
        "parts": np.array([4]),
        "axis": np.array([1]),
    }
    return _model(nodes, arrays, ["N", 4, 2, 2])


def _model(nodes: list[Any], arrays: dict[str, Any], shape: list[Any]) -> Any:
    """Return a model of (operator, inputs, settings); a number as input is an earlier node's."""
    from onnx import TensorProto, helper, numpy_helper

    made = [
        helper.make_node(kind, [f"v{i}" if isinstance(i, int) else i for i in inputs], [f"v{n}"])
        for n, (kind, inputs, _) in enumerate(nodes)
    ]
    for node, (_, _, settings) in zip(made, nodes, strict=True):
        node.attribute.extend(helper.make_attribute(*item) for item in settings.items())
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"v{len(nodes) - 1}", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _pictures() -> list[bytes]:
    """Return a picture of 5 x 4 pixels in every format and mode that is decoded."""
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    picture = Image.fromarray(colours)
    kinds = [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "I;16"), ("PPM", "L")]
    kinds += [("BMP", "P"), ("GIF", "P"), ("TIFF", "RGB"), ("TIFF", "1"), ("WEBP", "RGB")]
    contents = []
    for kind, mode in kinds:
        buffer = io.BytesIO()
        shown = Image.fromarray(colours[..., 0].astype(np.uint16)) if mode == "I;16" else None
        (shown or picture.convert(mode)).save(buffer, kind)
        contents.append(buffer.getvalue())
    return contents


def _meta(compressed: bool) -> bytes:
    """Return ImageNet's meta.mat with two of its classes."""
    kinds = [("ILSVRC2012_ID", np.int64), ("WNID", object)]
    synsets = np.array([(1, "n02119789"), (2, "n02100735")], dtype=kinds)
    buffer: Any = io.BytesIO()
    savemat(buffer, {"synsets": synsets}, do_compression=compressed)
    return bytes(buffer.getvalue())
