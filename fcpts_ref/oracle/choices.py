"""The other choices of the open points, as causes of a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fcpts_ref.oracle.trace_file import Setting
from fcpts_ref.spec.allocation import ALLOCATIONS

Change = Mapping[str, Any]


def _choice(point: int, name: str, value: Any) -> tuple[int, str, Change]:
    return point, f"{name}={value!r}", {name: value}


CHOICES: tuple[tuple[int, str, Change], ...] = (
    _choice(1, "tie", "pruned"),
    _choice(1, "tie", "half"),
    _choice(3, "reconstruction_moves_thresholds", False),
    _choice(3, "reconstruction_moves_thresholds", True),
    _choice(4, "mask_gradient_reaches_weights", True),
    _choice(4, "mask_gradient_reaches_weights", False),
    _choice(4, "pruned_weight_gradient", "dense"),
    (
        4,
        "pruned_weight_gradient='none'",
        {"pruned_weight_gradient": "none", "pruned_weight_pull": 0.0},
    ),
    *(_choice(5, "temperature", value) for value in (1.0, 4.0, 2.0)),
    _choice(7, "threshold_parameter", "sigmoid"),
    _choice(7, "threshold_parameter", "threshold"),
    *(_choice(8, "initial_allocation", name) for name in ALLOCATIONS),
    _choice(8, "initial_threshold", "kept"),
    _choice(8, "initial_threshold", "pruned"),
    _choice(9, "strict_rate", True),
    _choice(9, "strict_rate", False),
    _choice(10, "density", "histogram"),
    _choice(10, "density", "kernel"),
    *(_choice(10, "histogram_bins", value) for value in (99, 100, 101, 256)),
    _choice(11, "bandwidth", "absolute"),
    _choice(11, "bandwidth", "relative"),
    _choice(11, "bandwidth_factor", 1.0),
    _choice(12, "at_target", "zero"),
    _choice(12, "at_target", "negative"),
    *(_choice(13, "control_weight", value) for value in (0.1, 0.5, 1.0, 2.0, 3.0, 10.0, 100.0)),
    _choice(15, "student_batch_norm", "evaluation"),
    _choice(15, "student_batch_norm", "training"),
    _choice(15, "teacher_batch_norm", "training"),
    _choice(15, "teacher_batch_norm", "evaluation"),
    _choice(16, "nesterov", True),
    _choice(16, "nesterov", False),
    *(_choice(16, "momentum", value) for value in (0.0, 0.9)),
    *(_choice(16, "weight_decay", value) for value in (0.0, 3e-4, 1e-4, 5e-4)),
    *(_choice(16, "warmup_epochs", value) for value in (0, 1)),
    _choice(16, "cosine", "all steps"),
    _choice(16, "cosine", "after warm-up"),
    *(_choice(16, "learning_rate", value) for value in (0.04, 0.01)),
    *(_choice(16, "threshold_learning_rate", value) for value in (0.04, 0.01)),
    _choice(18, "control", "projection"),
    _choice(18, "control", "loss"),
)
"""The conventions that are tried: the number of the open point, the text, the change."""


def changed(setting: Setting, change: Change) -> Setting | None:
    """Return the setting with the choice; None if it is made already."""
    (name, value), *_ = change.items()
    if name == "control":
        return None if setting.control == value else replace(setting, control=value)
    if getattr(setting.conventions, name) == value:
        return None
    return replace(setting, conventions=setting.conventions.with_choices(change))
