"""The right value of another place: the step before, another layer or node, the dense network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values

TAKEN = "taken"


def _taken(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    before = evidence.earlier.get(evidence.name)
    if before is not None:
        yield _named("the step before"), before
    if not evidence.item:
        return
    prefix = f"{evidence.quantity}/"
    for name, value in evidence.given.items():
        alike = name.startswith(prefix) and np.shape(value) == evidence.value.shape
        if alike and name != evidence.name:
            yield _named(name.removeprefix(prefix)), value


def _named(text: str) -> str:
    return f"{TAKEN}{MARK}{text}"


VALUES: dict[str, Values] = dict.fromkeys(CATALOGUE[TAKEN].of, _taken)
