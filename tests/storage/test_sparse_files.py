"""Networks without their zeros: the same bits, small files, and damage that is noticed."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from comparing import assert_same_bits
from damage import damaged_copies, survives
from hypothesis import given
from hypothesis import strategies as st
from small_networks import every_operation, make_network

from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.network_files import read_network, write_network
from fcpts_ref.storage.positions import decode_positions, encode_positions
from fcpts_ref.storage.sparse_arrays import dense_bytes


@given(st.lists(st.integers(0, 700), max_size=20), st.integers(1, 5000))
def test_positions_come_back(gaps: list[int], size: int) -> None:
    kept = np.zeros(size, np.bool_)
    places = np.cumsum(np.array(gaps, int) + 1) - 1
    kept[places[places < size]] = True
    coding, code = encode_positions(kept)
    assert np.array_equal(decode_positions(coding, code, size), kept)
    assert len(code) <= (size + 7) // 8
    assert size <= 256 * (len(code) + 1) or coding == "all"


@pytest.mark.parametrize(
    ("coding", "code", "size"),
    [
        ("bits", [255], 9),
        ("bits", [255, 0], 8),
        ("gaps", [], 1_000_000),
        ("gaps", [255] * 4, 1_000_000),
        ("gaps", [3], 3),
        ("all", [1], 1),
        ("other", [], 0),
        (None, [1], 8),
        (["bits"], [1], 8),
    ],
)
def test_positions_that_do_not_fit(coding: Any, code: list[int], size: int) -> None:
    with pytest.raises(InputError, match="do not describe"):
        decode_positions(coding, np.array(code, np.uint8), size)


def pruned(dtype: Any = np.float32, rate: float = 0.8) -> Network:
    """Every operation, each prunable layer pruned; one mask keeps a zero, one weight is -0."""
    network = make_network(every_operation(), dtype=dtype)
    generator, masks, weights = np.random.default_rng(0), {}, {}
    for name in network.graph.prunable:
        array = network.parameters[name]
        masks[name] = generator.random(array.shape) >= rate
        weights[name] = np.where(masks[name], array, dtype(0))
    first, second = network.graph.prunable[:2]
    for kept in np.argwhere(masks[first])[:1]:
        weights[first][tuple(kept)] = 0
    for gone in np.argwhere(~masks[second])[:1]:
        weights[second][tuple(gone)] = -0.0
    return replace(network, parameters={**network.parameters, **weights}, masks=masks)


def same(back: Network, network: Network) -> None:
    assert back.graph == network.graph
    for kind in ("parameters", "buffers", "masks"):
        held, expected = getattr(back, kind), getattr(network, kind)
        assert held.keys() == expected.keys()
        for name, array in expected.items():
            assert_same_bits(held[name], array, name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8, 0.999])
@pytest.mark.parametrize("storage", ["exact", "dense"])
def test_the_same_bits_come_back(tmp_path: Path, dtype: Any, rate: float, storage: Any) -> None:
    network = pruned(dtype, rate)
    write_network(tmp_path / "n.h5", network, {"seed": 3}, storage=storage)
    back, provenance = read_network(tmp_path / "n.h5")
    assert provenance == {"seed": 3}
    same(back, network)


def test_some_masks_only(tmp_path: Path) -> None:
    network = pruned()
    first = network.graph.prunable[0]
    network = replace(network, masks={first: network.masks[first]})
    write_network(tmp_path / "n.h5", network)
    same(read_network(tmp_path / "n.h5")[0], network)


def test_float16_rounds_the_weights_alone(tmp_path: Path) -> None:
    network = pruned()
    write_network(tmp_path / "n.h5", network, storage="float16")
    back, _ = read_network(tmp_path / "n.h5")
    for name, array in network.parameters.items():
        rounded = array.astype(np.float16).astype(np.float32)
        assert_same_bits(back.parameters[name], rounded if name in network.masks else array)
    assert back.masks.keys() == network.masks.keys()


def test_float16_without_masks(tmp_path: Path) -> None:
    network = make_network(every_operation(), dtype=np.float32)
    write_network(tmp_path / "n.h5", network, storage="float16")
    back, _ = read_network(tmp_path / "n.h5")
    assert not back.masks
    name = network.graph.prunable[0]
    assert_same_bits(
        back.parameters[name], network.parameters[name].astype(np.float16).astype(np.float32)
    )


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    network = pruned()
    name = network.graph.prunable[0]
    large = {**network.parameters, name: np.where(network.masks[name], np.float32(1e6), 0)}
    with pytest.raises(InputError, match="beyond float16"):
        write_network(
            tmp_path / "n.h5",
            replace(network, parameters={k: v.astype(np.float32) for k, v in large.items()}),
            storage="float16",
        )
    assert not (tmp_path / "n.h5").exists()


def test_a_network_pruned_to_90_percent_takes_15_percent(tmp_path: Path) -> None:
    network, _ = read_network(resource_path("resnet8-digits.h5"))
    digits = read_dataset(resource_path("digits.h5"))
    images = digits.as_floats(digits.train.images[:8])
    result = sparsify(network, images, target=0.9, method="one-shot", engine="numpy")
    write_network(tmp_path / "n.h5", result.network, {"job": {"x": list(range(100))}})
    size = (tmp_path / "n.h5").stat().st_size
    assert size <= 0.15 * dense_bytes(network)
    assert size <= 0.15 * resource_path("resnet8-digits.h5").stat().st_size
    same(read_network(tmp_path / "n.h5")[0], result.network)


def test_damage_is_noticed(tmp_path: Path) -> None:
    network = pruned()
    write_network(tmp_path / "n.h5", network, {"made_by": "a test"})
    for content in damaged_copies((tmp_path / "n.h5").read_bytes(), 400):
        result = survives(read_network, tmp_path / "damaged.h5", content)
        if result is not None:
            same(result[0], network)


def replaced(name: str, content: Any) -> Any:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = content

    return change


def packed(text: bytes) -> Any:
    return np.frombuffer(zlib.compress(text), np.uint8)


CHANGES = {
    "no layers": (lambda file: file.pop("layers"), "layers is missing"),
    "layers that are no JSON": (replaced("layers", packed(b"{")), "not packed JSON"),
    "layers that are not packed": (replaced("layers", np.zeros(4, "u1")), "not packed JSON"),
    "layers of another graph": (replaced("layers", packed(b"[]")), "arrays of the graph"),
    "layers that are no objects": (replaced("layers", packed(b"[1]")), "arrays of the graph"),
    "a bomb": (replaced("graph", packed(b" " * (65 << 20) + b"{}")), "too long"),
    "fewer values": (replaced("values", np.zeros(3, "<f4")), "do not fit the arrays"),
    "more values": (replaced("values", np.zeros(10**5, "<f4")), "holds more than the layers"),
    "no positions": (replaced("positions", np.zeros(0, "u1")), "do not fit the arrays"),
    "integers": (replaced("values", np.zeros(3, "<i4")), "expected floats"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_changed_files_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "n.h5"
    write_network(path, pruned())
    with h5py.File(path, "r+", libver="v110") as file:
        change(file)
    with pytest.raises(InputError, match=message) as caught:
        read_network(path)
    assert "\n" not in str(caught.value)
