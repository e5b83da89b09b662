"""Groups of cases: inputs in, expected outputs from the second derivation, JSON and HDF5 out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np

from tools.vectors.draw import Draw
from tools.vectors.exact import MARGIN, Decisions, rounded

FORMAT = "fcpts-vectors/1"
VERSION = "2.0.0"
"""Of the suite, apart from the package's: major where a frozen case changed or was retired, minor
for new cases, patch for texts.  docs/vectors-changes.md has a line for each."""

INLINE_ELEMENTS = 600  # larger arrays go to HDF5
ATTEMPTS = 200

RETIRED: tuple[str, ...] = ()
"""Ids of removed cases, which are never reused."""

RULES: dict[str, dict[str, Any]] = {
    "exact": {
        "compare": "exact",
        "reason": "a choice, a count, a copy, or arithmetic that is exact for these inputs",
    },
    "rounded": {
        "compare": "ulp",
        "ulp": 4,
        "reason": "a few roundings, whatever their order",
    },
    "sum": {
        "compare": "close",
        "rtol": 1e-13,
        "atol": 1e-14,
        "reason": "sums in any order, with or without fused multiply-add",
    },
    "transcendental": {
        "compare": "close",
        "rtol": 5e-13,
        "atol": 1e-14,
        "reason": "exp, log and erf differ in their last bits between libraries, sums in order",
    },
    "single": {
        "compare": "close",
        "rtol": 1e-5,
        "atol": 1e-7,
        "reason": "float32 inputs: each step rounds at 6e-8",
    },
    "constant": {
        "compare": "close",
        "rtol": 0.0,
        "atol": 1e-10,
        "reason": "1/sqrt(epsilon) magnifies the rounding of the mean by 316",
    },
    "root": {
        "compare": "close",
        "rtol": 1e-9,
        "atol": 1e-10,
        "reason": "computed at a root that is found to 1e-10",
    },
    "ends": {
        "compare": "close",
        "rtol": 1e-9,
        "atol": 1e-14,
        "reason": "1 - s at the margin 1e-6 has lost six digits, which its logit and quotient show",
    },
    "step": {
        "compare": "close",
        "rtol": 1e-11,
        "atol": 1e-13,
        "reason": "forward, backward and update of a small network, each with its roundings",
    },
    "trajectory": {
        "compare": "close",
        "rtol": 1e-10,
        "atol": 1e-12,
        "reason": "several steps that each carry on the rounding of the one before",
    },
}


@dataclass(frozen=True)
class Operation:
    """How an operation is derived, and the default rule for comparing its outputs."""

    derive: Callable[..., dict[str, Any]]
    rule: str
    required: frozenset[str] | set[str] | None = None  # None: all of them


def operations_of(derivations: ModuleType, **rules: str) -> dict[str, Operation]:
    """Return operations by name, from their rules; a derivation has its operation's name."""
    return {name: Operation(getattr(derivations, name), rule) for name, rule in rules.items()}


