"""JSON files and checked records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.storage.json_files import as_json, read_json, write_json
from fcpts_ref.storage.records import check_record, record_from_json


def test_json_of_numpy_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": np.float32(0.5), "b": np.arange(2)})
    assert read_json(tmp_path / "x.json") == {"a": 0.5, "b": [0, 1]}
    assert as_json((1, np.int64(2))) == [1, 2]
    with pytest.raises(TypeError, match="set cannot be written"):
        write_json(tmp_path / "y.json", {1, 2})
    assert not (tmp_path / "y.json").exists()


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 99999, b"1" * 5000])
def test_files_that_are_not_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match="is not JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "absent.json")


@dataclass(frozen=True)
class Inner:
    n: int


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    many: tuple[Inner, ...] = ()
    rates: Mapping[str, float] | None = None
    kind: Literal["a", "b"] = "a"
    anything: Any = None


def test_records_come_back() -> None:
    data = {"name": "x", "inner": {"n": 1}, "many": [{"n": 2}], "rates": {"l": 1}, "anything": [1]}
    record = record_from_json(Outer, data, "it")
    assert record == Outer("x", Inner(1), (Inner(2),), {"l": 1}, "a", [1])
    assert record_from_json(Outer, as_json({"name": "x", "inner": {"n": 1}}), "it").rates is None
    check_record(record, "it")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": 1}, "it has no field 'nam'; did you mean 'name'"),
        ({"inner": {"n": 1.5}}, "it: inner: n is 1.5; expected a whole number"),
        ({"inner": {}}, "it: inner lacks the field 'n'"),
        ({"inner": 3}, "it: inner is 3; expected an object"),
        ({"many": {"n": 2}}, "many is .*; expected a list"),
        ({"many": [3]}, "many is 3; expected an object"),
        ({"rates": {"l": "x"}}, "rates.l is 'x'; expected a number"),
        ({"rates": [1]}, "rates is .*; expected an object"),
        ({"kind": "c"}, "kind is 'c'; expected one of a, b"),
        ({"name": None}, "name is None; expected a text"),
        ({"name": "x" * 1000 + "\ud800"}, "name is .{60,}; expected a text"),
    ],
)
def test_bad_records(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        record_from_json(Outer, {"name": "x", "inner": {"n": 1}} | change, "it")


def test_a_flipped_character_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"top1": 0.91, "layers": [{"name": "ä", "rate": 0.5}], "none": None})
    text = path.read_text(encoding="utf-8")
    assert read_json(path)["top1"] == 0.91
    assert "sha256" not in read_json(path)
    for place, letter in enumerate(text):
        if letter in "0123456789":
            changed = "1" if letter != "1" else "2"
            path.write_text(text[:place] + changed + text[place + 1 :], encoding="utf-8")
            if text[:place].endswith(("sha", "sha2", "sha25")):  # then it is an unknown field
                assert "top1" in read_json(path)
                continue
            with pytest.raises(InputError, match=r"checksum|not JSON"):
                read_json(path)


def test_files_without_a_checksum_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}', encoding="utf-8")
    assert read_json(path) == {"a": 1}


def test_a_list_has_no_checksum(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1, 2])
    assert read_json(tmp_path / "a.json") == [1, 2]


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcpts_ref.storage.json_files.MAX_BYTES", 10)
    (tmp_path / "a.json").write_text('{"aaaa": 1111}')
    with pytest.raises(InputError, match="over 0 MiB"):
        read_json(tmp_path / "a.json")
