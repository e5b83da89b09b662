"""How a run reports what it is doing; silent unless a caller says otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from fcpts_ref.pruning.common import OnStep, ignore_step


class Progress:
    """Receives progress; this one shows nothing and turns notes into Python warnings."""

    def steps(self, description: str) -> AbstractContextManager[OnStep]:
        """Enter a block of steps; the value is called after every step."""
        return nullcontext(ignore_step)

    def count(self, description: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Enter a block that handles ``total`` images; the value is called with how many more."""
        return nullcontext(lambda more: None)

    def note(self, message: str) -> None:
        """Pass on a warning, one line."""
        warnings.warn(message, stacklevel=2)


SILENT = Progress()
