"""Pack the frozen suite as a zip of its own: JSON, one plain text, its schema, readers, pages.

All arrays are inline.  The same suite gives the same bytes.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from fcpts_ref.oracle.vectors import Case, encode_array, load_cases, suite_version

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "data" / "vectors"
READERS = ("read.py", "read.c", "read.js")
DATE = (1980, 1, 1, 0, 0, 0)


def write_bundle(out: Path) -> None:
    """Write the zip."""
    folder = f"fcpts-vectors-{suite_version()}"
    files = {
        "README.md": (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8"),
        "CHANGES.md": (ROOT / "docs" / "vectors-changes.md").read_text(encoding="utf-8"),
        "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8"),
        "schema.json": (VECTORS / "schema.json").read_text(encoding="utf-8"),
        "cases.txt": "".join(_lines(case) for case in load_cases()),
    }
    files |= {name: (ROOT / "examples" / "readers" / name).read_text("utf-8") for name in READERS}
    suite = json.loads((VECTORS / "suite.json").read_text(encoding="utf-8"))
    groups = [name for name in suite["files"] if name.endswith(".json")]
    for name in groups:
        files[f"cases/{name}"] = _inline_group(VECTORS / name)
    suite["files"] = {name: {"cases": suite["files"][name]["cases"]} for name in groups}
    files["cases/suite.json"] = json.dumps(suite, indent=1) + "\n"
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{folder}/{name}", DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])


def _inline_group(path: Path) -> str:
    """Return a group with the arrays of its HDF5 file in it."""
    from tools.vectors.command import _inline

    group = json.loads(path.read_text(encoding="utf-8"))
    cases = [json.dumps(_inline(case, path.parent), ensure_ascii=False) for case in group["cases"]]
    head = json.dumps({k: v for k, v in group.items() if k != "cases"}, ensure_ascii=False)
    return head[:-1] + ', "cases": [\n' + ",\n".join(cases) + "\n]}\n"


def _lines(case: Case) -> str:
    """Return a case as words: names, dtypes, sizes and numbers, separated by blanks."""
    lines = [f"case {case.id} {case.operation}"]
    for name, value in case.inputs.items():
        items = value if isinstance(value, list) and value and hasattr(value[0], "dtype") else None
        if items is not None:
            lines.append(f"list {name} {len(items)}")
            lines += [f"item {_words(item)}" for item in items]
        else:
            lines.append(f"in {name} {_words(value)}")
    for name, expected in case.outputs.items():
        rule = expected.rule
        how = f"{rule.compare} {rule.ulp} {rule.rtol!r} {rule.atol!r}"
        optional = "optional" if expected.optional else "required"
        lines.append(f"out {name} {optional} {how} {_words(expected.value)}")
    if case.reject is not None:
        lines.append("reject")
    return "\n".join([*lines, "end"]) + "\n"


def _words(value: Any) -> str:
    """An array is its dtype, number of axes, sizes and elements; all else a kind and a value."""
    if hasattr(value, "dtype"):
        entry = encode_array(value)
        numbers = map(_word, (*entry["shape"], *entry["data"]))
        return " ".join([entry["dtype"], str(len(entry["shape"])), *numbers])
    if isinstance(value, list):
        return " ".join(["int64", "1", str(len(value)), *map(str, value)])
    if isinstance(value, bool):
        return f"flag {int(value)}"
    if value is None:
        return "none none"
    return f"name {value}" if isinstance(value, str) else f"number {value!r}"


def _word(number: Any) -> str:
    """Numbers that are not finite are words already."""
    if isinstance(number, str):
        return number
    return repr(number) if isinstance(number, float) else str(int(number))
