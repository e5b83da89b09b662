"""The annotation of a picture as Pascal VOC writes it, read by a parser that expands nothing.

A document with a type declaration is refused, so that it can neither define entities, which might
grow without limit, nor name other files; size and depth are limited.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.parsers import expat

import numpy as np

from fcpts_ref.data.pictures import read_limited
from fcpts_ref.detection.boxes import Objects
from fcpts_ref.errors import InputError, printable

MAX_BYTES, MAX_DEPTH, MAX_OBJECTS = 1 << 20, 16, 10_000
SIDES = ("xmin", "ymin", "xmax", "ymax")
Fields = dict[str, str]


def read_annotation(
    path: Path, classes: Sequence[str], picture: tuple[int, int] | None = None
) -> Objects:
    """Return the objects of an XML file: corners as shares of the picture, labels from 1.

    VOC counts pixels from 1: a side is (number - 1) / size.  An object without ``difficult`` is not
    difficult; a picture may be without objects.
    picture: its width and height, which the file has to agree with; None if they are not known.
    Raises InputError, which names the file, for one that cannot be read, is no such annotation, has
    a document type or another size, or an object of an unknown class, outside the picture or
    inverted.
    """
    content = read_limited(path, MAX_BYTES)
    try:
        size, found = _parsed(content)
        W, H = (_number(size, side) for side in ("width", "height"))
        if not (W >= 1 and H >= 1):
            raise InputError(f"its size is {W:g} x {H:g}; expected the picture's")
        if picture is not None and picture != (W, H):
            raise InputError(
                f"its size is {W:g} x {H:g}, and its picture has {picture[0]} x {picture[1]} "
                "pixels; correct the size or restore the picture"
            )
        rows = [_object(fields, number, W, H, classes) for number, fields in enumerate(found, 1)]
    except expat.ExpatError as error:
        raise InputError(f"{path} is not XML: {printable(str(error))[:80]}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    array = np.array(rows, np.float64).reshape(-1, 6)
    boxes = (array[:, :4] - 1) / [W, H, W, H]
    return Objects(boxes, array[:, 4].astype(np.int64), array[:, 5].astype(np.bool_))


def _parsed(content: bytes) -> tuple[Fields, list[Fields]]:
    """Return the fields of the size and of every object; those of its parts are left out."""
    parser = expat.ParserCreate()
    path: list[str] = []
    size: Fields = {}
    found: list[Fields] = []

    def refuse(*_: object) -> None:
        raise InputError("it has a document type, which could define entities: refused; remove it")

    def start(name: str, attributes: object) -> None:
        path.append(name)
        if len(path) > MAX_DEPTH:
            raise InputError(f"elements are nested more than {MAX_DEPTH} deep")
        if path[0] != "annotation":
            raise InputError(f"it begins with <{printable(path[0])[:40]}>; expected <annotation>")
        if path == ["annotation", "object"]:
            found.append({})
        if len(found) > MAX_OBJECTS:
            raise InputError(f"it has more than {MAX_OBJECTS:,} objects")

    def end(name: str) -> None:
        path.pop()

    def text(data: str) -> None:
        fields = None
        if path[1:2] == ["size"] and len(path) == 3:
            fields = size
        elif path[1:2] == ["object"] and (len(path) == 3 or path[2:3] == ["bndbox"]):
            fields = found[-1]
        if fields is not None:
            fields[path[-1]] = fields.get(path[-1], "") + data

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.Parse(content, True)
    return size, found


def _object(
    fields: Fields, number: int, W: float, H: float, classes: Sequence[str]
) -> tuple[float, ...]:
    """Return the sides, the label and whether the object is difficult."""
    name = fields.get("name", "").strip()
    if name not in classes:
        raise InputError(
            f"object {number} is of class {printable(name)[:40]!r}; expected one of "
            f"{', '.join(classes)}"
        )
    left, top, right, bottom = (_number(fields, side, number) for side in SIDES)
    if not (1 <= left < right <= W and 1 <= top < bottom <= H):
        raise InputError(
            f"object {number} has the box {left:g}, {top:g}, {right:g}, {bottom:g}; expected xmin "
            f"< xmax from 1 to {W:g} and ymin < ymax from 1 to {H:g}"
        )
    difficult = fields.get("difficult", "0").strip()
    if difficult not in ("0", "1"):
        raise InputError(
            f"object {number}: difficult is {printable(difficult)[:20]!r}; expected 0 or 1"
        )
    return left, top, right, bottom, classes.index(name) + 1, float(difficult)


def _number(fields: Fields, name: str, object_: int | None = None) -> float:
    where = "its size" if object_ is None else f"object {object_}"
    text = fields.get(name, "").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where} has {name} {printable(text)[:20]!r}; expected a number")
    return number
