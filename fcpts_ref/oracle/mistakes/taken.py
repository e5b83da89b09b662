"""The right value of another place: the step before, another layer or node, the dense network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values

TAKEN, AVERAGED = "taken", "averaged"


def _taken(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    before = evidence.earlier.get(evidence.name)
    right = evidence.value
    if before is not None and np.shape(before) == right.shape:
        yield _named("the step before"), before
        yield _named("the larger of it and the step before"), np.maximum(right, before)
        yield _named("the smaller of it and the step before"), np.minimum(right, before)
        yield _named("the sum with the step before"), right + before
        yield _named("the difference from the step before"), right - before
        yield _named("the product with the step before"), right * before
        yield (
            AVERAGED,
            Constant(
                lambda found: ratio(found - right, before - right),
                lambda share: share * before + (1 - share) * right,
                (0.0, 1.0),
            ),
        )
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
