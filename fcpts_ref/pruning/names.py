"""What tables and figures call methods and allocations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcpts_ref.pruning.fcpts.method import DEFAULT_PROFILE, PROFILE_SETTINGS

NEW_STATISTICS = " + BN"
"""Ends the name of a row whose batch-norm statistics were measured anew."""

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
        profile = settings.get("profile", DEFAULT_PROFILE)
        usual = PROFILE_SETTINGS[profile]["control"]
        control = settings.get("control", usual)
        parts = [profile]
        if not settings.get("learn_rates", True):
            parts.append("fixed")
        elif control != usual:
            parts.append("projected" if control == "projection" else "by loss")
        return f"FCPTS ({', '.join(parts)})"
    allocation = settings.get("allocation", "erk")
    label = ALLOCATION_LABELS.get(allocation, allocation)
    return f"POT ({label})" if method == "pot" else f"one-shot {label}"
