"""Figures over several runs, with matplotlib (the extra "plot"): each as PNG and SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.experiments.figures import COLOURS, MARKERS, figure, literal, save
from fcpts_ref.experiments.outcomes import Line


def score_over_rate(folder: Path, name: str, lines: Sequence[Line], title: str) -> list[Path]:
    """Plot top-1 or mAP over the pruned share for every method; bars: the spread over seeds."""
    with figure(7, 4.4) as (made, axes):
        for i, (method, own) in enumerate(_by_method(lines).items()):
            axes.errorbar(
                [100 * line.rate for line in own],
                [_percent(line) for line in own],
                yerr=_bars(own),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                linestyle="-" if i < len(COLOURS) else "--",
                capsize=3,
                label=literal(method),
            )
        _dense_line(axes, lines)
        rates = sorted({100 * line.rate for line in lines})
        axes.set_xticks(rates, [f"{rate:.4g}" for rate in rates])
        axes.margins(x=0.08)
        ylabel = f"{lines[0].measure}, %"
        axes.set(xlabel="weights pruned, %", ylabel=ylabel, title=literal(title))
        made.legend(loc="outside right center")
        return save(made, folder, name)


def learned_against_fixed(folder: Path, name: str, lines: Sequence[Line], title: str) -> list[Path]:
    """Plot pairs of bars at every rate: layer rates fixed at their initial values, and learned."""
    methods = _by_method(lines)
    rates = sorted({line.rate for line in lines})
    width = 0.8 / len(methods)
    with figure(6.4, 4) as (made, axes):
        for i, (method, own) in enumerate(methods.items()):
            at = {line.rate: line for line in own}
            here = [place for place, rate in enumerate(rates) if rate in at]
            held = [at[rates[place]] for place in here]
            bars = axes.bar(
                [place + (i - (len(methods) - 1) / 2) * width for place in here],
                [_percent(line) for line in held],
                width=width * 0.94,
                yerr=_bars(held),
                capsize=3,
                color=COLOURS[i % len(COLOURS)],
                hatch="//" if "fixed" in method else None,
                edgecolor="white",
                label=literal(method),
            )
            labels = axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=3)
            for text in labels:  # readable across the line of the dense network
                text.set(bbox={"color": "white", "pad": 1}, zorder=5)
        _dense_line(axes, lines)
        lowest = min(_percent(line) - 100 * (line.spread or 0) for line in lines)
        highest = max([_percent(line) for line in lines] + [100 * (lines[0].dense_score or 0)])
        gap = max(highest - lowest, 1.0)
        axes.set_ylim(max(0.0, lowest - 0.5 * gap), highest + 0.25 * gap)
        axes.set_xticks(range(len(rates)), [f"{100 * rate:.4g}" for rate in rates])
        axes.grid(axis="x", visible=False)
        ylabel = f"{lines[0].measure}, % (axis cut)"
        axes.set(xlabel="weights pruned, %", ylabel=ylabel, title=literal(title))
        made.legend(loc="outside lower center", ncols=3)
        return save(made, folder, name)


def _by_method(lines: Sequence[Line]) -> dict[str, list[Line]]:
    methods: dict[str, list[Line]] = {}
    for line in lines:
        methods.setdefault(line.method, []).append(line)
    return {name: sorted(own, key=lambda line: line.rate) for name, own in methods.items()}


def _bars(lines: Sequence[Line]) -> list[float]:
    """Return the spreads in percent; NaN, which is not drawn, for a single seed."""
    return [np.nan if line.spread is None else 100 * line.spread for line in lines]


def _dense_line(axes: Any, lines: Sequence[Line]) -> None:
    dense = next((line.dense_score for line in lines if line.dense_score is not None), None)
    if dense is not None:
        axes.axhline(100 * dense, color="black", linestyle=":", linewidth=1.2, label="dense")


def _percent(line: Line) -> float:
    """Return the score in percent, NaN if there is none."""
    return math.nan if line.score is None else 100 * line.score
