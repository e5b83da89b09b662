"""Functions of FCPTS over the weights of a layer, in NumPy and in Numba.

The NumPy functions compose ``spec.equations``; the Numba functions of the same names
(``fcpts_ref.engines.numba``) read the weights once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_alike
from fcpts_ref.spec import equations as specification
from fcpts_ref.spec.budget import projection_factor
from fcpts_ref.spec.conventions import Tie
from fcpts_ref.spec.optim import sgd_step

Array = NDArray[Any]


@dataclass(frozen=True)
class Arithmetic:
    """The functions by name; the NumPy ones document the arguments."""

    masked_weight: Callable[..., tuple[Array, Array, float]]
    threshold_gradient: Callable[..., float]
    spread: Callable[[Array], float]
    density: Callable[..., Array]
    histogram_density: Callable[..., Array]
    sgd_step: Callable[..., tuple[Array, Array]]
    projection_factor: Callable[..., float]


def masked_weight(
    weight: Array, threshold: float, *, tie: Tie = "pruned", strict: bool = False
) -> tuple[Array, Array, float]:
    """Return the sparse weight M * W, the mask M and the exact rate r (Equations 2, 1 and 10)."""
    M = specification.mask(weight, threshold, tie=tie)
    r = specification.sparsity_rate(weight.astype(np.float64), threshold, strict=strict)
    return specification.sparse_weight(weight, M), M, float(r)


def threshold_gradient(weight: Array, threshold: float, dsparse_weight: Array) -> float:
    """Return Equation 14 from the sparse weight's gradient: dM = dW_sparse * W (Equation 2)."""
    check_alike(weight=weight, dsparse_weight=dsparse_weight)
    dM_dt = specification.mask_threshold_gradient(weight, threshold)
    return float(specification.reconstruction_threshold_gradient(dsparse_weight * weight, dM_dt))


def spread(weight: Array) -> float:
    """Return the unbiased standard deviation of one or more weights; 0 if all are equal."""
    if weight.min() == weight.max():  # else rounding could give a spread above 0
        return 0.0
    return float(weight.std(ddof=1))


NUMPY = Arithmetic(
    masked_weight,
    threshold_gradient,
    spread,
    specification.density,
    specification.histogram_density,
    sgd_step,
    projection_factor,
)


def arithmetic(engine: str, threads: int | None = None) -> Arithmetic:
    """Return the functions of an engine, "numpy" or "numba".

    threads: of "numba", by default all cores; results do not depend on them.
    """
    if engine == "numpy":
        return NUMPY
    from fcpts_ref.engines.numba.pruning import (  # compiles on import: only on demand
        equations,
        optim,
        projection,
    )

    return Arithmetic(
        partial(equations.masked_weight, threads=threads),
        partial(equations.threshold_gradient, threads=threads),
        partial(equations.spread, threads=threads),
        equations.density,
        equations.histogram_density,
        partial(optim.sgd_step, threads=threads),
        projection.projection_factor,
    )
