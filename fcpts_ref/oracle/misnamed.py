"""Functions of an adapter that are named like an operation, but not quite."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

CLOSE = 0.8
"""Share of equal letters: contrl_loss and controlLoss are close to control_loss."""


def misnamed(functions: Collection[str], missing: Collection[str]) -> dict[str, str]:
    """Return the closest missing operation by the name of each function that is close to one.

    functions: that an adapter defines.  missing: operations that it does not have.
    """
    found = {}
    for name in functions:
        near = get_close_matches(name.lower(), sorted(missing), n=1, cutoff=CLOSE)
        if near and near[0] not in functions:
            found[name] = near[0]
    return found
