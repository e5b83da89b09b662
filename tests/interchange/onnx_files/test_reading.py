"""The forms in which exporters write layers, each read as the layer and written back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.onnx.exporting import export_onnx
from fcpts_ref.interchange.onnx.importing import import_onnx
from interchange.onnx_files.onnx_models import model, node, numpy_helper, onnx, save
from interchange.onnx_files.onnx_run import assert_same, run_onnx

RANDOM = np.random.default_rng(0)


def array(*shape: int) -> Any:
    return RANDOM.standard_normal(shape).astype(np.float32)


def number(value: float) -> Any:
    return np.array(value, np.float32)


def round_trip(proto: Any, path: Path, operations: Sequence[str], *, images: Any = None) -> Network:
    """Read a model, compare with onnxruntime, change the weights, write and compare again."""
    save(proto, path)
    network = import_onnx(path, normalise="none").network
    assert [n.operation for n in network.graph.nodes] == list(operations)
    x = RANDOM.random((2, *network.graph.input_shape)).astype(np.float32)
    theirs = x if images is None else images(x)
    assert_same(network(x), run_onnx(path, theirs)[0])
    changed = {
        n: a * np.float32(0.9) if n in network.graph.prunable else a + np.float32(0.01)
        for n, a in network.parameters.items()
    }
    network = replace(network, parameters=changed)
    export_onnx(path.with_name("again.onnx"), network)
    assert_same(network(x), run_onnx(path.with_name("again.onnx"), theirs)[0])
    return network


GELU: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "torch, opset 9": (
        [node("Div", ["x", "r"], "a"), node("Erf", ["a"], "b"), node("Add", ["b", "one"], "c"),
         node("Mul", ["x", "c"], "d"), node("Mul", ["d", "half"], "y")],
        {"r": number(2**0.5), "one": number(1), "half": number(0.5)},
    ),
    "half first": (
        [node("Mul", ["x", "half"], "h"), node("Mul", ["x", "r"], "a"), node("Erf", ["a"], "b"),
         node("Add", ["one", "b"], "c"), node("Mul", ["c", "h"], "y")],
        {"r": number(0.5**0.5), "one": number(1), "half": number(0.5)},
    ),
    "half in the middle": (
        [node("Div", ["x", "r"], "a"), node("Erf", ["a"], "b"), node("Add", ["b", "one"], "c"),
         node("Mul", ["half", "c"], "d"), node("Mul", ["d", "x"], "y")],
        {"r": number(2**0.5), "one": number(1), "half": number(0.5)},
    ),
    "by tanh": (
        [node("Pow", ["x", "three"], "a"), node("Mul", ["a", "k"], "b"),
         node("Add", ["x", "b"], "c"),
         node("Mul", ["c", "r"], "d"), node("Tanh", ["d"], "e"), node("Add", ["e", "one"], "f"),
         node("Mul", ["x", "half"], "h"), node("Mul", ["h", "f"], "y")],
        {"three": number(3), "k": number(0.044715), "r": number((2 / np.pi) ** 0.5),
         "one": number(1), "half": number(0.5)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", GELU)
def test_gelu(form: str, tmp_path: Path) -> None:
    nodes, arrays = GELU[form]
    network = round_trip(model(nodes, arrays), tmp_path / "a.onnx", ["gelu"])
    assert network.graph.nodes[0].attributes["approximate"] == (
        "tanh" if "tanh" in form else "none"
    )


SWISH: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "silu": ([node("Sigmoid", ["x"], "a"), node("Mul", ["a", "x"], "y")], {}, "silu"),
    "hard-swish by HardSigmoid": (
        [node("HardSigmoid", ["x"], "a", alpha=1 / 6), node("Mul", ["x", "a"], "y")],
        {}, "hard_swish",
    ),
    "hard-swish by Clip": (
        [node("Add", ["x", "three"], "a"), node("Clip", ["a", "zero", "six"], "b"),
         node("Mul", ["x", "b"], "c"), node("Div", ["c", "six"], "y")],
        {"three": number(3), "zero": number(0), "six": number(6)}, "hard_swish",
    ),
    "hard-sigmoid by Clip": (
        [node("Add", ["x", "three"], "a"), node("Clip", ["a", "zero", "six"], "b"),
         node("Div", ["b", "six"], "y")],
        {"three": number(3), "zero": number(0), "six": number(6)}, "hard_sigmoid",
    ),
    "relu6 by Min and Max": (
        [node("Max", ["x", "zero"], "a"), node("Min", ["a", "six"], "y")],
        {"zero": number(0), "six": number(6)}, "relu6",
    ),
    "relu by Clip": ([node("Clip", ["x", "zero"], "y")], {"zero": number(0)}, "relu"),
}  # fmt: skip


@pytest.mark.parametrize("form", SWISH)
def test_activations(form: str, tmp_path: Path) -> None:
    nodes, arrays, operation = SWISH[form]
    nodes = [node("Sub", ["x", "shift"], "moved"), *nodes]  # so that all branches are reached
    for n in nodes[1:]:
        n.input[:] = ["moved" if name == "x" else name for name in n.input]
    arrays = arrays | {"shift": number(0.5)}
    round_trip(model(nodes, arrays), tmp_path / "a.onnx", ["add_parameter", operation])


def layer_norm_nodes(power: bool, reciprocal: bool) -> list[Any]:
    square = node("Pow", ["d", "two"], "q") if power else node("Mul", ["d", "d"], "q")
    if reciprocal:
        end = [node("Reciprocal", ["s"], "i"), node("Mul", ["d", "i"], "n")]
    else:
        end = [node("Div", ["d", "s"], "n")]
    return [
        node("ReduceMean", ["x"], "m", axes=[-1], keepdims=1), node("Sub", ["x", "m"], "d"), square,
        node("ReduceMean", ["q"], "v", axes=[-1], keepdims=1), node("Add", ["v", "eps"], "e"),
        node("Sqrt", ["e"], "s"), *end, node("Mul", ["n", "gamma"], "g"),
        node("Add", ["g", "beta"], "y"),
    ]  # fmt: skip


@pytest.mark.parametrize("power", [True, False])
@pytest.mark.parametrize("reciprocal", [True, False])
def test_layer_norm(power: bool, reciprocal: bool, tmp_path: Path) -> None:
    arrays = {"two": number(2), "eps": number(1e-5), "gamma": array(8), "beta": array(8)}
    proto = model(layer_norm_nodes(power, reciprocal), arrays, opset=11)
    network = round_trip(proto, tmp_path / "a.onnx", ["layer_norm"])
    assert network.graph.nodes[0].attributes["epsilon"] == 1e-5


@pytest.mark.parametrize("shift", ["beta", "after", "none"])
def test_layer_norm_of_keras(shift: str, tmp_path: Path) -> None:
    """x scale + (beta - mean scale) with scale = gamma / sqrt(...), as tf2onnx writes it."""
    nodes = [
        node("GlobalAveragePool", ["x"], "m"), node("Sub", ["x", "m"], "d"),
        node("Mul", ["d", "d"], "q"), node("GlobalAveragePool", ["q"], "v"),
        node("Add", ["v", "eps"], "a"), node("Sqrt", ["a"], "s"), node("Reciprocal", ["s"], "i"),
        node("Mul", ["i", "gamma"], "scale"), node("Mul", ["x", "scale"], "p"),
    ]  # fmt: skip
    if shift == "beta":
        nodes += [node("Mul", ["m", "scale"], "n"), node("Sub", ["beta", "n"], "b")]
    else:
        nodes += [node("Neg", ["m"], "n"), node("Mul", ["n", "scale"], "b")]
    nodes += [node("Add", ["p", "b"], "z" if shift == "after" else "y")]
    nodes += [node("Add", ["z", "beta"], "y")] if shift == "after" else []
    arrays = {"eps": number(1e-3), "gamma": array(1, 1, 8), "beta": array(1, 1, 8)}
    arrays = {name: a for name, a in arrays.items() if name != "beta" or shift != "none"}
    operations = {"none": ["layer_norm", "multiply_parameter"]}.get(shift, ["layer_norm"])
    proto = model(nodes, arrays, shape=("N", 4, 8))
    network = round_trip(proto, tmp_path / "a.onnx", operations)
    assert network.graph.nodes[0].attributes["epsilon"] == 1e-3


def test_a_constant_wider_than_the_value(tmp_path: Path) -> None:
    """The value is repeated; the array stays one that is written back."""
    nodes = [node("GlobalAveragePool", ["x"], "p"), node("Mul", ["p", "w"], "y")]
    operations = ["global_average_pool", "reshape", "concat", "concat", "multiply_parameter"]
    round_trip(model(nodes, {"w": array(1, 3, 2, 4)}), tmp_path / "a.onnx", operations)
    for shape, match in (((2, 1, 3, 8, 8), "adds axes"), ((3, 7, 8), "does not fit")):
        path = save(model([node("Add", ["x", "w"], "y")], {"w": array(*shape)}), tmp_path / "b")
        with pytest.raises(InputError, match=match):
            import_onnx(path, normalise="none")


def test_copies(tmp_path: Path) -> None:
    shape = np.array([1, 3, 8, 5, 8])
    nodes = [node("Unsqueeze", ["x", "axis"], "u"), node("Expand", ["u", "shape"], "e"),
             node("Tile", ["e", "times"], "y")]  # fmt: skip
    arrays = {"axis": np.array([3]), "shape": shape, "times": np.array([1, 2, 1, 1, 3])}
    operations = ["reshape", "concat", "concat", "concat"]
    round_trip(model(nodes, arrays), tmp_path / "a.onnx", operations)
    for times, match in (([2, 1, 1, 1], "than the batch"), ([1, 1, 1, 1 << 40], "1 to 4096 times"),
                         ([1, 0, 1, 1], "0 times"), ([1, 2], "a number per axis")):  # fmt: skip
        path = save(model([node("Tile", ["x", "n"], "y")], {"n": np.array(times)}), tmp_path / "b")
        with pytest.raises(InputError, match=match):
            import_onnx(path, normalise="none")


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("last", [True, False])
def test_the_maximum_of_all_pixels(keep: int, last: bool, tmp_path: Path) -> None:
    nodes = [node("Transpose", ["x"], "t", perm=[0, 2, 3, 1] if last else [0, 1, 2, 3])]
    axes = [1, 2] if last else [2, 3]
    nodes += [node("ReduceMax", ["t"], "m", axes=axes, keepdims=keep), node("Flatten", ["m"], "f"),
              node("MatMul", ["f", "w"], "y")]  # fmt: skip
    proto = model(nodes, {"w": array(3, 5)}, shape=("N", 3, 8, 9))
    round_trip(proto, tmp_path / "a.onnx", ["max_pool", "flatten", "linear"])
    path = save(model([node("ReduceMax", ["x"], "y", axes=[1])]), tmp_path / "b")
    with pytest.raises(InputError, match="over axes \\[1\\]; expected both axes of the pixels"):
        import_onnx(path, normalise="none")


def test_clip_of_opset_9(tmp_path: Path) -> None:
    proto = model([node("Clip", ["x"], "y", min=0.0, max=6.0)], opset=9)
    round_trip(proto, tmp_path / "a.onnx", ["relu6"])


def test_layers_without_effect_disappear(tmp_path: Path) -> None:
    nodes = [node("Identity", ["x"], "a"), node("Dropout", ["a"], "b"), node("Relu", ["b"], "c"),
             node("Cast", ["c"], "d", to=1), node("Identity", ["d"], "y")]  # fmt: skip
    round_trip(model(nodes), tmp_path / "a.onnx", ["relu"])


@pytest.mark.parametrize("rule", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(rule: str, tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], "a", strides=[2, 2], auto_pad=rule),
             node("MaxPool", ["a"], "y", kernel_shape=[2, 2], auto_pad=rule)]  # fmt: skip
    proto = model(nodes, {"w": array(4, 3, 3, 3)})
    round_trip(proto, tmp_path / "a.onnx", ["convolution", "max_pool"])


def test_padding_before_a_convolution_is_its_own(tmp_path: Path) -> None:
    nodes = [node("Pad", ["x", "p"], "a"), node("Conv", ["a", "w", "b"], "y", pads=[1, 0, 0, 0])]
    arrays = {"p": np.array([0, 0, 0, 1, 0, 0, 1, 2]), "w": array(4, 3, 3, 3), "b": array(4)}
    network = round_trip(model(nodes, arrays), tmp_path / "a.onnx", ["convolution"])
    assert network.graph.nodes[0].attributes["padding"] == (1, 1, 1, 2)


def test_a_bias_that_is_added_later(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "c.weight"], "a"), node("Add", ["a", "b"], "y")]
    proto = model(nodes, {"c.weight": array(4, 3, 1, 1), "b": array(1, 4, 1, 1)})
    network = round_trip(proto, tmp_path / "a.onnx", ["convolution"])
    assert list(network.parameters) == ["c.weight", "c.bias"]


LINEAR: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "Gemm": ([node("Gemm", ["f", "w", "b"], "y", transB=1)], {"w": array(5, 192), "b": array(5)}),
    "Gemm, not transposed": (
        [node("Gemm", ["f", "w", "b"], "y")], {"w": array(192, 5), "b": array(1, 5)},
    ),
    "Gemm, scaled": (
        [node("Gemm", ["f", "w", "b"], "y", transB=1, alpha=0.5, beta=2.0)],
        {"w": array(5, 192), "b": array(5)},
    ),
    "MatMul and Add": (
        [node("MatMul", ["f", "w"], "a"), node("Add", ["b", "a"], "y")],
        {"w": array(192, 5), "b": array(5)},
    ),
    "MatMul of a transposed weight": (
        [node("Transpose", ["w"], "t", perm=[1, 0]), node("MatMul", ["f", "t"], "a"),
         node("Add", ["a", "b"], "y")],
        {"w": array(5, 192), "b": array(5)},
    ),
    "MatMul of a reshaped weight": (
        [node("Squeeze", ["w", "axes"], "t"), node("MatMul", ["f", "t"], "a"),
         node("Add", ["a", "b"], "y")],
        {"w": array(1, 192, 5), "axes": np.array([0]), "b": array(5)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", LINEAR)
def test_linear(form: str, tmp_path: Path) -> None:
    nodes, arrays = LINEAR[form]
    proto = model([node("Flatten", ["x"], "f"), *nodes], arrays)
    network = round_trip(proto, tmp_path / "a.onnx", ["flatten", "linear"])
    assert [a.shape for a in network.parameters.values()] == [(5, 192), (5,)]


def test_weights_of_constant_nodes(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(array(4, 3, 1, 1), "value")
    nodes = [node("Constant", [], "w", value=weight), node("Conv", ["x", "w"], "y")]
    round_trip(model(nodes), tmp_path / "a.onnx", ["convolution"])


def test_initialisers_listed_as_inputs(tmp_path: Path) -> None:
    proto = model([node("Conv", ["x", "w"], "y")], {"w": array(4, 3, 1, 1)})
    value = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4, 3, 1, 1])
    proto.graph.input.append(value)
    round_trip(proto, tmp_path / "a.onnx", ["convolution"])


def test_shared_initialisers(tmp_path: Path) -> None:
    """Read twice; written once while they are equal, and twice after they differ."""
    nodes = [node("Conv", ["x", "c.weight"], "a"), node("Conv", ["a", "c.weight"], "y")]
    proto = model(nodes, {"c.weight": array(3, 3, 1, 1)})
    network = round_trip(proto, tmp_path / "a.onnx", ["convolution", "convolution"])
    again = tmp_path / "again.onnx"
    assert len(onnx.load(str(again)).graph.initializer) == 1
    _, second = network.graph.prunable
    changed = {**network.parameters, second: network.parameters[second] * np.float32(2)}
    network = replace(network, parameters=changed)
    export_onnx(again, network)
    assert len(onnx.load(str(again)).graph.initializer) == 2
    x = RANDOM.random((2, 3, 8, 8)).astype(np.float32)
    assert_same(network(x), run_onnx(again, x)[0])


def test_shared_initialisers_whose_names_are_taken(tmp_path: Path) -> None:
    """torch.onnx.export keeps one of equal biases, and lets Identity make the names of others."""
    nodes = [
        node("Identity", ["first.bias"], "second.bias"),
        node("Conv", ["x", "first.weight", "second.bias"], "a"),
        node("Conv", ["a", "second.weight", "first.bias"], "normalise.mean"),
        node("Relu", ["normalise.mean"], "y"),
    ]
    weights = {f"{name}.weight": array(3, 3, 1, 1) for name in ("first", "second")}
    proto = model(nodes, {**weights, "first.bias": array(3)})
    path = tmp_path / "a.onnx"
    onnx.save(proto, str(path))
    network = import_onnx(path, normalise="0.1,0.2,0.3/0.5,0.6,0.7").network
    biases = [name for name in network.parameters if name.endswith("bias")]
    assert len(biases) == 2
    changed = {name: array(3) for name in biases}
    network = replace(network, parameters={**network.parameters, **changed})
    again = tmp_path / "again.onnx"
    export_onnx(again, network, normalisation=True)
    names = [t.name for t in onnx.load(str(again)).graph.initializer]
    assert len(set(names)) == len(names) == 6
    x = RANDOM.random((2, 3, 8, 8)).astype(np.float32)
    assert_same(network(x), run_onnx(again, x)[0])


def test_tensorflow_s_images(tmp_path: Path) -> None:
    """Channels last at the input and for the mean, as tf2onnx writes them; ours are first."""
    nodes = [
        node("Transpose", ["x"], "t", perm=[0, 3, 1, 2]),
        node("Conv", ["t", "net/conv/kernel:0"], "c", strides=[2, 2], auto_pad="SAME_UPPER"),
        node("Relu", ["c"], "r"), node("Transpose", ["r"], "u", perm=[0, 2, 3, 1]),
        node("ReduceMean", ["u"], "m", axes=[1, 2], keepdims=0),
        node("MatMul", ["m", "net/dense/kernel:0"], "a"), node("Add", ["a", "bias"], "b"),
        node("Softmax", ["b"], "y", axis=-1),
    ]  # fmt: skip
    arrays = {
        "net/conv/kernel:0": array(4, 3, 3, 3), "net/dense/kernel:0": array(4, 5), "bias": array(5),
    }  # fmt: skip
    proto = model(nodes, arrays, shape=("N", 8, 9, 3))
    operations = ["convolution", "relu", "global_average_pool", "linear", "softmax"]
    network = round_trip(
        proto, tmp_path / "a.onnx", operations, images=lambda x: x.transpose(0, 2, 3, 1)
    )
    assert network.graph.input_shape == (3, 8, 9)
    path = tmp_path / "a.onnx"
    network = import_onnx(path, normalise="0.1,0.2,0.3/0.5,0.6,0.7").network
    out = tmp_path / "b.onnx"
    export_onnx(out, network, normalisation=True)
    x = RANDOM.random((2, 3, 8, 9)).astype(np.float32)
    assert_same(network(x), run_onnx(out, x.transpose(0, 2, 3, 1))[0])


def test_squeeze_and_excitation(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", ["x"], "p"), node("Conv", ["p", "w"], "c"),
             node("Sigmoid", ["c"], "s"), node("Mul", ["s", "x"], "y")]  # fmt: skip
    proto = model(nodes, {"w": array(3, 3, 1, 1)})
    operations = ["global_average_pool", "reshape", "convolution", "sigmoid", "multiply"]
    round_trip(proto, tmp_path / "a.onnx", operations)


def test_shapes_are_computed(tmp_path: Path) -> None:
    """x.view(x.size(0), -1, 4): Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        node("Shape", ["x"], "s"), node("Gather", ["s", "zero"], "g"),
        node("Unsqueeze", ["g"], "u", axes=[0]),
        node("Concat", ["u", "minus", "four"], "t", axis=0),
        node("Reshape", ["x", "t"], "r"), node("MatMul", ["r", "w"], "y"),
    ]  # fmt: skip
    arrays = {"zero": np.array(0), "minus": np.array([-1]), "four": np.array([4]), "w": array(4, 5)}
    round_trip(model(nodes, arrays, opset=11), tmp_path / "a.onnx", ["reshape", "linear"])


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions(dtype: Any, tmp_path: Path) -> None:
    proto = model([node("Conv", ["x", "w"], "y")], {"w": array(4, 3, 3, 3).astype(dtype)})
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    path = save(proto, tmp_path / "a.onnx")
    network = import_onnx(path, normalise="none").network
    assert network.dtype == (np.float64 if dtype is np.float64 else np.float32)
    export_onnx(tmp_path / "b.onnx", network)
    assert (tmp_path / "b.onnx").stat().st_size > 0
    before, after = (onnx.load(str(p)).graph.initializer[0] for p in (path, tmp_path / "b.onnx"))
    assert before.SerializeToString() == after.SerializeToString()


