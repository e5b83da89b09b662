"""Channel pruning to compare DSA with: uniform and by magnitude, slimming, SSL, MorphNet.

All choose, remove and fine-tune channels by the course of ``ChannelMethod``; they differ in the
search and in the scores of units.  Without topological grouping every layer is scored by itself,
and a channel can only be removed if every layer of its group drops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_groups import Group
from fcpts_ref.pruning.channels.method import ChannelMethod, State
from fcpts_ref.pruning.channels.space import (
    Mask,
    Space,
    following_norm,
    importances,
)
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.channel_budget import channel_cost, channel_cost_gradient
from fcpts_ref.spec.channel_regularisers import (
    expand_ratios,
    group_shrinkage,
    scale_penalty_gradient,
)
from fcpts_ref.spec.channel_selection import select_by_ratios, select_by_scores

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Baseline(ChannelMethod):
    """Scores of units across groups, and the highest stay.

    grouping: whether the layers of a group are scored together (their mean) or each by itself.
    """

    grouping: bool = setting(True, "score the layers of a group each by itself")

    @property
    def label(self) -> str:
        """The name in tables, such as "slimming, ungrouped"."""
        return super().label + ("" if self.grouping else ", ungrouped")

    def scores(self, space: Space, state: State, group: Group) -> list[Array]:
        """Return the scores of a group's units by each of its layers."""
        return importances(space.graph, state.parameters, group, "scale")

    def joined(self, own: list[Array]) -> Array:
        """Return the scores of units; the highest of all layers keeps a unit that any keeps."""
        return np.asarray((np.mean if self.grouping else np.max)(own, axis=0))

    def choose(self, problem: Problem, space: Space, state: State) -> list[Mask]:
        """Return masks that keep the highest scores of all groups."""
        scores = [self.joined(self.scores(space, state, group)) for group in space.groups.groups]
        return select_by_scores(scores, space.costs, space.budget, space.least)


@dataclass(frozen=True)
class UniformChannels(Baseline):
    """No search: the channels of the trained network by their magnitude."""

    description: ClassVar[str] = (
        "the least important channels of a trained network are removed, the same share\n"
        "of every group or by magnitude across groups"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "channels-uniform": {},
        "channels-uniform-ungrouped": {"grouping": False},
        "channels-magnitude": {"across": True},
        "channels-magnitude-ungrouped": {"across": True, "grouping": False},
    }
    symbol: ClassVar[str] = "channels"
    searches: ClassVar[bool] = False

    across: bool = setting(False, "compare magnitudes across groups, in units of a layer's mean")

    @property
    def label(self) -> str:
        """The name in tables, such as "uniform channels"."""
        kind = "magnitude" if self.across else "uniform"
        return f"{kind} {super().label}"

    def scores(self, space: Space, state: State, group: Group) -> list[Array]:
        """Return filter magnitudes over the layer's mean, or the share of units below each."""
        if self.across:
            own = importances(space.graph, state.parameters, group, "filter")
            return [score / max(score.mean(), np.finfo(np.float64).tiny) for score in own]
        own = importances(space.graph, state.parameters, group, "scale")
        if self.grouping:
            own = [np.mean(own, axis=0)]
        return [_ranks(score) for score in own]


@dataclass(frozen=True)
class Slimming(Baseline):
    """Network slimming: an L1 penalty of batch norm's scales (Liu et al., 2017)."""

    description: ClassVar[str] = (
        "an L1 penalty of batch norm's scales; the channels with the smallest are\n"
        "removed (network slimming, Liu et al., 2017)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "slimming": {},
        "slimming-ungrouped": {"grouping": False},
    }
    symbol: ClassVar[str] = "slimming"

    penalty: float = setting(1e-4, "lambda, the weight of the penalty")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_penalty(self.penalty)

    def regularised(
        self, space: Space, state: State, gradients: dict[str, Array]
    ) -> dict[str, Array]:
        """Return the gradients with lambda sign(gamma) added, in the search."""
        weights = dict.fromkeys(_scales(space), self.penalty)
        return _penalised(state.parameters, gradients, weights)


@dataclass(frozen=True)
class MorphNet(Baseline):
    """MorphNet: scales penalised by the cost of their channels, then uniform expansion."""

    description: ClassVar[str] = (
        "scales penalised by the cost of their channels, then one factor on all widths\n"
        "(MorphNet, Gordon et al., 2018)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "morphnet": {},
        "morphnet-ungrouped": {"grouping": False},
    }
    symbol: ClassVar[str] = "MorphNet"

    penalty: float = setting(1e-3, "lambda, the mean weight of the penalty over all channels")
    threshold: float = setting(0.05, "scales below this share of their layer's largest are dead")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_penalty(self.penalty)
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold is {self.threshold}; expected a share in [0, 1)")

    def regularised(
        self, space: Space, state: State, gradients: dict[str, Array]
    ) -> dict[str, Array]:
        """Return the gradients with lambda cost sign(gamma) added, in the search.

        The cost of a channel is dF/dn at the channels that are alive, over its mean.
        """
        slopes = channel_cost_gradient(self._alive(space, state), space.costs) / space.units
        slopes = slopes / max(float(slopes.mean()), np.finfo(np.float64).tiny)
        weights: dict[str, float] = {}
        for group, slope in zip(space.groups.groups, slopes, strict=True):
            weights |= {name: self.penalty * float(slope) for name in _scales(space, group)}
        return _penalised(state.parameters, gradients, weights)

    def choose(self, problem: Problem, space: Space, state: State) -> list[Mask]:
        """Return the units that are alive, times the factor that meets the budget."""
        scores = [self.joined(self.scores(space, state, group)) for group in space.groups.groups]
        alive = self._alive(space, state)
        ratios = expand_ratios(alive, space.costs, space.budget, 1 / space.lowest)
        return select_by_ratios(ratios, scores, space.costs, space.budget, space.least)

    def _alive(self, space: Space, state: State) -> Array:
        """The share of each group's units whose scale is not small, (G,)."""
        found = []
        for group in space.groups.groups:
            own = [s / max(s.max(), 1e-12) for s in self.scores(space, state, group)]
            found.append((self.joined(own) >= self.threshold).mean())
        return np.maximum(found, space.lowest)


