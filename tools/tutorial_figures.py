"""Make the pictures of the tutorial: ``python -m tools.tutorial_figures``, in a checkout.

Needs matplotlib and PyTorch.  The same versions give the same files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.experiments.figures import COLOURS, figure
from fcpts_ref.oracle.trace_file import read_trace

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
SMALLEST = 1e-17


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        copy_run(folder)
        write_divergence(folder)
    write_steps()


def command(folder: Path, *words: str) -> None:
    """Run a command in a folder."""
    subprocess.run([sys.executable, *words], cwd=folder, check=True)


def copy_run(folder: Path) -> None:
    """Run the commands of the first page, and copy the run's own figures."""
    data = ("--data", "digits", "--epochs", "10", "--out", "mine.h5")
    command(folder, "-m", "fcpts_ref", "train", "--arch", "plain3", *data)
    job = ("--weights", "mine.h5", "--sparsity", "0.9", "--out", "mine-90")
    command(folder, "-m", "fcpts_ref", "sparsify", *job)
    for theirs, ours in (("steps", "tutorial-steps"), ("allocation", "tutorial-rates")):
        picture = (folder / "mine-90" / f"{theirs}.png").read_bytes()
        (FIGURES / f"{ours}.png").write_bytes(picture)


def write_divergence(folder: Path) -> None:
    """Draw how far a step with a mistake is from the reference, quantity by quantity."""
    command(folder, "-m", "fcpts_ref", "trace", "--steps", "0", "--out", "reference.h5")
    example = str(ROOT / "examples" / "trace_torch.py")
    command(folder, example, "reference.h5", "mine.h5", "--mistake")
    mine, reference = (read_trace(folder / f"{n}.h5").steps[0].quantities for n in MINE)
    names = [name for name in reference if name in mine]
    errors = np.array([relative_error(mine[name], reference[name]) for name in names])
    wrong = errors > 1e-9
    with figure(7, 3.6) as (made, axes):
        places = np.arange(len(names))
        for chosen, colour, marker, label in (
            (~wrong, COLOURS[0], "o", "agrees"),
            (wrong, COLOURS[1], "s", "differs"),
        ):
            axes.plot(places[chosen], errors[chosen], marker, color=colour, ms=3, label=label)
        first = int(np.argmax(wrong))
        axes.annotate(
            names[first],
            (first, errors[first]),
            xytext=(first - 4, 1e-3),
            ha="right",
            arrowprops={"arrowstyle": "->"},
        )
        axes.set_yscale("log")
        axes.set(xlabel="quantity, in the order of computation", ylabel="relative error")
        made.legend(loc="outside lower center", ncols=2)
        made.savefig(FIGURES / "tutorial-diverge.png", dpi=150, metadata={"Software": None})


MINE = ("mine", "reference")


def relative_error(got: Any, want: Any) -> float:
    """Return the largest difference over the largest element, at least ``SMALLEST``."""
    scale = np.abs(want).max(initial=0.0) or 1.0
    return max(float(np.abs(np.asarray(got) - want).max(initial=0.0)) / scale, SMALLEST)


def write_steps() -> None:
    """Draw the error of central differences and of complex steps of softplus over the step."""
    x, steps = 0.7, 10.0 ** np.arange(-16, 0, 0.25)
    exact = 1 / (1 + np.exp(-x))

    def softplus(value: Any) -> Any:
        return np.log(1 + np.exp(value))

    def central(h: float) -> Any:
        return (softplus(x + h) - softplus(x - h)) / (2 * h)

    def complex_step(h: float) -> Any:
        return softplus(x + 1j * h).imag / h

    with figure(6.4, 3.6) as (made, axes):
        for i, (label, estimate) in enumerate(
            (("central difference", central), ("complex step", complex_step))
        ):
            errors = [max(abs(estimate(h) / exact - 1), SMALLEST) for h in steps]
            axes.plot(steps, errors, "os"[i], ls="-", ms=3, color=COLOURS[i], label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set(xlabel="step h", ylabel="relative error of the derivative")
        made.legend(loc="outside lower center", ncols=2)
        path = FIGURES / "tutorial-steps-of-differences.png"
        made.savefig(path, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