@dataclass
class Group:
    """One file of cases."""

    name: str
    title: str
    source: str
    operations: Mapping[str, Operation]
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    cases: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def note(self, flag: str, *, why: str, effect: str) -> None:
        """Describe a flag: why its cases exist, and the effect of failing them."""
        self.notes[flag] = {"why": why, "effect": effect}

    def add(
        self,
        number: int,
        operation: str,
        comment: str,
        inputs: Mapping[str, Any] | Callable[[Draw], Mapping[str, Any]],
        *,
        flags: tuple[str, ...] = (),
        conventions: tuple[int, ...] = (),
        rules: Mapping[str, str] | None = None,
        source: str | None = None,
    ) -> None:
        """Derive and add one case.  The number is part of its id and is never reused."""
        case_id = f"{self.name}.{number:04d}"
        values, outputs = self._derive(case_id, operation, inputs, flags)
        rule, required = self.operations[operation].rule, self.operations[operation].required
        dtype = _output_dtype(values)
        encoded = {
            name: {
                "value": self._encode(f"{case_id}/outputs/{name}", rounded(value, dtype)),
                "rule": (rules or {}).get(name, rule),
                **({} if required is None or name in required else {"optional": True}),
            }
            for name, value in outputs.items()
        }
        self._append(
            case_id, operation, comment, values, flags, conventions, source, outputs=encoded
        )

    def reject(
        self,
        number: int,
        operation: str,
        reason: str,
        inputs: Mapping[str, Any],
        *,
        source: str | None = None,
    ) -> None:
        """Add a case that every implementation must refuse."""
        case_id = f"{self.name}.{number:04d}"
        self._append(
            case_id, operation, f"refused: {reason}", inputs, ("REJECT",), (), source, reject=reason
        )

    def _derive(
        self, case_id: str, operation: str, inputs: Any, flags: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        derive = self.operations[operation].derive
        for attempt in range(ATTEMPTS):
            values = inputs(Draw(f"{case_id}/{attempt}")) if callable(inputs) else inputs
            decide = Decisions()
            outputs = derive(decide, **values)
            if "BOUNDARY" in flags or decide.closest >= MARGIN:
                return values, outputs
            if not callable(inputs):
                break
        raise AssertionError(
            f"{case_id}: a decision is only {decide.closest:.2g} from its boundary; "
            "flag it BOUNDARY or move the inputs"
        )

    def _append(
        self,
        case_id: str,
        operation: str,
        comment: str,
        values: Mapping[str, Any],
        flags: tuple[str, ...],
        conventions: tuple[int, ...],
        source: str | None,
        **expectation: Any,
    ) -> None:
        if case_id in RETIRED or any(case["id"] == case_id for case in self.cases):
            raise AssertionError(f"the id {case_id} was used before")
        missing = set(flags) - set(self.notes)
        if missing:
            raise AssertionError(f"{case_id}: no note for the flag {missing}")
        case: dict[str, Any] = {"id": case_id, "operation": operation, "comment": comment}
        if source is not None:
            case["source"] = source
        if flags:
            case["flags"] = list(flags)
        if conventions:
            case["conventions"] = list(conventions)
        case["inputs"] = {
            name: self._encode_input(f"{case_id}/inputs/{name}", value)
            for name, value in values.items()
        }
        self.cases.append(case | expectation)

    def _encode_input(self, path: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._encode(path, value)
        if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            return [self._encode(f"{path}/{i}", item) for i, item in enumerate(value)]
        return _encode_number(value)

    def _encode(self, path: str, array: np.ndarray) -> dict[str, Any]:
        head = {"dtype": array.dtype.name, "shape": list(array.shape)}
        if array.size > INLINE_ELEMENTS:
            self.arrays[path] = array
            return head | {"file": f"{self.name}.h5", "dataset": path}
        return head | {"data": [_encode_number(value) for value in array.ravel().tolist()]}

    def to_json(self) -> str:
        """Return the text of the file: one case per line, so that diffs are short."""
        used = {o["rule"] for case in self.cases for o in case.get("outputs", {}).values()}
        flags = {flag for case in self.cases for flag in case.get("flags", ())}
        head = {
            "format": FORMAT,
            "group": self.name,
            "title": self.title,
            "source": self.source,
            "rules": {name: RULES[name] for name in RULES if name in used},
            "notes": {flag: note for flag, note in self.notes.items() if flag in flags},
        }
        lines = [json.dumps(case, ensure_ascii=False, allow_nan=False) for case in self.cases]
        text = json.dumps(head, indent=1, ensure_ascii=False)
        return text[:-2] + ',\n "cases": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def _encode_number(value: Any) -> Any:
    if isinstance(value, float):
        if value != value:
            return "nan"
        if value in (float("inf"), float("-inf")):
            return "inf" if value > 0 else "-inf"
        if value == 0:
            return 0.0  # the sign of a zero is never compared
    return value


def _output_dtype(values: Mapping[str, Any]) -> str:
    dtypes = {
        array.dtype.name
        for value in values.values()
        for array in (value if isinstance(value, list) else [value])
        if isinstance(array, np.ndarray) and array.dtype.kind == "f"
    }
    return dtypes.pop() if len(dtypes) == 1 else "float64"


def write_suite(groups: list[Group], folder: Path) -> None:
    """Write all files of the suite and its table of contents."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, dict[str, Any]] = {}
    for group in groups:
        path = folder / f"{group.name}.json"
        path.write_text(group.to_json(), encoding="utf-8")
        written[path.name] = {"sha256": _hash(path), "cases": len(group.cases)}
        if group.arrays:
            path = folder / f"{group.name}.h5"
            with h5py.File(path, "w", libver="v110") as file:
                for name, array in group.arrays.items():
                    file.create_dataset(name, data=array, compression="gzip", shuffle=True)
            written[path.name] = {"sha256": _hash(path)}
    count = sum(len(group.cases) for group in groups)
    suite = {"format": FORMAT, "version": VERSION, "cases": count, "files": written}
    (folder / "suite.json").write_text(json.dumps(suite, indent=1) + "\n", encoding="utf-8")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
