"""Annotations of VOC, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fcpts_ref.data.voc_annotation import MAX_BYTES, read_annotation
from fcpts_ref.errors import InputError

CLASSES = ("cat", "dog")
SIZE = "<size><width>500</width><height>400</height><depth>3</depth></size>"


def an_object(name="dog", box=(51, 41, 251, 201), more=""):
    sides = "".join(
        f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def read(tmp_path: Path, *parts: str, size: str = SIZE, before: str = ""):
    path = tmp_path / "a.xml"
    path.write_text(f"{before}<annotation>{size}{''.join(parts)}</annotation>")
    return read_annotation(path, CLASSES)


def test_two_objects(tmp_path):
    objects = read(
        tmp_path,
        an_object(),
        an_object("cat", (1, 1, 500, 400), "<difficult>1</difficult>"),
    )
    assert objects.boxes[0].tolist() == [50 / 500, 40 / 400, 250 / 500, 200 / 400]
    assert objects.boxes[1].tolist() == [0, 0, 499 / 500, 399 / 400]
    assert objects.labels.tolist() == [2, 1]
    assert objects.difficult.tolist() == [False, True]


def test_parts_and_spaces_do_not_matter(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>"
    objects = read(tmp_path, an_object(" dog\n", ("51.0", " 41 ", 251, 201), part))
    assert objects.labels.tolist() == [2]
    assert objects.boxes[0, 0] == 0.1


def test_no_objects(tmp_path):
    assert len(read(tmp_path)) == 0


def test_a_byte_order_mark(tmp_path):
    (tmp_path / "a.xml").write_bytes(b"\xef\xbb\xbf" + f"<annotation>{SIZE}</annotation>".encode())
    assert len(read_annotation(tmp_path / "a.xml", CLASSES)) == 0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([an_object("owl")], "object 1 is of class 'owl'; expected one of cat, dog"),
        ([an_object(), an_object(box=(0, 1, 9, 9))], "object 2 has the box 0, 1, 9, 9; expected"),
        ([an_object(box=(9, 1, 5, 9))], "expected xmin < xmax from 1 to 500"),
        ([an_object(box=(5, 9, 9, 9))], "ymin < ymax from 1 to 400"),
        ([an_object(box=(5, 5, 9, 401))], "ymin < ymax from 1 to 400"),
        ([an_object(box=(5, 5, "", 9))], "object 1 has xmax ''; expected a number"),
        ([an_object(box=(5, 5, "nan", 9))], "object 1 has xmax 'nan'; expected a number"),
        ([an_object(more="<difficult>yes</difficult>")], "difficult is 'yes'; expected 0 or 1"),
        (["<object/>"], "object 1 is of class ''"),
        (["<a>" * 20 + "</a>" * 20], "nested more than 16 deep"),
        (["<object/>" * 10_001], "more than 10,000 objects"),
        (["&lol;"], "is not XML: undefined entity"),
    ],
)
def test_bad_objects(tmp_path, parts, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, *parts)
    assert "a.xml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("", "its size has width ''; expected a number"),
        ("<size><width>0</width><height>4</height></size>", "its size is 0 x 4"),
    ],
)
def test_bad_sizes(tmp_path, size, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, size=size)


def test_the_size_is_that_of_the_picture(tmp_path):
    read(tmp_path, an_object())
    assert len(read_annotation(tmp_path / "a.xml", CLASSES, (500, 400))) == 1
    with pytest.raises(InputError, match="is 500 x 400, and its picture has 400 x 500 pixels"):
        read_annotation(tmp_path / "a.xml", CLASSES, (400, 500))


BOMB = (
    '<!DOCTYPE annotation [<!ENTITY a "lol">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
)


@pytest.mark.parametrize(
    "before",
    [BOMB, '<!DOCTYPE annotation SYSTEM "file:///etc/passwd">', "<!DOCTYPE annotation>"],
    ids=["bomb", "other file", "type"],
)
def test_document_types_are_refused(tmp_path, before):
    with pytest.raises(InputError, match="document type, which could define entities: refused"):
        read(tmp_path, "&i;", before=before)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff", b"<annotation>", b"<html></html>", b"\x89PNG"]
)
def test_other_files(tmp_path, content):
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.xml"):
        read_annotation(tmp_path / "a.xml", CLASSES)


def test_a_file_that_is_absent_or_too_large(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_annotation(tmp_path / "b.xml", CLASSES)
    (tmp_path / "a.xml").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="more than 1,048,576 bytes"):
        read_annotation(tmp_path / "a.xml", CLASSES)


def test_boxes_are_float64(tmp_path):
    assert read(tmp_path, an_object()).boxes.dtype == np.float64
