"""Choosing channels on a budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_costs import channel_costs
from fcpts_ref.graphs.channel_groups import find_groups
from fcpts_ref.spec.channel_budget import (
    ChannelCosts,
    channel_cost,
    project_keep_ratios,
    uniform_keep_ratio,
)
from fcpts_ref.spec.channel_selection import select_by_ratios, select_by_scores


def case(depth: int, seed: int) -> tuple[ChannelCosts, list[Any]]:
    graph = resnet(depth, shortcut="B")
    groups = find_groups(graph)
    generator = np.random.default_rng(seed)
    scores = [generator.random(group.units) for group in groups.groups]
    return channel_costs(graph, groups), scores


def cost_of(masks: list[Any], costs: ChannelCosts) -> float:
    return channel_cost(np.array([mask.mean() for mask in masks]), costs)


@given(st.sampled_from((20, 56)), st.integers(0, 2**32 - 1), st.floats(0.1, 1.0), st.booleans())
def test_budgets_are_met_from_below_within_one_percent(
    depth: int, seed: int, share: float, by_ratios: bool
) -> None:
    costs, scores = case(depth, seed)
    budget = share * costs.whole
    if by_ratios:
        lowest = np.array([1 / len(score) for score in scores])
        wish = np.random.default_rng(seed).random(len(scores))
        alpha = project_keep_ratios(wish, costs, budget, lowest)
        masks = select_by_ratios(alpha, scores, costs, budget)
    else:
        masks = select_by_scores(scores, costs, budget)
    reached = cost_of(masks, costs)
    assert reached <= budget
    room = [mask for mask in masks if not mask.all()]
    assert not room or reached >= 0.99 * budget
    assert all(mask.any() for mask in masks)
    for mask, score in zip(masks, scores, strict=True):
        assert not (~mask).any() or score[mask].min() >= score[~mask].max()


def test_ratios_are_kept_where_the_budget_allows() -> None:
    costs, scores = case(20, 0)
    lowest = np.array([1 / len(score) for score in scores])
    alpha = uniform_keep_ratio(costs, costs.whole / 2, lowest)
    shares = np.array([m.mean() for m in select_by_ratios(alpha, scores, costs, costs.whole / 2)])
    assert np.abs(shares - 0.7055).max() < 1 / 16


@pytest.mark.parametrize(
    ("depth", "share"), [(20, 0.65), (20, 0.68), (20, 0.74), (56, 0.2), (56, 0.29), (56, 0.41)]
)
def test_coarse_channels_are_exchanged_for_fine_ones(depth: int, share: float) -> None:
    """Where all fine channels stay, one coarse one is often more than 1 % of the budget."""
    costs, scores = case(depth, 0)
    budget = share * costs.whole
    layers = costs.single + costs.pairs.sum(axis=0) + costs.pairs.sum(axis=1)
    coarse = layers > 3 * np.median(layers)
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        over = channel_cost(np.where(coarse, middle, 1.0), costs) > budget
        low, high = (low, middle) if over else (middle, high)
    alpha = np.where(coarse, low, 1.0)
    masks = select_by_ratios(alpha, scores, costs, budget)
    assert 0.99 * budget <= cost_of(masks, costs) <= budget


def test_the_whole_budget_keeps_everything() -> None:
    costs, scores = case(20, 0)
    for masks in (
        select_by_ratios(np.ones(12), scores, costs, costs.whole),
        select_by_scores(scores, costs, costs.whole),
    ):
        assert all(mask.all() for mask in masks)


def test_equal_scores_keep_the_first() -> None:
    costs = ChannelCosts(np.zeros((1, 1)), np.ones(1))
    for masks in (
        select_by_scores([np.zeros(4)], costs, 0.5),
        select_by_ratios(np.array([0.5]), [np.zeros(4)], costs, 0.5),
    ):
        assert masks[0].tolist() == [True, True, False, False]


def test_bad_input() -> None:
    costs, scores = case(20, 0)
    with pytest.raises(InputError, match="use a lower target"):
        select_by_scores(scores, costs, 1e-4 * costs.whole)
    scores[0][0] = np.nan
    with pytest.raises(InputError, match="scores of channels hold NaN"):
        select_by_scores(scores, costs, costs.whole)
    with pytest.raises(InputError, match="scores of channels hold NaN"):
        select_by_ratios(np.ones(12), scores, costs, costs.whole)
