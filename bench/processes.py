"""Works in processes of their own, one line of standard input and one of output for each."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fcpts_ref.errors import InputError


class Process:
    """A program that answers every line with a line."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path | None = None,
        environment: Mapping[str, str] = {},
    ) -> None:
        """Start it, in this folder and with exactly this environment if there is one."""
        self.command = command
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment or None,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The next line that it prints.  Raises InputError if there is none."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            raise InputError(f"{' '.join(self.command)} ended; see what it says above")
        return text.strip()

    def ask(self, text: str) -> str:
        """Send a line; return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.line()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
