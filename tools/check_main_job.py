"""``python tools/check_main_job.py RUNS``: does the main job of the README prune well?

RUNS is the folder of the job's run.  FCPTS must keep at least 98.5 % top-1 accuracy on the
digits at 90 % sparsity, and be far above every one-shot method (README.md has the table).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = 0.9
LEAST_ACCURACY = 0.985
LEAST_ADVANTAGE = 0.5  # over one-shot, whose accuracy is about 0.1: as good as guessing


def problems(rows: list[dict[str, Any]]) -> list[str]:
    """The expectations that a table of results does not meet, in words."""
    ours = [row for row in rows if row["name"].startswith("FCPTS")]
    one_shot = [row for row in rows if row["name"].startswith("one-shot")]
    if len(ours) != 1 or not one_shot:
        return [
            f"rows are {[row['name'] for row in rows]}; expected one of FCPTS, some of one-shot"
        ]
    fcpts, best = ours[0], max(row["top1"] for row in one_shot)
    found = [
        f"{row['name']} prunes {row['achieved']:.4%}; expected {TARGET:.0%}"
        for row in [fcpts, *one_shot]
        if not abs(row["achieved"] - TARGET) < 1e-4
    ]
    if not fcpts["top1"] >= LEAST_ACCURACY:
        found.append(f"FCPTS has {fcpts['top1']:.2%}; expected at least {LEAST_ACCURACY:.1%}")
    if not fcpts["top1"] - best >= LEAST_ADVANTAGE:
        found.append(f"FCPTS has {fcpts['top1']:.2%}, one-shot {best:.2%}; expected far more")
    return found


def main(folder: Path) -> int:
    """Print what is wrong with the one run in ``folder``; 1 if anything is."""
    summaries = sorted(folder.glob("*/summary.json"))
    if len(summaries) != 1:
        print(f"{folder} has {len(summaries)} finished runs; expected 1")
        return 1
    found = problems(json.loads(summaries[0].read_text(encoding="utf-8"))["rows"])
    print("\n".join(found) or f"{summaries[0].parent.name}: as good as expected")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