@dataclass(frozen=True)
class StructuredSparsity(Baseline):
    """SSL: group lasso of filters (Wen et al., 2016), its weight swept up to the budget."""

    description: ClassVar[str] = (
        "a group lasso of filters whose weight rises until the budget is met; filters\n"
        "that vanish are removed (SSL, Wen et al., 2016)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ssl": {},
        "ssl-ungrouped": {"grouping": False},
    }
    symbol: ClassVar[str] = "SSL"

    penalty: float = setting(1e-3, "lambda of the first epoch, the weight of the group lasso")
    growth: float = setting(2.0, "factor of lambda after an epoch that has not met the budget")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_penalty(self.penalty)
        if not 1 <= self.growth < np.inf:
            raise InputError(f"growth is {self.growth}; expected a finite factor of at least 1")

    def start(self, problem: Problem, space: Space) -> dict[str, Array]:
        """Return lambda, and the epoch that it is of."""
        return {"penalty": np.array(self.penalty), "epoch": np.array(0)}

    def scores(self, space: Space, state: State, group: Group) -> list[Array]:
        """Return the root mean square of each unit's filters, by layer."""
        return [np.sqrt(s) for s in _mean_squares(state.parameters, group)]

    def joined(self, own: list[Array]) -> Array:
        """Return the root mean square over the layers of a group, or the highest of them."""
        if not self.grouping:
            return np.asarray(np.max(own, axis=0))
        return np.asarray(np.sqrt(np.mean(np.square(own), axis=0)))

    def shrunk(self, space: Space, state: State, rate: float) -> State:
        """Return the state after the proximal step of lambda times the sum of norms."""
        state = self._swept(space, state)
        amount = rate * float(state.learned["penalty"])
        parameters = dict(state.parameters)
        for group in space.groups.groups:
            squares = _mean_squares(parameters, group)
            joint = np.sqrt(np.mean(squares, axis=0))
            for layer, own in zip(group.layers, squares, strict=True):
                factor = group_shrinkage(joint if self.grouping else np.sqrt(own), amount)
                name, rows = f"{layer}.weight", group.slots[layer]
                weight = parameters[name] = parameters[name].copy()
                wide = factor.astype(weight.dtype).reshape(-1, *[1] * weight.ndim)
                weight[rows] *= wide
        return replace(state, parameters=parameters)

    def _swept(self, space: Space, state: State) -> State:
        """Raise lambda at the beginning of an epoch if filters that vanished do not suffice."""
        if int(state.learned["epoch"]) == state.epoch:
            return state
        live = [(self.joined(self.scores(space, state, g)) > 0).mean() for g in space.groups.groups]
        over = channel_cost(np.array(live), space.costs) > space.budget
        penalty = state.learned["penalty"] * (self.growth if over else 1.0)
        return replace(state, learned={"penalty": penalty, "epoch": np.array(state.epoch)})


def _mean_squares(parameters: Arrays, group: Group) -> list[Array]:
    """The mean square of the weights of each unit's filters, (units,) by layer."""
    found = []
    for layer in group.layers:
        rows = parameters[f"{layer}.weight"][group.slots[layer]].astype(np.float64)
        with np.errstate(over="ignore"):  # the next loss reports it
            found.append((rows * rows).reshape(len(rows), -1).mean(axis=1))
    return found


def _scales(space: Space, group: Group | None = None) -> list[str]:
    """The names of the scales of batch norms that read layers of a group, or of all groups."""
    groups = space.groups.groups if group is None else (group,)
    layers = dict.fromkeys(layer for one in groups for layer in one.layers)
    norms = (following_norm(space.graph, layer) for layer in layers)
    return [f"{norm.name}.weight" for norm in norms if norm is not None]


def _penalised(
    parameters: Arrays, gradients: dict[str, Array], weights: Mapping[str, float]
) -> dict[str, Array]:
    more = {
        name: gradients[name] + scale_penalty_gradient(parameters[name], weight)
        for name, weight in weights.items()
    }
    return gradients | more


def _ranks(score: Array) -> Array:
    """The share of units that are at most as high as each; of equal ones, the first is highest."""
    order = np.argsort(-score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(len(score), 0, -1) / len(score)
    return ranks


def _check_penalty(penalty: float) -> None:
    if not 0 <= penalty < np.inf:
        raise InputError(f"penalty is {penalty}; expected a finite number of at least 0")
