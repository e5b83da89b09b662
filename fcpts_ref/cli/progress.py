"""Progress bars on standard error, for anything that may take over two seconds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from fcpts_ref.bars import Bar, is_wide, progress_bar
from fcpts_ref.engines.blas_threads import check_numba_variables
from fcpts_ref.experiments.progress import Progress
from fcpts_ref.pruning.method import OnStep, StepReport

COMPILING = "compiling kernels, once per machine (up to half a minute)"


class Bars(Progress):
    """Progress bars and notes on standard error; quiet: notes only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def steps(self, description: str) -> contextlib.AbstractContextManager[OnStep]:
        """Show a bar of steps."""
        return step_bar(description, quiet=self._quiet)

    def count(
        self, description: str, total: int
    ) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Show a bar of images."""
        return counting_bar(description, total, quiet=self._quiet)

    def note(self, message: str) -> None:
        """Print a warning, one line."""
        print(f"fcpts-ref: {message}", file=sys.stderr)


@contextlib.contextmanager
def step_bar(description: str, *, quiet: bool = False) -> Iterator[Callable[[StepReport], None]]:
    """Yield an ``on_step`` that shows the rate, the losses, images/s and the time left.

    The bar opens with the first step, when the number of steps is known.
    """
    bars: list[Bar] = []

    def on_step(report: StepReport) -> None:
        if not bars:
            bars.append(
                progress_bar(
                    description,
                    report.steps * report.images,
                    "img",
                    initial=(report.step - 1) * report.images,
                    quiet=quiet,
                )
            )
        bars[0].set_postfix_str(_numbers(report), refresh=False)
        bars[0].update(report.step * report.images - bars[0].n)  # some steps may be skipped

    try:
        yield on_step
        for bar in bars:  # a method may end before its last step
            bar.update((bar.total or bar.n) - bar.n)
    finally:
        for bar in bars:
            bar.close()


@contextlib.contextmanager
def counting_bar(
    description: str, total: int, *, unit: str = "img", quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances a bar by a count; the bar appears after a second."""
    with progress_bar(description, total, unit, quiet=quiet, leave=False, delay=1) as bar:

        def on_done(more: int) -> None:
            bar.update(more)

        yield on_done


@contextlib.contextmanager
def compile_notice(*, quiet: bool = False) -> Iterator[None]:
    """Count kernels on standard error while they are compiled, once per machine.

    In a terminal the count is a plain line, not a bar, so that the bar of the work itself can
    replace it.  In a file it is one line without a count.
    """
    if quiet:
        yield
        return
    check_numba_variables()
    from numba.core import event

    count, terminal = 0, sys.stderr.isatty()

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            pass

        def on_end(self, event: Any) -> None:
            nonlocal count
            count += 1
            if terminal:
                print(f"\r{COMPILING}: {count}", end="", file=sys.stderr, flush=True)
            elif count == 1:
                print(COMPILING, file=sys.stderr, flush=True)

    with event.install_listener("numba:compile", Listener()):
        yield
    if count and terminal:
        print("\r" + " " * len(f"{COMPILING}: {count}"), end="\r", file=sys.stderr, flush=True)


def _numbers(report: StepReport) -> str:
    """Return the numbers of a step that there is room for: in 80 columns the rate alone."""
    short = {
        "loss": "loss",
        "reconstruction_loss": "L_rec",
        "control_loss": "L_c",
        "global_rate": "rate",
    }
    if not is_wide():
        short = {"global_rate": "rate"} if "global_rate" in report.numbers else {"loss": "loss"}
    return " ".join(
        f"{name} {report.numbers[key]:.4f}" for key, name in short.items() if key in report.numbers
    )
