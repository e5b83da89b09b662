"""MATLAB files: read as SciPy reads those that it writes, and refused where they are damaged."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from scipy.io import savemat

from fcpts_ref.errors import InputError
from fcpts_ref.storage.mat_file import read_structures

ROWS = [(1, "n01", "tench, Tinca tinca", 0.5), (300, "n02", "", -1e9), (7, "n03", "x" * 99, 0.0)]
FIELDS = [("id", object), ("wnid", object), ("words", object), ("height", object)]


def mat_file(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    contents = {"synsets": np.array(ROWS, dtype=FIELDS), "other": np.arange(3)}
    savemat(buffer, contents, do_compression=compressed)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_structures_are_read(compressed: bool) -> None:
    read = read_structures(mat_file(compressed))
    assert list(read) == ["synsets"]
    rows = [tuple(row.values()) for row in read["synsets"]]
    assert [row[1:3] for row in rows] == [row[1:3] for row in ROWS]
    assert [(int(row[0][0]), float(row[3][0])) for row in rows] == [(r[0], r[3]) for r in ROWS]
    assert list(read["synsets"][0]) == [name for name, _ in FIELDS]


@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_and_every_changed_byte_is_refused_or_read(compressed: bool) -> None:
    content = mat_file(compressed)
    refused = 0
    for place in range(len(content)):
        changed = bytes([*content[:place], content[place] ^ 0xFF, *content[place + 1 :]])
        for damaged in (content[:place], changed):
            try:
                read_structures(damaged)
            except InputError:
                refused += 1
    assert refused > len(content) // 4


def test_no_mat_file() -> None:
    for content in (b"", b"MATLAB 5.0", bytes(1000), b"\x89HDF\r\n\x1a\n" * 99):
        with pytest.raises(InputError, match="no little-endian MATLAB file of version 5"):
            read_structures(content)
    assert read_structures(bytes(126) + b"IM") == {}


def test_structures_within_structures_are_not_entered() -> None:
    buffer = io.BytesIO()
    inner: object = {"a": 1}
    for _ in range(50):
        inner = {"a": inner}
    savemat(buffer, {"x": inner})
    assert read_structures(buffer.getvalue())["x"] == [{"a": None}]
    with contextlib.suppress(InputError):
        read_structures(buffer.getvalue()[:-8])
