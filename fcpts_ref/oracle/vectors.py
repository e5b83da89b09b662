"""Reading the frozen conformance vectors: JSON files, arrays in HDF5 where they are big.

The format is described in ``docs/vectors.md`` and closed by ``data/vectors/schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.files import describe_failure

FORMAT = "fcpts-vectors/1"
NON_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
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

    An optional output is compared where it is given, and not missed where it is not.
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
    """An array from its JSON form ``{"dtype", "shape", "data"}`` or ``{..., "file", "dataset"}``.

    Raises ``InputError`` where shape and data disagree or the values are no numbers.
    """
    try:
        dtype, shape = np.dtype(entry.get("dtype", "float64")), tuple(entry["shape"])
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            raise InputError(f"array shape is {shape}; expected a list of sizes of 0 or more")
        if int(np.prod(shape, dtype=object)) > MAXIMUM_ELEMENTS:
            raise InputError(f"array of shape {shape} has more than {MAXIMUM_ELEMENTS} elements")
        if "file" in entry:
            return _read_dataset(entry, dtype, shape, folder)
        numbers = [NON_FINITE[v] if isinstance(v, str) else v for v in entry["data"]]
        return np.array(numbers, dtype=dtype).reshape(shape)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"not an array in JSON form ({type(error).__name__}: {error}); "
            'expected {"dtype", "shape", "data"} with row-major data'
        ) from None


def _read_dataset(
    entry: Mapping[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...], folder: Path | None
) -> Array:
    import h5py

    if folder is None:
        raise InputError("an array in a file was given where only inline arrays are expected")
    path = folder / Path(entry["file"]).name  # never outside the folder
    with h5py.File(path, "r") as file:
        dataset = file.get(entry["dataset"])
        if dataset is None or dataset.shape != shape or dataset.dtype != dtype:
            raise InputError(
                f"{path} has no {dtype} dataset {entry['dataset']!r} of shape {shape}; "
                "restore the file from its release"
            )
        return np.asarray(dataset[()])


def encode_array(array: Array) -> dict[str, Any]:
    """The inline JSON form of an array; floats survive the round trip exactly."""
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
    """An input of a case: array, list of arrays, or a plain number, name, truth value or null."""
    if isinstance(entry, Mapping):
        return decode_array(entry, folder)
    if isinstance(entry, list) and entry and isinstance(entry[0], Mapping):
        return [decode_array(item, folder) for item in entry]
    if isinstance(entry, str) and entry in NON_FINITE:
        return NON_FINITE[entry]
    return entry


def export_case(case: Case) -> dict[str, Any]:
    """What a program in another language reads: id, operation and inputs, all arrays inline."""
    inputs = {name: _export_input(value) for name, value in case.inputs.items()}
    return {"format": FORMAT, "id": case.id, "operation": case.operation, "inputs": inputs}


def _export_input(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return encode_array(value)
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [encode_array(item) for item in value]
    return _encode_number(value)


def load_cases(folder: Path | None = None) -> list[Case]:
    """All cases of the suite, in the order of its files.

    Raises ``InputError`` for a file that is missing, foreign or of another format version.
    """
    folder = resource_path("vectors") if folder is None else folder
    suite = _read_json(folder / "suite.json")
    cases: list[Case] = []
    for name in suite["files"]:
        if name.endswith(".json"):
            cases.extend(_read_group(folder / name))
    return cases


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(describe_failure(f"cannot read the vectors {path}", error)) from None
    except ValueError as error:
        raise InputError(f"the vectors {path} are not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path} has format {found!r}; this version reads {FORMAT!r}")
    return content


def _read_group(path: Path) -> list[Case]:
    group = _read_json(path)
    rules = {name: Rule(**rule) for name, rule in group["rules"].items()}
    return [_read_case(raw, group, rules, path.parent) for raw in group["cases"]]


def _read_case(
    raw: dict[str, Any], group: dict[str, Any], rules: dict[str, Rule], folder: Path
) -> Case:
    outputs = {
        name: Expected(
            decode_array(entry["value"], folder),
            rules[entry["rule"]],
            entry.get("optional", False),
        )
        for name, entry in raw.get("outputs", {}).items()
    }
    return Case(
        id=raw["id"],
        group=group["group"],
        operation=raw["operation"],
        source=raw.get("source", group["source"]),
        conventions=tuple(raw.get("conventions", ())),
        flags=tuple(raw.get("flags", ())),
        comment=raw["comment"],
        inputs={name: decode_input(entry, folder) for name, entry in raw["inputs"].items()},
        outputs=outputs,
        reject=raw.get("reject"),
        notes={flag: group["notes"][flag] for flag in raw.get("flags", ())},
        raw=raw,
    )


def select_cases(
    cases: Iterable[Case], only: Iterable[str] = (), skip: Iterable[str] = ()
) -> tuple[list[Case], list[Case]]:
    """The cases to run and the cases to skip.

    ``only`` takes patterns (``eq08*``) of ids, groups, operations or flags; ``skip`` takes the
    same.  A pattern that matches nothing is an ``InputError``: a skip list must not rot unseen.
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
