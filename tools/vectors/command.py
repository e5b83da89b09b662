"""Write the suite, report drift from the frozen files, or freeze the suite on purpose."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tools.vectors import (
    activation_cases,
    channel_cases,
    equation_cases,
    fcpts_cases,
    layer_cases,
    learned_cases,
    method_cases,
    pattern_cases,
    regrowth_cases,
    shape_cases,
    token_cases,
    window_cases,
)
from tools.vectors.bundle import write_bundle
from tools.vectors.suite import RETIRED, Group, write_suite

FROZEN = Path(__file__).resolve().parents[2] / "data" / "vectors"
TOLERATED_ULP = 4  # drift of a rounded output that is reported but does not fail


def make_groups() -> list[Group]:
    """Return every group of the suite, in the order of its files."""
    return [
        *equation_cases.make_groups(),
        *layer_cases.make_groups(),
        *window_cases.make_groups(),
        *activation_cases.make_groups(),
        *shape_cases.make_groups(),
        *token_cases.make_groups(),
        *method_cases.make_groups(),
        *learned_cases.make_groups(),
        *fcpts_cases.make_groups(),
        *channel_cases.make_groups(),
        *regrowth_cases.make_groups(),
        *pattern_cases.make_groups(),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.vectors", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="make the suite in a folder")
    write.add_argument("folder", type=Path)
    commands.add_parser("drift", help="make it in a scratch folder and report differences")
    bundle = commands.add_parser("bundle", help="pack the frozen suite, with readers, as a zip")
    bundle.add_argument("out", type=Path, metavar="OUT.zip")
    freeze = commands.add_parser("freeze", help="add new cases to data/vectors")
    freeze.add_argument(
        "--change", action="append", default=[], metavar="ID", help="a case that may change"
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "write":
        write_suite(make_groups(), chosen.folder)
        return 0
    if chosen.command == "bundle":
        write_bundle(chosen.out)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        write_suite(make_groups(), Path(scratch))
        if chosen.command == "drift":
            return _report_drift(Path(scratch))
        return _freeze(Path(scratch), set(chosen.change))


def _report_drift(scratch: Path) -> int:
    frozen, made = read_cases(FROZEN), read_cases(scratch)
    problems = [f"{i}: frozen, but no longer made" for i in frozen if i not in made]
    problems += [f"{i}: made, but not frozen (run freeze)" for i in made if i not in frozen]
    small: list[str] = []
    for case_id in frozen.keys() & made.keys():
        difference = compare_cases(frozen[case_id], made[case_id])
        if difference is not None:
            (small if difference.startswith("rounding") else problems).append(
                f"{case_id}: {difference}"
            )
    print("\n".join([*sorted(problems), *sorted(small)]))
    print(f"{len(frozen)} frozen cases: {len(problems)} differ, {len(small)} by rounding alone")
    return 1 if problems else 0


def _freeze(scratch: Path, allowed: set[str]) -> int:
    frozen = read_cases(FROZEN) if (FROZEN / "suite.json").exists() else {}
    made = read_cases(scratch)
    gone = [i for i in frozen if i not in made and i not in RETIRED]
    changed = [i for i in frozen.keys() & made.keys() if compare_cases(frozen[i], made[i])]
    refused = sorted(set(changed) - allowed) + gone
    if refused:
        print(
            f"not frozen: {', '.join(refused)} would change or disappear; give new cases new ids, "
            "retire old ids in suite.py, or name each with --change",
            file=sys.stderr,
        )
        return 1
    for old in FROZEN.glob("*"):
        if old.suffix in (".json", ".h5") and old.name != "schema.json":
            old.unlink()
    for new in scratch.iterdir():
        shutil.copy(new, FROZEN / new.name)
    print(f"{len(made)} cases frozen, {len(made.keys() - frozen.keys())} of them new")
    return 0


def read_cases(folder: Path) -> dict[str, dict[str, Any]]:
    """Return all cases of a folder by id, with rules and notes resolved and arrays read."""
    suite = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    cases = {}
    for name in suite["files"]:
        if name.endswith(".json"):
            group = json.loads((folder / name).read_text(encoding="utf-8"))
            for case in group["cases"]:
                for output in case.get("outputs", {}).values():
                    output["rule"] = group["rules"][output["rule"]]
                case["notes"] = {flag: group["notes"][flag] for flag in case.get("flags", ())}
                cases[case["id"]] = _inline(case, folder)
    return cases


def _inline(entry: Any, folder: Path) -> Any:
    if isinstance(entry, dict) and "dataset" in entry:
        with h5py.File(folder / entry["file"], "r") as file:
            data = file[entry["dataset"]][()].ravel().tolist()
        return {"dtype": entry["dtype"], "shape": entry["shape"], "data": data}
    if isinstance(entry, dict):
        return {key: _inline(value, folder) for key, value in entry.items()}
    return [_inline(value, folder) for value in entry] if isinstance(entry, list) else entry


def compare_cases(frozen: dict[str, Any], made: dict[str, Any]) -> str | None:
    """Return the difference, or None: all must be equal but the rounding of inexact outputs."""
    for key in sorted((frozen.keys() | made.keys()) - {"outputs"}):
        if frozen.get(key) != made.get(key):
            return f"differs in {key}"
    before, after = frozen.get("outputs", {}), made.get("outputs", {})
    if before.keys() != after.keys():
        return "the names of the outputs differ"
    worst = 0.0
    for name in before:
        old, new = before[name], after[name]
        if old == new:
            continue
        if old["rule"] != new["rule"]:
            return f"output {name} is compared by another rule"
        worst = max(worst, _ulps(old["value"], new["value"]))
        if old["rule"]["compare"] == "exact" or not worst <= TOLERATED_ULP:
            return f"output {name} differs"
    return f"rounding by {worst:g} units in the last place" if worst else None


def _ulps(old: dict[str, Any], new: dict[str, Any]) -> float:
    if old["shape"] != new["shape"] or old["dtype"] != new["dtype"]:
        return float("inf")
    a, b = (np.array(value["data"], dtype=value["dtype"]) for value in (old, new))
    return float(np.max(np.abs(a - b) / np.spacing(np.maximum(np.abs(a), np.abs(b)))))
