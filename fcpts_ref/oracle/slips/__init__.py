"""Known slips: for a quantity that differs, the values that people get who make a known mistake.

Each is (number of the open point or None, what was done, the value).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.clue import Array, Clue
from fcpts_ref.oracle.slips import beginning, layers, objective, thresholds, update

SLIPS = {
    **beginning.SLIPS,
    **objective.SLIPS,
    **layers.SLIPS,
    **thresholds.SLIPS,
    **update.SLIPS,
}
"""By quantity: a function of the clue."""


def suspects(clue: Clue) -> Iterator[tuple[int | None, str, Array]]:
    """The slips that are known for this quantity, each with its value."""
    slips = SLIPS.get(clue.quantity)
    try:
        for point, text, value in slips(clue) if slips is not None else ():
            yield point, text, np.asarray(value)
    except (InputError, KeyError):  # something that the slip needs was not recorded
        return
