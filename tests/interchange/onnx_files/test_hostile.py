"""ONNX files from strangers: refused in one line, before memory is taken; nothing is written."""

from __future__ import annotations

import os
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.onnx.importing import import_onnx
from interchange.onnx_files.onnx_models import (
    helper,
    linear_model,
    model,
    node,
    numpy_helper,
    onnx,
    save,
)

F = np.float32


def refuse(path: Path, match: str) -> None:
    """Importing raises InputError with one line, and takes less than 64 MB."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=match) as caught:
            import_onnx(path, normalise="none")
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 1 << 26


def test_a_good_model_is_read(tmp_path: Path) -> None:
    network = import_onnx(save(linear_model(), tmp_path / "a.onnx"), normalise="none").network
    assert network.graph.prunable == ("fc.weight",)


def branch() -> Any:
    body = helper.make_graph([node("Relu", ["x"], "b")], "body", [], [])
    return helper.make_node("If", ["c"], ["y"], "y", then_branch=body, else_branch=body)


def claims_two_gigabytes() -> Any:
    proto = linear_model()
    tensor = proto.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend([1 << 16, 1 << 13])
    return proto


def with_initialiser(change: Any) -> Any:
    proto = linear_model()
    change(proto.graph.initializer[0])
    return proto


def quantised(tensor: Any) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ones((5, 192), np.int8), "fc.weight"))


def renamed(tensor: Any) -> None:
    tensor.name = "other"


def wrong_shape(tensor: Any) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ones((5, 191), F), "fc.weight"))


def negative(tensor: Any) -> None:
    tensor.dims[0] = -5


def text(tensor: Any) -> None:
    tensor.data_type = onnx.TensorProto.STRING


def not_finite(tensor: Any) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.full((5, 192), np.nan, F), "fc.weight"))


def doubled() -> Any:
    proto = linear_model()
    proto.graph.initializer.append(proto.graph.initializer[0])
    return proto


def sparse_bomb() -> Any:
    proto = linear_model()
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, F), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), ""))
    sparse.dims.extend([1 << 20, 1 << 10])
    return proto


def with_function() -> Any:
    proto = linear_model()
    proto.functions.add(name="f", domain="mine")
    return proto


def with_setting(**settings: Any) -> Any:
    return model([node("MaxPool", ["x"], "y", **settings)])


def resized(*, policy: str = "stretch", scale: float = 2, size: int = 0) -> Any:
    settings = {"keep_aspect_ratio_policy": policy} if size else {}
    scales = np.array([1, 1, scale, scale], F)
    return model(
        [
            node(
                "Resize",
                ["x", "", "" if size else "scales", *["sizes"][: bool(size)]],
                "y",
                **settings,
            )
        ],
        {"scales": scales, "sizes": np.array([1, 3, size, size])},
        opset=18,
    )


def not_text() -> Any:
    """A model with a name that is not UTF-8, which protobuf hands over as bytes."""
    content = linear_model().SerializeToString().replace(b"fc.weight", b"fc.w\xff\xfeght")
    return type("Raw", (), {"SerializeToString": lambda self: content})()


FLAT = node("Flatten", ["x"], "f")
BAD: dict[str, tuple[Any, str]] = {
    "a cycle": (
        lambda: model([node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"),
                       node("Relu", ["b"], "y")]),
        "a cycle through",
    ),
    "a cycle of one": (lambda: model([node("Add", ["x", "y"], "y")]), "a cycle through"),
    "control flow": (lambda: model([branch()], {"c": np.array(True)}), "control flow"),
    "int8 weights": (lambda: with_initialiser(quantised), "int8; expected float weights"),
    "a quantised operator": (
        lambda: model([node("DequantizeLinear", ["x", "s"], "y")], {"s": np.ones(1, F)}),
        "quantised network",
    ),
    "an old opset": (lambda: linear_model(opset=8), "opset 8; expected 9 to"),
    "a future opset": (lambda: linear_model(opset=99), "opset 99; expected 9 to"),
    "a missing initialiser": (
        lambda: with_initialiser(renamed), "nothing makes the value 'fc.weight'",
    ),
    "wrong shapes": (lambda: with_initialiser(wrong_shape), "expected 191 features"),
    "two gigabytes claimed": (claims_two_gigabytes, "has 3,840 bytes; expected 2,147,483,648"),
    "a negative size": (lambda: with_initialiser(negative), "impossible shape"),
    "texts": (lambda: with_initialiser(text), "expected real numbers"),
    "NaN": (lambda: with_initialiser(not_finite), "holds NaN or infinity"),
    "a name twice": (doubled, "is there twice"),
    "a value twice": (
        lambda: model([node("Relu", ["x"], "y"), node("Sigmoid", ["x"], "y")]), "made twice",
    ),
    "a sparse bomb": (sparse_bomb, "over 100 times the file's"),
    "a shape bomb": (
        lambda: model(
            [node("ConstantOfShape", ["s"], "c"), node("Add", ["x", "c"], "y")],
            {"s": np.array([1 << 20, 1 << 20])},
        ),
        "take over .* bytes when evaluated",
    ),
    "doubling": (
        lambda: model(
            [
                *(node("Concat", [f"c{i}", f"c{i}"], f"c{i + 1}", axis=0) for i in range(40)),
                node("Add", ["x", "c40"], "y"),
            ],
            {"c0": np.ones(1, F)},
        ),
        "take over .* bytes when evaluated",
    ),
    "a range": (
        lambda: model(
            [node("Range", ["a", "b", "d"], "r"), node("Add", ["x", "r"], "y")],
            {"a": np.array(0.0), "b": np.array(1e300), "d": np.array(1.0)},
        ),
        "take over .* bytes when evaluated|cannot be evaluated",
    ),
    "functions": (with_function, "functions of its own"),
    "another domain": (
        lambda: model([helper.make_node("FusedConv", ["x"], ["y"], "n", domain="com.microsoft")]),
        r"com.microsoft.FusedConv 'n' is not supported; supported are A",
    ),
    "an unknown operator": (
        lambda: model([node("LSTM", ["x", "x", "x"], "y", hidden_size=3)]),
        r"LSTM 'y' \(hidden_size=3\) is not supported; supported are .*Conv",
    ),
    "an unknown setting": (
        lambda: model([node("Softmax", ["x"], "y", colour=3)]), "setting 'colour' is not supported",
    ),
    "huge windows": (
        lambda: model([node("MaxPool", ["x"], "y", kernel_shape=[1 << 40, 1])]), "MaxPool",
    ),
    "open sides": (lambda: linear_model(shape=("N", 3, "H", "W")), "leaves sizes open; give them"),
    "no outputs": (lambda: model([FLAT], output="x"), "computes nothing"),
    "a part alone": (
        lambda: model([node("Erf", ["x"], "y")]), "only as a part of other layers",
    ),
    "the batch mixed": (
        lambda: model([node("Reshape", ["x", "s"], "y")], {"s": np.array([-1, 1])}), "mixes|batch",
    ),
    "a name that is no text": (not_text, "is not text in UTF-8"),
    "a setting of another type": (
        lambda: with_setting(kernel_shape=[2, 2], ceil_mode="1"),
        "'ceil_mode' of the type STRING; expected INT",
    ),
    "a required setting missing": (lambda: with_setting(), "lacks the setting 'kernel_shape'"),
    "too few inputs": (
        lambda: model([node("Gemm", ["x"], "y")]), "Gemm 'y' has 1 input; expected 2 to 3",
    ),
    "an input left out": (
        lambda: model([node("Gemm", ["x", ""], "y")]), "Gemm 'y' has no input 'B'",
    ),
    "infinite scales": (lambda: resized(scale=np.inf), "expected numbers from 0 to"),
    "an unknown rule of resizing": (
        lambda: resized(policy="other", size=3), "keep_aspect_ratio_policy is 'other'",
    ),
    "a norm's weight with too many axes": (
        lambda: model(
            [node("LayerNormalization", ["x", "w"], "y")], {"w": np.ones((1, 2, 8), F)}
        ),
        "weight or bias of shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str, tmp_path: Path) -> None:
    make, match = BAD[name]
    refuse(save(make(), tmp_path / "a.onnx"), match)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x08\x07\x3a\xff\xff\xff\xff\x7f", b"\x3a" * 4000]
)
def test_no_onnx_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    refuse(
        tmp_path / "a.onnx", "is no valid ONNX file|has 0 bytes|it has no graph|names 0 versions"
    )


def test_deep_nesting(tmp_path: Path) -> None:
    """Graphs in graphs, deeper than protobuf admits."""
    content = b""
    for _ in range(300):  # GraphProto.node = NodeProto.attribute = AttributeProto.g = GraphProto
        content = b"\x32" + _length(content) + content
        content = b"\x2a" + _length(content) + content
        content = b"\x0a" + _length(content) + content
    (tmp_path / "a.onnx").write_bytes(b"\x3a" + _length(content) + content)
    refuse(tmp_path / "a.onnx", "is no valid ONNX file")


def _length(content: bytes) -> bytes:
    number, result = len(content), b""
    while number > 127:
        result, number = result + bytes([number % 128 | 128]), number // 128
    return result + bytes([number])


def test_long_chains_are_no_recursion(tmp_path: Path) -> None:
    names = ["x", *(f"v{i}" for i in range(20_000)), "y"]
    nodes = [node("Identity", [a], b) for a, b in pairwise(names)]
    nodes[0] = node("Relu", ["x"], names[1])
    network = import_onnx(save(model(nodes), tmp_path / "a.onnx"), normalise="none").network
    assert len(network.graph.nodes) == 1


def external(location: str, tmp_path: Path, **more: Any) -> Path:
    proto = linear_model()
    tensor = proto.graph.initializer[0]
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    for place in (
        folder / "weights.bin",
        folder / "inner" / "weights.bin",
        tmp_path / "weights.bin",
    ):
        place.write_bytes(content)
    os.symlink(tmp_path / "weights.bin", folder / "link.bin")
    os.symlink(tmp_path, folder / "out")
    (folder / "short.bin").write_bytes(content[:-1])
    return save(proto, folder / "a.onnx")


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "inner/weights.bin"])
def test_external_data_beside_the_file(location: str, tmp_path: Path) -> None:
    network = import_onnx(external(location, tmp_path), normalise="none").network
    assert network.graph.prunable == ("fc.weight",)


@pytest.mark.parametrize(
    ("location", "match"),
    [
        ("../weights.bin", "expected a file in the model's folder"),
        ("inner/../../weights.bin", "expected a file in the model's folder"),
        ("/etc/hostname", "expected a file in the model's folder"),
        ("", "expected a file in the model's folder"),
        ("C:\\weights.bin", "expected a file in the model's folder"),
        ("link.bin", "a link: refused"),
        ("out/weights.bin", "a link: refused"),
        ("inner", "expected a regular file"),
        ("absent.bin", "there is no such file"),
        ("short.bin", "expected 3,840 bytes inside the file"),
    ],
)
def test_external_data_elsewhere(location: str, match: str, tmp_path: Path) -> None:
    refuse(external(location, tmp_path), match)


@pytest.mark.parametrize(
    "more", [{"offset": 1}, {"offset": -1}, {"length": 1 << 40}, {"offset": "a"}]
)
def test_external_data_with_a_wrong_place(more: Any, tmp_path: Path) -> None:
    refuse(external("weights.bin", tmp_path, **more), "bytes|no numbers")
