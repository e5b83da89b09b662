"""Attributes that name axes and shapes, and what rows compute from them.

Axes and shapes are those of a value, without the batch.
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from fcpts_ref.graphs.operations.attributes import size
from fcpts_ref.graphs.operations.operation import Channels, Shape


def axis(value: Any) -> int:
    """an integer: an axis without the batch, negative from the end"""
    return _whole(value)


def shape(value: Any) -> Shape:
    """one or more integers of at least 1"""
    return tuple(size(side) for side in _listed(value))


def open_shape(value: Any) -> Shape:
    """one or more integers of at least 1, one of which may be -1 for the rest"""
    sides = tuple(-1 if side == -1 else size(side) for side in _listed(value))
    if sides.count(-1) > 1:
        raise ValueError
    return sides


def permutation(value: Any) -> Shape:
    """the axes without the batch, each once, in their new order: 0 is the first"""
    axes = tuple(_whole(one) for one in _listed(value))
    if sorted(axes) != list(range(len(axes))):
        raise ValueError
    return axes


def regrouped(source: Shape, target: Shape) -> Channels | None:
    """The channel of ``source`` that each channel of ``target`` carries after a reshape.

    None if a channel of the target holds values of several.
    """
    own, each = math.prod(source[1:]), math.prod(target[1:])  # values of a channel
    return np.arange(target[0]) * each // own if own % each == 0 else None


def broadcast(source: Shape, target: Shape) -> Channels | None:
    """The channel of ``source`` that each channel of ``target`` carries after broadcasting."""
    if len(source) < len(target):
        return None
    return np.arange(target[0]) if source[0] == target[0] else np.zeros(target[0], np.int64)


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return index(value)


def _listed(value: Any) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not values:
        raise ValueError
    return values
