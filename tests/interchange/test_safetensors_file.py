"""safetensors: exact arrays both ways, and every violation of the format refused."""

import json
import struct
import tracemalloc

import numpy as np
import pytest
from damage import damaged_copies, survives
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.safetensors_file import (
    DTYPES,
    MAX_HEADER,
    read_safetensors,
    write_safetensors,
)

CODES = [kind for kind in DTYPES.values() if kind != "bfloat16"]


def make_arrays():
    draw = np.random.default_rng(0)
    arrays = {np.dtype(c).name: draw.integers(0, 2, (2, 3)).astype(c) for c in CODES}
    return arrays | {
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 3), np.float32),
        "größe": np.arange(3.0),
        "big endian": np.arange(3, dtype=">f4"),
        "every other": np.arange(6.0)[::2],
    }


def assert_same(found, arrays):
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_round_trip(tmp_path):
    write_safetensors(tmp_path / "a", make_arrays(), {"arch": "resnet20"})
    found = read_safetensors(tmp_path / "a")
    assert_same(found, make_arrays())
    found["float32"][0, 0] = 7  # arrays of their own, to be written to


def test_no_arrays(tmp_path):
    write_safetensors(tmp_path / "a", {})
    assert read_safetensors(tmp_path / "a") == {}


@given(arrays_of.arrays(st.sampled_from(CODES), arrays_of.array_shapes(min_dims=0, min_side=0)))
def test_any_array(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    write_safetensors(path, {"a": array})
    found = read_safetensors(path)["a"]
    assert found.shape == array.shape
    assert found.tobytes() == np.ascontiguousarray(array).tobytes()


def test_arrays_are_aligned_to_their_size(tmp_path):
    write_safetensors(tmp_path / "a", make_arrays())
    content = (tmp_path / "a").read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    sizes = {"F64": 8, "I64": 8, "F32": 4, "F16": 2, "BOOL": 1}
    for entry in json.loads(content[8 : 8 + length]).values():
        assert entry["data_offsets"][0] % sizes.get(entry["dtype"], 1) == 0


def test_the_reference_implementation_agrees(tmp_path):
    reference = pytest.importorskip("safetensors.numpy")
    arrays = {
        name: array for name, array in make_arrays().items() if name not in ("big endian", "größe")
    }
    write_safetensors(tmp_path / "ours", make_arrays(), {"key": "value"})
    assert_same(reference.load_file(tmp_path / "ours"), make_arrays())
    arrays["every other"] = arrays["every other"].copy()
    reference.save_file(arrays, tmp_path / "theirs", {"key": "value"})
    assert_same(read_safetensors(tmp_path / "theirs"), arrays)


def file_with(path, header, data=b""):
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_bfloat16_is_widened(tmp_path):
    data = np.array([0x3F80, 0xC000], "<u2").tobytes()
    path = file_with(tmp_path / "a", {"w": entry("BF16", offsets=(0, 4))}, data)
    found = read_safetensors(path)["w"]
    assert found.dtype == np.float32
    assert found.tolist() == [1.0, -2.0]


def test_padding_and_metadata(tmp_path):
    header = json.dumps({"__metadata__": {"a": "b"}, "w": entry()}).encode() + b"   "
    path = file_with(tmp_path / "a", header, np.float32([1, 2]).tobytes())
    assert read_safetensors(path)["w"].tolist() == [1, 2]


HUGE = 1 << 61


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (b"[1]", 0),
        (b"{,}", 0),
        (b"\xff\xff", 0),
        (b"[" * 100_000, 0),
        (b'{"a": ' + b"[" * 100_000, 0),
        (b'{"a": ' + b"9" * 10_000 + b"}", 0),
        (b'{"a": NaN}', 0),
        (b'{"a": {}, "a": {}}', 0),
        ({"__metadata__": {"a": 1}}, 0),
        ({"__metadata__": []}, 0),
        ({"w": 1}, 8),
        ({"w": {"dtype": "F32"}}, 8),
        ({"w": entry("F99")}, 8),
        ({"w": entry(["F32"])}, 8),
        ({"w": entry(shape=(-2,))}, 8),
        ({"w": entry(shape=(2.0,))}, 8),
        ({"w": entry(shape=(True, 2))}, 8),
        ({"w": entry(offsets=(0,))}, 8),
        ({"w": entry(offsets=(0, 8, 8))}, 8),
        ({"w": entry(offsets=(8, 0))}, 8),
        ({"w": entry(shape=(3,))}, 8),
        ({"w": entry(shape=(HUGE, HUGE))}, 8),
        ({"w": entry(offsets=(4, 12))}, 12),
        ({"w": entry(), "v": entry(offsets=(12, 20))}, 20),
        ({"w": entry(), "v": entry(offsets=(4, 12))}, 12),
        ({"w": entry(), "v": entry()}, 8),
        ({"w": entry()}, 7),
        ({"w": entry()}, 9),
    ],
)
def test_breaches_of_the_format(tmp_path, header, size):
    with pytest.raises(InputError, match="no valid safetensors file") as caught:
        read_safetensors(file_with(tmp_path / "a", header, bytes(size)))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (entry("F8_E4M3", shape=(8,)), "has dtype 'F8_E4M3', expected one of F64"),
        (entry(shape=(1,) * 40 + (2,)), "has 41 dimensions, at most 32"),
        (entry(shape=(0, HUGE, 4), offsets=(0, 0)), "impossible shape"),
    ],
)
def test_what_the_format_allows_and_numpy_does_not(tmp_path, fields, message):
    path = file_with(tmp_path / "a", {"w": fields}, bytes(fields["data_offsets"][1]))
    with pytest.raises(InputError, match=message):
        read_safetensors(path)


def test_a_header_that_would_take_much_memory_is_refused(tmp_path):
    path = file_with(tmp_path / "a", b"{" + b" " * MAX_HEADER + b"}")
    with pytest.raises(InputError, match=f"header of {MAX_HEADER + 2:,} bytes"):
        read_safetensors(path)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_safetensors(tmp_path / "absent")
    for content in (b"", b"1234567", b"\2\0\0\0\0\0\0\0{", b"\xff" * 100):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(InputError, match="expected a whole safetensors file"):
            read_safetensors(tmp_path / "a")


def test_a_claimed_size_takes_no_memory(tmp_path):
    header = {"w": entry(shape=(1 << 40,), offsets=(0, 1 << 42))}
    path = file_with(tmp_path / "a", header, bytes(8))
    tracemalloc.start()
    with pytest.raises(InputError, match="no valid safetensors file"):
        read_safetensors(path)
    path.write_bytes(struct.pack("<Q", 7_000_000) + b"{}")
    with pytest.raises(InputError, match="header of 7,000,000 bytes in a file of 10"):
        read_safetensors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("array", [np.zeros(2, complex), np.array(["a"])])
def test_what_the_format_lacks(tmp_path, array):
    with pytest.raises(InputError, match=r"w is .*, expected one of F64"):
        write_safetensors(tmp_path / "a", {"w": array})
    with pytest.raises(InputError, match="an array called __metadata__"):
        write_safetensors(tmp_path / "a", {"__metadata__": np.zeros(1)})
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused_or_read(tmp_path):
    arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.arange(3, dtype=np.float16)}
    write_safetensors(tmp_path / "a", arrays)
    content = (tmp_path / "a").read_bytes()
    found = [
        survives(read_safetensors, tmp_path / "damaged", copy)
        for copy in damaged_copies(content, 600)
    ]
    assert sum(read is None for read in found) > 300
    assert all(sum(a.nbytes for a in read.values()) == 54 for read in found if read is not None)
