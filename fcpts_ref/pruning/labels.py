"""What a method is trained on: the labels of its images, or the dense network's outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.pruning.problem import Problem

OBJECTIVES = ("labels", "outputs")


def labels_of(problem: Problem) -> NDArray[np.integer[Any]]:
    """Return the labels of the images.  Raises InputError if there are none."""
    if problem.labels is None:
        raise InputError(
            "the images have no labels, which objective 'labels' needs; use objective 'outputs', "
            "which compares with the dense network"
        )
    return problem.labels
