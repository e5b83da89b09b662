"""Read the frozen conformance vectors: JSON files, with large arrays in HDF5.

``docs/vectors.md`` describes the format, ``data/vectors/schema.json`` is its closed schema.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, printable, shown
from fcpts_ref.oracle.fields import (
    CASE_ID,
    FLAG,
    NAME,
    check_name,
    take_list,
    take_name,
    take_number,
    take_object,
    take_text,
    take_whole,
)
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.json_files import read_json

FORMAT = "fcpts-vectors/1"
NON_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
COMPARISONS = "exact|ulp|close"
MAXIMUM_ELEMENTS = 1 << 24  # of one array; checked before memory is taken

Array = NDArray[Any]


@dataclass(frozen=True)
class Rule:
    """How an output is compared: ``exact``, ``ulp`` (with ``ulp``) or ``close`` (with tolerances).

    ``reason`` says why this much may differ.
    """

    compare: str
    reason: str
    ulp: int = 0
    rtol: float = 0.0
    atol: float = 0.0


@dataclass(frozen=True, eq=False)
class Expected:
    """One output of a case: its value and the rule it is compared by.

    An optional output is compared if it is given, and may be absent.
    """

    value: Array
    rule: Rule
    optional: bool = False


@dataclass(frozen=True, eq=False)
class Case:
    """One conformance case.  Either ``outputs`` is filled or ``reject`` says why it is refused."""

    id: str
    group: str
    operation: str
    source: str  # equation or section, "Equation 8"
    conventions: tuple[int, ...]  # open points whose choice this case tests
    flags: tuple[str, ...]
    comment: str
    inputs: dict[str, Any]  # arrays, lists of arrays, numbers, names
    outputs: dict[str, Expected]
    reject: str | None
    notes: dict[str, dict[str, str]]  # flag -> {"why", "effect"}
    raw: dict[str, Any]  # the case as it stands in the file


def decode_array(entry: Mapping[str, Any], folder: Path | None = None) -> Array:
    """Decode an array: ``{"dtype", "shape", "data"}`` or ``{"dtype", "shape", "file", "dataset"}``.

    Raises ``InputError`` if shape and data disagree or the values are not numbers.
    """
    try:
        if entry.get("dtype", "float64") not in DTYPES:
            raise InputError(f"the dtype of an array is not one of {', '.join(DTYPES)}")
        dtype, shape = np.dtype(entry.get("dtype", "float64")), _read_shape(entry["shape"])
        if "file" in entry:
            return _read_dataset(entry, dtype, shape, folder)
        numbers = [_read_number(value) for value in entry["data"]]
        with np.errstate(over="ignore"):  # a number beyond the dtype is infinite in it
            array = np.array(numbers, dtype=dtype)
        if dtype.kind in "biu" and array.tolist() != numbers:
            raise InputError(f"the data of an array are not all of its dtype, {dtype}")
        return array.reshape(shape)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"not an array in JSON form ({type(error).__name__}: {printable(str(error)[:80])}); "
            'expected {"dtype", "shape", "data"} with row-major data'
        ) from None


def _read_shape(sizes: Any) -> tuple[int, ...]:
    """Return a shape of at most ``MAXIMUM_ELEMENTS`` elements: checked before memory is taken."""
    shape = tuple(sizes)
    if not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 32:
        raise InputError("the shape of an array is not a list of at most 32 sizes of 0 or more")
    if math.prod(shape) > MAXIMUM_ELEMENTS:
        raise InputError(
            f"array of shape {str(shape)[:80]} has more than {MAXIMUM_ELEMENTS} elements"
        )
    return shape


def _read_number(value: Any) -> Any:
    number = NON_FINITE.get(value) if isinstance(value, str) else value
    if type(number) not in (int, float, bool):
        raise InputError(
            f'the data of an array hold {shown(value)}; expected numbers, or "nan", "inf" or "-inf"'
        )
    return number


def _read_dataset(
    entry: Mapping[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...], folder: Path | None
) -> Array:
    from fcpts_ref.storage.hdf5 import find_array, open_checked, read_array

    if folder is None:
        raise InputError("an array in a file was given where only inline arrays are expected")
    path = folder / take_name(entry, "file", NAME + r"\.h5")  # never outside the folder
    name = take_text(entry, "dataset")
    with open_checked(path) as file:
        dataset = find_array(file, name)
        if dataset.shape != shape or dataset.dtype != dtype:
            raise InputError(
                f"{name[:80]} is {dataset.dtype} of shape {dataset.shape}, expected {dtype} of "
                f"shape {shape}: restore the file from its release"
            )
        return read_array(file, name, dtype.str, len(shape), max_unpacked=dataset.nbytes)


def encode_array(array: Array) -> dict[str, Any]:
    """Encode an array in its inline JSON form; floats survive the round trip exactly."""
    array = np.asarray(array)
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": [_encode_number(v) for v in array.ravel().tolist()],
    }


def _encode_number(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    return value


def decode_input(entry: Any, folder: Path | None = None) -> Any:
    """Decode an input of a case.

    It is an array, a list of arrays or of whole numbers, a number, a name, a truth value or null.
    Raises ``InputError`` for anything else.
    """
    if isinstance(entry, Mapping):
        return decode_array(entry, folder)
    if isinstance(entry, list) and all(isinstance(item, Mapping) for item in entry):
        return [decode_array(item, folder) for item in entry]
    if isinstance(entry, list) and not all(type(item) is int for item in entry):
        raise InputError("an input is a list of neither arrays nor whole numbers")
    if isinstance(entry, str) and entry in NON_FINITE:
        return NON_FINITE[entry]
    return entry


def export_case(case: Case) -> dict[str, Any]:
    """Return the JSON object that a program reads: id, operation, inputs; all arrays inline."""
    inputs = {name: _export_input(value) for name, value in case.inputs.items()}
    return {"format": FORMAT, "id": case.id, "operation": case.operation, "inputs": inputs}


def _export_input(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return encode_array(value)
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [encode_array(item) for item in value]
    return _encode_number(value)


def suite_version(folder: Path | None = None) -> str:
    """Return the version of a suite, which is not that of the package; "1" for the first ones."""
    folder = resource_path("vectors") if folder is None else folder
    suite = _read_json(folder / "suite.json")
    return take_text(suite, "version", default="1") if "version" in suite else "1"


def load_cases(folder: Path | None = None) -> list[Case]:
    """Return all cases of the suite, in the order of its files.

    Raises ``InputError`` for a file that is missing, foreign or of another format version.
    """
    folder = resource_path("vectors") if folder is None else folder
    suite = _read_json(folder / "suite.json")
    cases: list[Case] = []
    try:
        names = [
            check_name(n, "a file", NAME + r"\.(json|h5)") for n in take_object(suite, "files")
        ]
    except InputError as error:
        raise InputError(f"{folder / 'suite.json'}: {error}") from None
    for name in names:
        if name.endswith(".json"):
            cases.extend(_read_group(folder / name))
    return cases


def _read_json(path: Path) -> dict[str, Any]:
    content = read_json(path, remedy="restore it from its release")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not of the format {FORMAT!r}, which this version reads")
    return content


def _read_group(path: Path) -> list[Case]:
    group = _read_json(path)
    try:
        take_name(group, "group", NAME)
        take_text(group, "source")
        rules = {name: _read_rule(rule) for name, rule in take_object(group, "rules").items()}
        notes = {flag: _read_note(note) for flag, note in take_object(group, "notes").items()}
        cases = take_list(group, "cases")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    result = []
    for number, raw in enumerate(cases, start=1):
        try:
            result.append(_read_case(raw, group, rules, notes, path.parent))
        except InputError as error:
            raise InputError(f"{path}, case {number} in the file: {error}") from None
    return result


def _read_rule(rule: Any) -> Rule:
    return Rule(
        take_name(rule, "compare", COMPARISONS),
        take_text(rule, "reason"),
        take_whole(rule, "ulp", default=0),
        take_number(rule, "rtol", default=0.0),
        take_number(rule, "atol", default=0.0),
    )


def _read_note(note: Any) -> dict[str, str]:
    return {key: take_text(note, key) for key in ("why", "effect")}


def _read_case(
    raw: Any,
    group: dict[str, Any],
    rules: dict[str, Rule],
    notes: dict[str, dict[str, str]],
    folder: Path,
) -> Case:
    flags = tuple(check_name(f, "a flag", FLAG) for f in take_list(raw, "flags", default=()))
    points = take_list(raw, "conventions", default=())
    if not all(type(point) is int and 1 <= point <= 18 for point in points):
        raise InputError("conventions are not a list of numbers from 1 to 18")
    if ("reject" in raw) == ("outputs" in raw):
        raise InputError("expected either outputs or reject")
    return Case(
        id=take_name(raw, "id", CASE_ID),
        group=group["group"],
        operation=take_name(raw, "operation", NAME),
        source=take_text(raw, "source", default=group["source"]),
        conventions=tuple(points),
        flags=flags,
        comment=take_text(raw, "comment"),
        inputs={
            check_name(name, "an input", r"\w+"): decode_input(entry, folder)
            for name, entry in take_object(raw, "inputs").items()
        },
        outputs={
            check_name(name, "an output", r"\w+"): _read_output(entry, rules, folder)
            for name, entry in take_object(raw, "outputs", default={}).items()
        },
        reject=take_text(raw, "reject") if "reject" in raw else None,
        notes={flag: _known(notes, flag, "note") for flag in flags},
        raw=raw,
    )


def _read_output(entry: Any, rules: dict[str, Rule], folder: Path) -> Expected:
    rule = _known(rules, take_text(entry, "rule"), "rule")
    optional = entry.get("optional", False)
    if not isinstance(optional, bool):
        raise InputError("optional is not true or false")
    return Expected(decode_array(take_object(entry, "value"), folder), rule, optional)


def _known(entries: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in entries:
        raise InputError(f"the file has no {kind} {shown(name)}")
    return entries[name]


def select_cases(
    cases: Iterable[Case], only: Iterable[str] = (), skip: Iterable[str] = ()
) -> tuple[list[Case], list[Case]]:
    """Return the cases to run and the cases to skip.

    ``only`` takes patterns (``eq08*``) of ids, groups, operations or flags; ``skip`` takes the
    same.  A pattern that matches nothing is an ``InputError``, so that a skip list cannot go stale.
    """
    cases = list(cases)
    chosen = [c for c in cases if not only or any(matches(c, p) for p in only)]
    skipped = [c for c in chosen if any(matches(c, p) for p in skip)]
    for pattern in [*only, *skip]:
        if not any(matches(c, pattern) for c in cases):
            raise InputError(
                f"no case matches {pattern!r}; expected an id, group, operation or flag "
                "(see fcpts-ref conform list)"
            )
    skipped_ids = {c.id for c in skipped}
    return [c for c in chosen if c.id not in skipped_ids], skipped


def matches(case: Case, pattern: str) -> bool:
    """Whether a pattern names this case by id, group, operation or flag."""
    names = (case.id, case.group, case.operation, *case.flags)
    return any(fnmatchcase(name, pattern) for name in names)
