"""The figures, with matplotlib (the extra "plot"): each as PNG and SVG.

Colours are those of Okabe and Ito, told apart by colour-blind readers; lines differ by marker too.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.compare import Line
from fcpts_ref.storage.files import write_atomically

Array = NDArray[Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A8A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FORMATS = ("png", "svg")
SMALLEST = 1e-8
"""Losses below this share of the largest are off the axis."""
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "fcpts-ref",  # the same figure is the same file
    "svg.fonttype": "path",
}


def can_plot() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def require_plot() -> None:
    """Raises InputError, with the way to install it, where matplotlib is not there."""
    if not can_plot():
        raise InputError("figures need matplotlib; install it with: pip install 'fcpts-ref[plot]'")


@contextlib.contextmanager
def figure(width: float, height: float, rows: int = 1) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes (an array for several rows) in this file's style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        made = Figure(figsize=(width, height), layout="constrained")
        yield made, made.subplots(rows, 1, sharex=rows > 1)


def save(made: Any, folder: Path, name: str) -> list[Path]:
    """NAME.png and NAME.svg in the folder.  Raises InputError if they cannot be written."""
    paths = []
    for kind in FORMATS:
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        path = folder / f"{name}.{kind}"

        def write(temporary: Path, kind: str = kind, metadata: Any = metadata) -> None:
            made.savefig(temporary, format=kind, dpi=150, metadata=metadata)

        write_atomically(path, write)
        paths.append(path)
    return paths


def accuracy_over_rate(folder: Path, name: str, lines: Sequence[Line], title: str) -> list[Path]:
    """Top-1 over the pruned share for every method; bars are the spread over seeds."""
    with figure(7, 4.4) as (made, axes):
        for i, (method, own) in enumerate(_by_method(lines).items()):
            axes.errorbar(
                [100 * line.rate for line in own],
                [100 * line.top1 for line in own],
                yerr=_bars(own),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                linestyle="-" if i < len(COLOURS) else "--",
                capsize=3,
                label=method,
            )
        _dense_line(axes, lines)
        rates = sorted({100 * line.rate for line in lines})
        axes.set_xticks(rates, [f"{rate:.4g}" for rate in rates])
        axes.margins(x=0.08)
        axes.set(xlabel="weights pruned, %", ylabel="top-1, %", title=title)
        made.legend(loc="outside right center")
        return save(made, folder, name)


def learned_against_fixed(folder: Path, name: str, lines: Sequence[Line], title: str) -> list[Path]:
    """Pairs of bars at every rate: the layers' rates fixed at the start, and learned."""
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
                [100 * line.top1 for line in held],
                width=width * 0.94,
                yerr=_bars(held),
                capsize=3,
                color=COLOURS[i % len(COLOURS)],
                hatch="//" if "fixed" in method else None,
                edgecolor="white",
                label=method,
            )
            labels = axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=3)
            for text in labels:  # readable across the line of the dense network
                text.set(bbox={"color": "white", "pad": 1}, zorder=5)
        _dense_line(axes, lines)
        lowest = min(100 * (line.top1 - (line.spread or 0)) for line in lines)
        highest = max([100 * line.top1 for line in lines] + [100 * (lines[0].dense or 0)])
        gap = max(highest - lowest, 1.0)
        axes.set_ylim(max(0.0, lowest - 0.5 * gap), highest + 0.25 * gap)
        axes.set_xticks(range(len(rates)), [f"{100 * rate:.4g}" for rate in rates])
        axes.grid(axis="x", visible=False)
        axes.set(xlabel="weights pruned, %", ylabel="top-1, % (axis cut)", title=title)
        made.legend(loc="outside lower center", ncols=3)
        return save(made, folder, name)


def allocation_by_layer(
    folder: Path, name: str, layers: Sequence[str], rates: Mapping[str, Array], title: str
) -> list[Path]:
    """The pruned share of every layer, one line for each entry of ``rates`` (L,)."""
    with figure(max(7, 2.6 + 0.2 * len(layers)), 4.4) as (made, axes):
        for i, (label, own) in enumerate(rates.items()):
            axes.plot(
                range(len(layers)),
                100 * np.asarray(own),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4 if i else 8,  # the first shows below others that equal it
                linewidth=1.3 if i else 2.6,
                label=label,
            )
        crowded = len(layers) > 12
        axes.set_xticks(
            range(len(layers)), layers, rotation=90 if crowded else 35, fontsize=7 if crowded else 8
        )
        if not crowded:
            for text in axes.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
        axes.margins(x=0.02)
        axes.set_ylim(-3, 103)
        axes.set(ylabel="weights pruned, %", title=title)
        made.legend(loc="outside lower center", ncols=4)
        return save(made, folder, name)


