"""Pruning methods by name, and ``sparsify``, which runs any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.arguments import check_arguments, check_layers
from fcpts_ref.pruning.channels.baselines import (
    MorphNet,
    Slimming,
    StructuredSparsity,
    UniformChannels,
)
from fcpts_ref.pruning.channels.dsa import DSA
from fcpts_ref.pruning.fcpts.method import DEFAULT_PROFILE, FCPTS, PROFILE_SETTINGS
from fcpts_ref.pruning.learned.ltp import LearnedThreshold
from fcpts_ref.pruning.learned.probmask import ProbMask
from fcpts_ref.pruning.learned.rigl import RigL
from fcpts_ref.pruning.learned.soft_threshold import SoftThreshold
from fcpts_ref.pruning.learned.spartan import Spartan
from fcpts_ref.pruning.learned.st3 import RescaledThreshold
from fcpts_ref.pruning.method import Method, OnStep, Result, StepReport, ignore_step, run_method
from fcpts_ref.pruning.one_shot import OneShot
from fcpts_ref.pruning.pot.method import POT
from fcpts_ref.pruning.problem import Problem, make_problem
from fcpts_ref.pruning.selection import Selection
from fcpts_ref.pruning.settings import Setting, settings_of
from fcpts_ref.storage.records import check_names

METHODS: dict[str, type[Any]] = {
    "fcpts": FCPTS,
    "one-shot": OneShot,
    "pot": POT,
    "str": SoftThreshold,
    "probmask": ProbMask,
    "ltp": LearnedThreshold,
    "dsa": DSA,
    "channels": UniformChannels,
    "slimming": Slimming,
    "ssl": StructuredSparsity,
    "morphnet": MorphNet,
    "st3": RescaledThreshold,
    "rigl": RigL,
    "spartan": Spartan,
}
"""Every method by name; the command line, comparisons and reports are derived from this table."""


def method_settings(method: str) -> dict[str, Setting]:
    """Return the settings of a method by name.  Raises InputError for an unknown method."""
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; expected one of {', '.join(METHODS)}")
    return settings_of(METHODS[method])


def presets() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return method and settings by their name in a comparison."""
    return {
        name: (method, dict(settings))
        for method, cls in METHODS.items()
        for name, settings in (cls.presets or {method: {}}).items()
    }


def make_method(method: str, **settings: Any) -> Method:
    """Return the method of that name with these settings.

    Raises InputError for an unknown method or a setting that it does not have.
    """
    known = method_settings(method)
    check_names(settings, known, f"method {method!r}", "setting")
    for name, value in settings.items():
        known[name].check(value, name)
    made: Method = METHODS[method](**settings)
    return made


def sparsify(
    network: Network,
    images: Any,
    *,
    target: float,
    method: str = "fcpts",
    seed: int = 0,
    engine: str = "numba",
    threads: int | None = None,
    keep_dense: tuple[str, ...] = (),
    max_rates: Mapping[str, float] | None = None,
    rates: Mapping[str, float] | None = None,
    granularity: str = "weight",
    cost: str = "weights",
    labels: Any = None,
    on_step: OnStep = ignore_step,
    **settings: Any,
) -> Result:
    """Prune a trained network to a global sparsity rate, from unlabelled images (Equation 6).

    network: dense.  images: (n, C, H, W) floats in [0, 1], an array or a
    sequence that reads them when they are needed (``data.prepared.prepare``).  target: the share of
    all convolution and linear weights set to zero, in [0, 1); met to the last weight.
    method: a name of ``METHODS``; ``settings`` are the fields of its class, for "fcpts" among
    others profile (default "extended"), allocation, control, epochs and batch_size
    (``fcpts_ref.pruning.fcpts.method.FCPTS``).
    The default profile shifts the images ("crop"); if mirror images have the same class, as on
    CIFAR, augmentation="crop-flip" does better (``Dataset.augmentation`` is a data set's own).
    keep_dense: layers, by name or pattern, that stay dense and do not count in the target.
    max_rates, rates: the highest or the fixed rate of a layer, by name or pattern.
    granularity: "weight", or "filter" to prune all weights of an output together, "RxC" for blocks
    of R outputs by C inputs, or "N:M" to keep N of every M neighbouring inputs, at target 1 - N/M.
    cost: the quantity that the target is a share of, "weights" or "macs" (multiply-accumulates).
    If units differ in cost, the fewest that reach the target are pruned.
    labels: (n,) classes of the images, for methods that train with them ("dsa" and its baselines).
    engine: "numba" or "numpy"; the same seed gives the same bits on any number of threads.
    Raises InputError for bad input, in one line.
    """
    check_arguments(network, seed, threads, ("granularity", granularity), ("engine", engine))
    check_layers(keep_dense, max_rates=max_rates, rates=rates)
    chosen = make_method(method, **settings)
    selection = Selection(keep_dense, max_rates or {}, rates or {})
    problem = make_problem(
        network,
        images,
        target,
        engine=engine,
        threads=threads,
        selection=selection,
        granularity=granularity,
        cost=cost,
        labels=labels,
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
    "method_settings",
    "presets",
    "run_method",
    "sparsify",
]
