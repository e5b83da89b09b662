"""The objective that the conventions name."""

from __future__ import annotations

from fcpts_ref.graphs.graph import Graph
from fcpts_ref.objectives.detector_outputs import DetectorOutputs
from fcpts_ref.objectives.features import Features
from fcpts_ref.objectives.kl import KLDivergence
from fcpts_ref.objectives.objective import Objective
from fcpts_ref.spec.conventions import Conventions


def make_objective(conventions: Conventions, graph: Graph) -> Objective:
    """Return the objective L_rec of conventions 5 and 6 for a network."""
    if conventions.reconstructs == "features":
        return Features(tuple(filter(None, conventions.feature_layers.split(","))))
    if graph.is_detector:
        return DetectorOutputs(
            conventions.temperature,
            conventions.box_error,
            conventions.box_weight,
            conventions.prior_weight,
            conventions.background_weight,
        )
    return KLDivergence(conventions.temperature)