def losses_and_rates(
    folder: Path, name: str, history: Mapping[str, Array], target: float, title: str
) -> list[Path]:
    """Reconstruction and control loss and, where it moves, the global rate, over the steps."""
    losses = {
        "reconstruction_loss": "reconstruction loss $L_{rec}$",
        "control_loss": "control loss $L_c$",
    }
    shown = {key: label for key, label in losses.items() if key in history}
    with_rate = "global_rate" in history
    with figure(7, 5.4 if with_rate else 3.6, rows=2 if with_rate else 1) as (made, axes):
        top = np.atleast_1d(axes)[0]
        for i, (key, label) in enumerate(shown.items()):
            values = np.asarray(history[key], dtype=float)
            steps = np.arange(1, len(values) + 1)
            top.plot(steps, _positive(values), color=COLOURS[i], alpha=0.25, linewidth=0.8)
            smooth = _smooth(values, history.get("unit"))
            top.plot(steps, _positive(smooth), color=COLOURS[i], label=label)
        top.set_yscale("log")
        top.set(ylabel="loss (faint: each step)", title=title)
        top.legend(loc="upper right", ncols=2)
        low, high = top.get_ylim()
        low = max(low, high * SMALLEST)
        top.set_ylim(low, high * (high / low) ** 0.15)  # room for the legend
        if with_rate:
            rate = 100 * np.asarray(history["global_rate"], dtype=float)
            axes[1].plot(np.arange(1, len(rate) + 1), rate, color=COLOURS[2], label="global rate")
            axes[1].axhline(100 * target, color="black", linestyle=":", label="target")
            axes[1].set(ylabel="weights pruned, %")
            axes[1].legend(loc="best", ncols=2)
        unit_by_unit = ", layer after layer" if "unit" in history else ""
        np.atleast_1d(axes)[-1].set_xlabel(f"step{unit_by_unit}")
        return save(made, folder, name)


def write_run_figures(
    folder: Path, summary: Mapping[str, Any], history: Mapping[str, Array]
) -> list[Path]:
    """The two figures of one run, in its folder: allocation.* and steps.*; what there is of them.

    Raises InputError if they cannot be written.
    """
    title = run_title(summary)
    written = allocation_by_layer(
        folder, "allocation", layer_names(summary), run_rates(summary), title
    )
    if len(history.get("reconstruction_loss", ())):
        target = summary["settings"]["target"]
        written += losses_and_rates(folder, "steps", history, target, title)
    return written


def run_title(summary: Mapping[str, Any]) -> str:
    """Method, network, data and rate."""
    rate = 100 * summary["settings"]["target"]
    return f"{summary['method']}: {summary['network']}, {summary['data']}, {rate:.4g} % pruned"


def layer_names(summary: Mapping[str, Any]) -> list[str]:
    """The layers as they are called on an axis."""
    return [layer["name"].removesuffix(".weight") for layer in summary["layers"]]


def run_rates(summary: Mapping[str, Any]) -> dict[str, Array]:
    """The run's own rates by layer, and those of ERK and L2Norm where it has them."""
    own = {summary["method"]: np.array([layer["rate_after"] for layer in summary["layers"]])}
    labels = {"erk": "ERK", "l2norm": "L2Norm"}
    held = summary.get("allocations", {})
    return own | {label: np.array(held[key]) for key, label in labels.items() if key in held}


def running_mean(values: Array) -> Array:
    """The mean over the last steps, a fiftieth of all of them: smooth, and never of the future."""
    window = max(1, len(values) // 50)
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[start]) / (end - start))


def _smooth(values: Array, unit: Array | None) -> Array:
    """The running mean; for a method that works unit by unit, of each unit alone."""
    if unit is None:
        return running_mean(values)
    cuts = np.flatnonzero(np.diff(unit)) + 1
    return np.concatenate([running_mean(part) for part in np.split(values, cuts)])


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)  # a logarithmic axis has no place for 0


def _by_method(lines: Sequence[Line]) -> dict[str, list[Line]]:
    methods: dict[str, list[Line]] = {}
    for line in lines:
        methods.setdefault(line.method, []).append(line)
    return {name: sorted(own, key=lambda line: line.rate) for name, own in methods.items()}


def _bars(lines: Sequence[Line]) -> list[float]:
    """The spreads in percent; NaN, which draws nothing, for a single seed."""
    return [np.nan if line.spread is None else 100 * line.spread for line in lines]


def _dense_line(axes: Any, lines: Sequence[Line]) -> None:
    dense = next((line.dense for line in lines if line.dense is not None), None)
    if dense is not None:
        axes.axhline(100 * dense, color="black", linestyle=":", linewidth=1.2, label="dense")
