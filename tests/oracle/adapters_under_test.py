"""Small adapters that are right, wrong, incomplete or broken in one known way."""

import types

import numpy as np

from fcpts_ref.spec import equations


def make_module(**functions):
    """A module with these functions."""
    module = types.ModuleType("under_test")
    module.__dict__.update(functions)
    return module


def wrong_tie(weight, threshold, tie):
    """Keeps weights on the threshold."""
    right = equations.mask(weight, threshold, tie=tie)
    return np.where(np.abs(weight) == threshold, 1.0, right)


def crashing_mask(weight, threshold, tie):
    """Breaks."""
    raise ZeroDivisionError("broken")


def careless_mask(weight, threshold, tie):
    """Takes anything, NaN and negative thresholds, too."""
    at = 0.5 if tie == "half" else 0.0
    return np.where(np.abs(weight) == threshold, at, (np.abs(weight) > threshold) * 1.0).astype(
        weight.dtype
    )


def greedy_mask(weight, threshold, tie):
    """Refuses what is valid."""
    raise ValueError("I do not like this")


def unfinished_mask(weight, threshold, tie):
    """Not written yet."""
    raise NotImplementedError


def short_mask(weight, threshold):
    """Lacks an argument."""
    return equations.mask(weight, threshold)