def test_the_input_normalisation_of_the_graph(tmp_path: Path) -> None:
    nodes = [node("Sub", ["x", "m"], "a"), node("Div", ["a", "s"], "b"), node("Relu", ["b"], "y")]
    arrays = {"m": array(3, 1, 1), "s": np.abs(array(3, 1, 1)) + 1}
    path = tmp_path / "a.onnx"
    network = round_trip(model(nodes, arrays), path, ["normalise", "relu"])
    with pytest.raises(InputError, match="normalises its images itself"):
        export_onnx(path, network, normalisation=False)


def test_sides_that_the_file_leaves_open(tmp_path: Path) -> None:
    proto = model([node("Relu", ["x"], "y")], shape=("N", 3, "H", "W"))
    path = save(proto, tmp_path / "a.onnx")
    assert import_onnx(path, input_shape=(3, 4, 5)).network.graph.input_shape == (3, 4, 5)
    with pytest.raises(InputError, match="do not fit"):
        import_onnx(path, input_shape=(1, 4, 5))


def test_what_is_stored_without_weights(tmp_path: Path) -> None:
    proto = model([node("Conv", ["x", "w"], "y")], {"w": array(400, 3, 3, 3)})
    network = import_onnx(save(proto, tmp_path / "a.onnx"), normalise="none").network
    assert network.graph.source is not None
    assert len(network.graph.source.content) < 1000


