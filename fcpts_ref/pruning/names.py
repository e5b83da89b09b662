"""Names of allocations and rows in tables and figures."""

from __future__ import annotations

NEW_STATISTICS = " + BN"
"""The end of the name of a row whose batch-norm statistics were re-estimated."""
HALVES = " in float16"
"""The end of the name of a row whose weights were rounded to float16."""

ALLOCATION_LABELS = {
    "uniform": "uniform",
    "erk": "ERK",
    "erkfloor": "ERK, whole weights",
    "l2norm": "L2Norm",
    "l1norm": "L1Norm",
    "global": "global",
    "lamp": "LAMP",
}
