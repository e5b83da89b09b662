"""Pruning methods: one shape for all of them, and ``sparsify``, which runs any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.common import (
    Method,
    OnStep,
    Problem,
    Result,
    StepReport,
    ignore_step,
    make_problem,
    run_method,
)
from fcpts_ref.pruning.fcpts.method import DEFAULT_PROFILE, FCPTS, PROFILE_SETTINGS
from fcpts_ref.pruning.one_shot import OneShot
from fcpts_ref.pruning.pot.method import POT
from fcpts_ref.pruning.selection import Selection

METHODS: dict[str, type[Any]] = {"fcpts": FCPTS, "one-shot": OneShot, "pot": POT}


def make_method(method: str, **settings: Any) -> Method:
    """The method of that name with its settings.

    Raises InputError for an unknown method or a setting that it does not have.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; expected one of {', '.join(METHODS)}")
    known = {field.name for field in fields(METHODS[method])}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InputError(
            f"method {method!r} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}"
        )
    made: Method = METHODS[method](**settings)
    return made


def sparsify(
    network: Network,
    images: NDArray[Any],
    *,
    target: float,
    method: str = "fcpts",
    seed: int = 0,
    engine: str = "numba",
    threads: int | None = None,
    keep_dense: tuple[str, ...] = (),
    max_rates: Mapping[str, float] | None = None,
    rates: Mapping[str, float] | None = None,
    on_step: OnStep = ignore_step,
    **settings: Any,
) -> Result:
    """Prune a trained network to a global sparsity rate, from unlabelled images (Equation 6).

    network: dense.  images: (n, C, H, W) floats in [0, 1].  target: the share of all convolution
    and linear weights set to zero, in [0, 1); met to the last weight.
    method: a name of ``METHODS``; ``settings`` are the fields of its class, for "fcpts" among
    others profile (default "extended"), allocation, control, epochs and batch_size
    (``fcpts_ref.pruning.fcpts.method.FCPTS``).
    keep_dense: layers, by name or pattern, that lose nothing and do not count in the target.
    max_rates, rates: by name or pattern the highest rate of a layer, or its rate, fixed.
    engine: "numba" or "numpy"; the same seed gives the same bits on any number of threads.
    Raises InputError for bad input, in one line.
    """
    chosen = make_method(method, **settings)
    selection = Selection(keep_dense, max_rates or {}, rates or {})
    problem = make_problem(
        network, images, target, engine=engine, threads=threads, selection=selection
    )
    return run_method(chosen, problem, np.random.default_rng(seed), on_step)


__all__ = [
    "DEFAULT_PROFILE",
    "FCPTS",
    "METHODS",
    "POT",
    "PROFILE_SETTINGS",
    "Method",
    "OneShot",
    "Problem",
    "Result",
    "StepReport",
    "make_method",
    "make_problem",
    "run_method",
    "sparsify",
]
