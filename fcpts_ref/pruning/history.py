"""The history of a run: arrays by name whose first axis is the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def extended(history: Mapping[str, Array], records: list[dict[str, Any]]) -> dict[str, Array]:
    """Return the history with the records of some more steps at its end."""
    if not records:
        return dict(history)
    new = {name: np.array([record[name] for record in records]) for name in records[0]}
    return {n: np.concatenate([history[n], a]) if n in history else a for n, a in new.items()}
