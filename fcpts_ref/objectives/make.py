"""The objective that the conventions name."""

from __future__ import annotations

from fcpts_ref.objectives.features import Features
from fcpts_ref.objectives.kl import KLDivergence
from fcpts_ref.objectives.objective import Objective
from fcpts_ref.spec.conventions import Conventions


def make_objective(conventions: Conventions) -> Objective:
    """Return the objective L_rec of conventions 5 and 6."""
    if conventions.reconstructs == "features":
        return Features(tuple(filter(None, conventions.feature_layers.split(","))))
    return KLDivergence(conventions.temperature)
