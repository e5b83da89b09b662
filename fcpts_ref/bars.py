"""Progress on standard error: a bar in a terminal, plain lines at intervals in a file."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self

from tqdm import tqdm

FIRST_LINE, NEXT_LINE = 2.0, 10.0
SYMBOLS = ("img", "B")  # units without a plural
"""Seconds until the first line in a file, and between two."""
WIDE = 110
"""Columns from which a bar has room for more than its rate."""


class Bar(Protocol):
    """Counts to a total."""

    @property
    def n(self) -> float: ...

    @property
    def total(self) -> float | None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: Any) -> None: ...

    def update(self, n: float = 1) -> object: ...

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None: ...

    def close(self) -> None: ...


def progress_bar(
    description: str,
    total: float | None,
    unit: str,
    *,
    initial: float = 0,
    quiet: bool = False,
    leave: bool = True,
    delay: float = 0,
) -> Bar:
    """Return a bar on standard error.

    initial: where it begins.  quiet: it shows nothing.  leave: a bar in a terminal stays at the
    end.  delay: seconds before it appears.  Where standard error is no terminal it writes lines.
    """
    if not quiet and not sys.stderr.isatty():
        return Lines(description, total, unit, initial)
    return tqdm(
        desc=description,
        total=total,
        unit=unit,
        unit_scale=unit != "cell",
        initial=initial,
        disable=quiet,
        file=sys.stderr,
        dynamic_ncols=True,
        mininterval=0.2,
        leave=leave,
        delay=delay,
    )


def is_wide() -> bool:
    """Return whether the terminal has room for several numbers beside a bar."""
    return shutil.get_terminal_size().columns >= WIDE


class Lines:
    """A bar without a terminal: a line now and then, and none for what takes no time."""

    def __init__(self, description: str, total: float | None, unit: str, initial: float) -> None:
        self._description, self.total, self._unit = description, total, unit
        self._begin, self._first, self.n = time.monotonic(), initial, initial
        self._next, self._more = self._begin + FIRST_LINE, ""
        self._told: float | None = None  # what the last line counted to

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def update(self, n: float = 1) -> None:
        """Count, and write a line if it is time for one."""
        self.n += n
        self._write()

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Set the text at the end of every line."""
        self._more = f"; {s}" if s else ""
        if refresh:
            self._write()

    def close(self) -> None:
        """Write a last line if there were any and it counts to more."""
        if self._told not in (None, self.n):
            self._write(last=True)

    def _write(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if now < self._next and not last:
            return
        self._next, self._told = now + NEXT_LINE, self.n
        text, spent = f"{self.n:,.0f}", now - self._begin
        if self.total:
            unit = self._unit if self.total == 1 or self._unit in SYMBOLS else f"{self._unit}s"
            text += f" of {self.total:,.0f} {unit} ({100 * self.n / self.total:.0f} %)"
        text += f", {spent:.0f} s"
        if self.total and self.n > self._first:
            left = spent * (self.total - self.n) / (self.n - self._first)
            text += f", about {left:.0f} s left"
        print(f"{self._description}: {text}{self._more}", file=sys.stderr, flush=True)
