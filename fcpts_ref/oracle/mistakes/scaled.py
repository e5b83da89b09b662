"""A constant factor on any quantity, where no other mistake gives the values found."""

from __future__ import annotations

from collections.abc import Iterator

from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values

SCALED = "scaled"


def _scaled(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right = evidence.value
    yield SCALED, Constant(lambda found: ratio(found, right), lambda c: c * right, (0.0, 1.0, -1.0))


VALUES: dict[str, Values] = dict.fromkeys(CATALOGUE[SCALED].of, _scaled)
