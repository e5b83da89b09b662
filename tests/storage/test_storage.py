"""Networks and arrays in HDF5: they are read as written, and other files are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from damage import damaged_copies, survives
from small_networks import every_operation, make_network, small_plain, small_resnet

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.storage.network_files import (
    graph_from_json,
    graph_to_json,
    read_arrays,
    read_network,
    write_arrays,
    write_network,
)

GRAPHS = [small_resnet("A"), small_resnet("B"), small_plain(), every_operation()]


def pruned_network(dtype: Any = np.float32) -> Network:
    network = make_network(small_plain(), dtype=dtype)
    masks = {n: np.abs(network.parameters[n]) > 0.2 for n in network.graph.prunable}
    weights = {n: np.where(m, network.parameters[n], dtype(0)) for n, m in masks.items()}
    return replace(network, parameters={**network.parameters, **weights}, masks=masks)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_network(tmp_path / "n.h5", pruned_network(), {"made_by": "a test"}, storage="dense")
    return tmp_path / "n.h5"


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_comes_back_bit_by_bit(tmp_path: Path, graph: Any, dtype: Any) -> None:
    network = make_network(graph, dtype=dtype)
    write_network(tmp_path / "n.h5", network, {"seed": 3})
    back, provenance = read_network(tmp_path / "n.h5")
    assert back.graph == network.graph
    assert provenance == {"seed": 3}
    for kind in ("parameters", "buffers"):
        held, expected = getattr(back, kind), getattr(network, kind)
        assert held.keys() == expected.keys()
        for name, array in expected.items():
            assert held[name].dtype == dtype
            assert held[name].tobytes() == array.tobytes()


def test_masks_come_back(file: Path) -> None:
    back, _ = read_network(file)
    expected = pruned_network()
    assert back.masks.keys() == expected.masks.keys()
    for name, mask in expected.masks.items():
        assert back.masks[name].dtype == np.bool_
        assert np.array_equal(back.masks[name], mask)


def test_the_order_of_names_does_not_reach_the_file(tmp_path: Path) -> None:
    network = pruned_network()
    turned = replace(network, parameters=dict(reversed(network.parameters.items())))
    write_network(tmp_path / "a.h5", network)
    write_network(tmp_path / "b.h5", turned)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_arrays_of_every_kind_come_back(tmp_path: Path) -> None:
    arrays = {
        "floats": np.arange(6.0).reshape(2, 3),
        "group/deep/int": np.arange(3),
        "small": np.array([1, 2], np.uint8),
        "none": np.zeros((0, 4), np.float32),
        "one": np.array(2.5),
        "nan": np.array([np.nan, np.inf]),
    }
    write_arrays(tmp_path / "a.h5", arrays, {"stage": [1, "two"]})
    back, notes = read_arrays(tmp_path / "a.h5")
    assert notes == {"stage": [1, "two"]}
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array, equal_nan=array.dtype.kind == "f")


def test_a_mask_of_booleans_is_stored_as_bytes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.h5", {"m": np.array([True, False])})
    assert read_arrays(tmp_path / "a.h5")[0]["m"].tolist() == [1, 0]


def test_every_damaged_network_is_noticed_or_read_right(file: Path, tmp_path: Path) -> None:
    expected, _ = read_network(file)
    for content in damaged_copies(file.read_bytes(), 600):
        result = survives(read_network, tmp_path / "damaged.h5", content)
        if result is not None:  # only unused bytes of the file have changed
            network, provenance = result
            assert provenance == {"made_by": "a test"}
            assert network.graph == expected.graph
            for kind in ("parameters", "buffers", "masks"):
                assert_same_arrays(getattr(network, kind), getattr(expected, kind))


def test_every_damaged_checkpoint_is_noticed_or_read_right(tmp_path: Path) -> None:
    arrays = {"x/y": np.arange(40.0), "z": np.arange(5)}
    write_arrays(tmp_path / "a.h5", arrays, {"a": 1})
    for content in damaged_copies((tmp_path / "a.h5").read_bytes(), 600, seed=1):
        result = survives(read_arrays, tmp_path / "damaged.h5", content)
        if result is not None:
            assert result[1] == {"a": 1}
            assert_same_arrays(result[0], arrays)


def assert_same_arrays(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()


def test_files_without_checksums_are_read(file: Path) -> None:
    """As versions before the checksums wrote them."""
    expected, _ = read_network(file)

    def strip(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            del item.attrs["sha256"]

    with h5py.File(file, "r+", libver="v110") as opened:
        opened.visititems(strip)
    assert_same_arrays(read_network(file)[0].parameters, expected.parameters)


def test_every_cut_is_noticed(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        assert survives(read_network, tmp_path / "cut.h5", whole[:length]) is None


def set_attribute(name: str, value: Any) -> Any:
    return lambda file: file.attrs.__setitem__(name, value)


def remove(name: str) -> Any:
    return lambda file: file.__delitem__(name)


def put(name: str, array: Any) -> Any:
    def change(file: Any) -> None:
        if name in file:
            del file[name]
        file[name] = array

    return change


def text(content: str) -> Any:
    return np.frombuffer(content.encode(), dtype=np.uint8)


CHANGES: dict[str, tuple[Any, str]] = {
    "a newer version": (set_attribute("version", np.int64(9)), "update fcpts-ref"),
    "version 0": (set_attribute("version", np.int64(0)), "version 0"),
    "an older version": (set_attribute("version", np.int64(1)), "reads 2 to 3: recreate the file"),
    "another format": (set_attribute("format", np.bytes_(b"other")), "not of the format"),
    "no graph": (remove("graph"), "graph is missing"),
    "no parameters": (remove("parameters"), "parameters is missing"),
    "no masks": (remove("masks"), "masks is missing"),
    "a parameter less": (
        remove("parameters/linear.bias"),
        "parameters lacks 'linear.bias'; expected",
    ),
    "a parameter more": (
        put("parameters/extra", np.zeros(3, "<f4")),
        "parameters holds 'extra', which no layer has; expected",
    ),
    "a long name": (
        put("parameters/" + "x" * 9999, np.zeros(3, "<f4")),
        f"holds '{'x' * 80}', which",
    ),
    "another shape": (put("parameters/linear.bias", np.zeros(5, "<f4")), "expected floats of"),
    "integers": (put("parameters/linear.bias", np.zeros(4, "<i4")), "expected float32"),
    "mixed": (put("parameters/linear.bias", np.zeros(4, "<f8")), "one floating dtype"),
    "NaN": (put("parameters/linear.bias", np.full(4, np.nan, "<f4")), "NaN"),
    "infinity": (put("buffers/normalise.mean", np.full(2, np.inf, "<f4")), "NaN or infinity"),
    "a mask of another shape": (put("masks/linear.weight", np.ones((1, 1), "u1")), "mask"),
    "a mask of floats": (put("masks/linear.weight", np.ones((4, 4), "<f4")), "expected uint8"),
    "graph that is no JSON": (put("graph", text("{")), "not JSON"),
    "graph that is no UTF-8": (put("graph", np.full(4, 255, "u1")), "not JSON"),
    "graph of nothing": (put("graph", text("{}")), "expected nodes"),
    "graph without end": (put("graph", text("[" * 100_000)), "not JSON"),
    "a number without end": (put("graph", text("1" * 100_000)), "integer of 100000 digits"),
    "provenance that is a list": (put("provenance", text("[1]")), "JSON object"),
    "a soft link": (put("parameters/linear.bias", h5py.SoftLink("/masks")), ""),
    "an external link": (put("parameters/linear.bias", h5py.ExternalLink("/etc/x", "y")), ""),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_changed_files_are_refused(file: Path, change: Any, message: str) -> None:
    with h5py.File(file, "r+", libver="v110") as opened:
        change(opened)
    with pytest.raises(InputError) as caught:
        read_network(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_a_huge_array_that_is_not_there_takes_no_memory(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["parameters/linear.bias"]
        opened["parameters"].create_dataset("linear.bias", shape=(1 << 40,), dtype="<f4")
    with pytest.raises(InputError, match="not wholly in the file"):
        read_network(file)


# Graphs as JSON


@pytest.mark.parametrize("graph", GRAPHS)
def test_graphs_come_back(graph: Any) -> None:
    assert graph_from_json(graph_to_json(graph)) == graph


def node(**change: Any) -> dict[str, Any]:
    base = {"name": "a", "operation": "relu", "inputs": ["images"], "attributes": {}}
    return {**base, **change}


def graph_data(shape: Any, nodes: Any, **change: Any) -> dict[str, Any]:
    base = {"name": "x", "inputs": {"images": shape}, "nodes": nodes, "outputs": {"logits": "a"}}
    return {**base, **change}


BAD_GRAPHS: dict[str, tuple[Any, str]] = {
    "null": (None, "expected nodes"),
    "number": (3, "expected nodes"),
    "list": ([], "expected nodes"),
    "empty": ({}, "expected nodes"),
    "no nodes": (graph_data([2, 2], []), "no nodes"),
    "nodes are no list": (graph_data([2, 2], 3), "expected nodes"),
    "size is a text": (graph_data(["a", 2], [node()]), "a should be a number"),
    "size is infinite": (graph_data([2, float("inf")], [node()]), "inf should be a number"),
    "size is a fraction": (graph_data([2, 1e30], [node()]), "1e\\+30 should be"),
    "size is too large": (graph_data([2, 10**30], [node()]), "should be a number"),
    "size is a truth value": (graph_data([2, True], [node()]), "True should be a number"),
    "shape is a text": (graph_data("22", [node()]), "2 should be a number"),
    "unknown operation": (graph_data([2, 2], [node(operation="magic")]), "'magic'"),
    "unknown input": (graph_data([2, 2], [node(inputs=["b"])]), "expected the names of"),
    "inputs are no list": (graph_data([2, 2], [node(inputs=3)]), "expected nodes"),
    "attributes are a list": (graph_data([2, 2], [node(attributes=[])]), "expected nodes"),
    "unknown attribute": (graph_data([2, 2], [node(attributes={"a": "text"})]), "attribute 'a'"),
    "NaN": (graph_data([2, 2], [node(attributes={"a": float("nan")})]), "nan should be a number"),
    "large": (graph_data([2, 2], [node(attributes={"a": 10**30})]), "should be a number"),
    "large in a list": (graph_data([2, 2], [node(attributes={"a": [10**30]})]), "should be a"),
    "same name twice": (graph_data([2, 2], [node(), node()]), "a name of its own"),
    "unknown output": (graph_data([2, 2], [node()], outputs={"logits": "b"}), "has outputs"),
    "long name": (graph_data([2, 2], [node(name="a" * 5000)]), "over 1000 letters"),
    "long operation": (graph_data([2, 2], [node(operation="a" * 5000)]), "over 1000 letters"),
    "long input": (graph_data([2, 2], [node(inputs=["a" * 5000])]), "over 1000 letters"),
    "long attribute": (graph_data([2, 2], [node(attributes={"a": "a" * 5000})]), "over 1000"),
    "long graph": (graph_data([2, 2], [node()], name="a" * 5000), "over 1000 letters"),
    "many inputs": (graph_data([2, 2], [node(inputs=["b"] * 5000)]), "expected the names of"),
}


def test_the_base_of_the_bad_graphs_is_good() -> None:
    assert graph_from_json(graph_data([2, 2], [node()])).output_shapes == {"logits": (2, 2)}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_bad_graphs(case: str) -> None:
    data, message = BAD_GRAPHS[case]
    with pytest.raises(InputError, match=message) as refused:
        graph_from_json(data)
    assert len(str(refused.value)) < 1000