def damaged(source: Any, name: str) -> Any:
    (array,) = source.arrays
    record = source.arrays[array]
    return {
        "no model": replace(source, content=b"\x3a\xff\xff\xff\xff\x7f"),
        "another format": replace(source, format="other"),
        "no records": replace(source, arrays={}),
        "an empty record": replace(source, arrays={array: {}}),
        "another initialiser": replace(source, arrays={array: {**record, "initialiser": "v"}}),
        "unknown steps": replace(source, arrays={array: {**record, "steps": [["jump", 1]]}}),
        "steps that do not fit": replace(
            source, arrays={array: {**record, "steps": [["transpose", [1, 0]]]}}
        ),
        "steps of no form": replace(source, arrays={array: {**record, "steps": [1]}}),
        "another dtype": replace(
            source, arrays={array: {**record, "initialiser": "", "dtype": "q"}}
        ),
    }[name]


@pytest.mark.parametrize(
    "name",
    ["no model", "another format", "no records", "an empty record", "another initialiser",
     "unknown steps", "steps that do not fit", "steps of no form", "another dtype"],
)  # fmt: skip
def test_a_damaged_source(name: str, tmp_path: Path) -> None:
    proto = model([node("Conv", ["x", "w"], "y")], {"w": array(4, 3, 1, 1)})
    network = import_onnx(save(proto, tmp_path / "a.onnx"), normalise="none").network
    graph = replace(network.graph, source=damaged(network.graph.source, name))
    with pytest.raises(InputError) as caught:
        export_onnx(tmp_path / "b.onnx", replace(network, graph=graph))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "b.onnx").exists()
