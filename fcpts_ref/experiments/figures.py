"""Figures of one run, with matplotlib (the extra "plot"): each as PNG and SVG.

The colours are those of Okabe and Ito, which colour-blind readers can distinguish; lines also
differ by marker.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import MAX_SHOWN, InputError, install, printable
from fcpts_ref.experiments.summary import Summary
from fcpts_ref.pruning.names import ALLOCATION_LABELS
from fcpts_ref.storage.files import write_atomically

Array = NDArray[Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A8A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FORMATS = ("png", "svg")
SMALLEST = 1e-8
"""The lowest loss on the axis, as a share of the largest."""
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "fcpts-ref",  # equal figures give equal files
    "svg.fonttype": "path",
}


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def require_plot() -> None:
    """Raise InputError, with the command to install it, unless matplotlib is installed."""
    if not can_plot():
        raise InputError(f"figures need matplotlib; {install('plot')}")


@contextlib.contextmanager
def figure(width: float, height: float, rows: int = 1) -> Iterator[tuple[Any, Any]]:
    """Yield a figure and its axes (an array for several rows) in the style of this module."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        made = Figure(figsize=(width, height), layout="constrained")
        yield made, made.subplots(rows, 1, sharex=rows > 1)


def literal(text: str) -> str:
    """Return a text as matplotlib shows it: printable, no formula, at most 80 letters of it."""
    text = printable(text)
    short = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
    return short.replace("$", r"\$")


def save(made: Any, folder: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.svg and return their paths.  Raises InputError if that fails."""
    paths = []
    for kind in FORMATS:
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        path = folder / f"{name}.{kind}"

        def write(temporary: Path, kind: str = kind, metadata: Any = metadata) -> None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                made.savefig(temporary, format=kind, dpi=150, metadata=metadata)

        write_atomically(path, write)
        paths.append(path)
    return paths


def allocation_by_layer(
    folder: Path, name: str, layers: Sequence[str], rates: Mapping[str, Array], title: str
) -> list[Path]:
    """Plot the pruned share of every layer, one line per entry of ``rates``, each (L,)."""
    with figure(max(7, 2.6 + 0.2 * len(layers)), 4.4) as (made, axes):
        for i, (label, own) in enumerate(rates.items()):
            axes.plot(
                range(len(layers)),
                100 * np.asarray(own),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4 if i else 8,  # the first stays visible below equal ones
                linewidth=1.3 if i else 2.6,
                label=literal(label),
            )
        crowded = len(layers) > 12
        axes.set_xticks(
            range(len(layers)),
            [literal(name) for name in layers],
            rotation=90 if crowded else 35,
            fontsize=7 if crowded else 8,
        )
        if not crowded:
            for text in axes.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
        axes.margins(x=0.02)
        axes.set_ylim(-3, 103)
        axes.set(ylabel="weights pruned, %", title=literal(title))
        made.legend(loc="outside lower center", ncols=4)
        return save(made, folder, name)


def losses_and_rates(
    folder: Path, name: str, history: Mapping[str, Array], target: float, title: str
) -> list[Path]:
    """Plot the losses and, if the history has it, the global rate over the steps."""
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
        top.set(ylabel="loss (faint: each step)", title=literal(title))
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
        unit_by_unit = ", layer by layer" if "unit" in history else ""
        np.atleast_1d(axes)[-1].set_xlabel(f"step{unit_by_unit}")
        return save(made, folder, name)


def write_run_figures(folder: Path, summary: Summary, history: Mapping[str, Array]) -> list[Path]:
    """Write the figures of a run to its folder: allocation.* and, if it has a history, steps.*.

    Raises InputError if they cannot be written.
    """
    title = run_title(summary)
    written = allocation_by_layer(
        folder, "allocation", layer_names(summary), run_rates(summary), title
    )
    if len(history.get("reconstruction_loss", ())):
        target = summary.pinned.job.target
        written += losses_and_rates(folder, "steps", history, target, title)
    return written


def run_title(summary: Summary) -> str:
    """Return a title: method, network, data and rate."""
    rate = 100 * summary.pinned.job.target
    return f"{summary.method}: {summary.network}, {summary.data}, {rate:.4g} % pruned"


def layer_names(summary: Summary) -> list[str]:
    """Return the names of the layers for an axis."""
    return [layer.name.removesuffix(".weight") for layer in summary.layers]


def run_rates(summary: Summary) -> dict[str, Array]:
    """Return the run's rates by layer, and those of ERK and L2Norm if it has them."""
    own = {summary.method: np.array([layer.rate_after for layer in summary.layers])}
    return own | {ALLOCATION_LABELS[k]: np.array(v) for k, v in summary.allocations.items()}


def running_mean(values: Array) -> Array:
    """Return the mean over the last fiftieth of all steps, without later ones."""
    window = max(1, len(values) // 50)
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[start]) / (end - start))


def _smooth(values: Array, unit: Array | None) -> Array:
    """Return the running mean, separately for each unit if the method works unit by unit."""
    if unit is None:
        return running_mean(values)
    cuts = np.flatnonzero(np.diff(unit)) + 1
    return np.concatenate([running_mean(part) for part in np.split(values, cuts)])


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)  # a logarithmic axis cannot show 0
