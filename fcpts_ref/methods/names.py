"""What tables and figures call methods and allocations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALLOCATION_LABELS = {
    "uniform": "uniform",
    "erk": "ERK",
    "l2norm": "L2Norm",
    "l1norm": "L1Norm",
    "global": "global",
    "lamp": "LAMP",
}


def method_label(method: str, settings: Mapping[str, Any]) -> str:
    """The method in a table: "FCPTS (paper)", "POT (ERK)", "one-shot LAMP".

    settings: those that were said; all others are defaults.
    """
    if method == "fcpts":
        profile = settings.get("profile", "extended")
        parts = [profile]
        if not settings.get("learn_rates", True):
            parts.append("fixed")
        elif profile != "extended" and settings.get("control", "loss") == "projection":
            parts.append("projected")
        return f"FCPTS ({', '.join(parts)})"
    allocation = settings.get("allocation", "erk")
    label = ALLOCATION_LABELS.get(allocation, allocation)
    return f"POT ({label})" if method == "pot" else f"one-shot {label}"
