"""Known mistakes: for a quantity that differs, the value that each mistake would give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.evidence import Candidate, Evidence
from fcpts_ref.oracle.mistakes import beginning, layers, objective, thresholds, update

MISTAKES = {
    **beginning.MISTAKES,
    **objective.MISTAKES,
    **layers.MISTAKES,
    **thresholds.MISTAKES,
    **update.MISTAKES,
}
"""Functions of the evidence that yield candidates, by quantity."""


def candidates(evidence: Evidence) -> Iterator[Candidate]:
    """Yield the mistakes that are known for this quantity, each with its value."""
    known = MISTAKES.get(evidence.quantity)
    try:
        for point, text, value in known(evidence) if known is not None else ():
            yield point, text, np.asarray(value)
    except (InputError, KeyError):  # an array that the mistake needs was not recorded
        return
