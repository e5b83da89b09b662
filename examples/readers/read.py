"""Read the cases of the suite and check one operation: python read.py FOLDER-OF-THE-ZIP"""

import json
import sys
from pathlib import Path


def value(entry):
    """Return (shape, row-major numbers) of an array, or the entry itself."""
    if isinstance(entry, dict):
        return tuple(entry["shape"]), [float(number) for number in entry["data"]]
    return [value(item) for item in entry] if isinstance(entry, list) else entry


folder = Path(sys.argv[1]) / "cases"
suite = json.loads((folder / "suite.json").read_text())
cases = []
for name in suite["files"]:
    group = json.loads((folder / name).read_text())
    for case in group["cases"]:
        inputs = {key: value(entry) for key, entry in case["inputs"].items()}
        outputs = {k: (value(o["value"]), group["rules"][o["rule"]])
                   for k, o in case.get("outputs", {}).items()}  # fmt: skip
        cases.append((case["id"], case["operation"], inputs, outputs))
passed = 0
for _, operation, inputs, outputs in cases:
    if operation == "total_loss" and outputs:  # your implementation goes here
        loss = inputs["reconstruction"] + inputs["control_weight"] * inputs["control"]
        passed += abs(loss - outputs["loss"][0][1][0]) <= 1e-15 * abs(loss)
print(f"suite {suite['version']}: {len(cases)} cases, {passed} of total_loss pass")
