"""The progress of a run; silent by default."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from fcpts_ref.pruning.method import OnStep, ignore_step


class Progress:
    """A receiver of progress; this one shows nothing and turns notes into Python warnings."""

    def steps(self, description: str) -> AbstractContextManager[OnStep]:
        """Return a context for a block of steps; its value is called after every step."""
        return nullcontext(ignore_step)

    def count(self, description: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context for a block over ``total`` images; its value is called with a count."""
        return nullcontext(lambda more: None)

    def note(self, message: str) -> None:
        """Issue a warning of one line."""
        warnings.warn(message, stacklevel=2)


SILENT = Progress()
