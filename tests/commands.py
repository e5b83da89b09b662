"""Running commands, in this process or in one of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where the data set and the network lie."""

    data: Path
    network: Path

    @property
    def options(self) -> list[str]:
        return [f"--data={self.data}", f"--weights={self.network}", "--engine=numpy"]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


def start(*words: Any, **options: Any) -> subprocess.Popen[str]:
    """Starts a command in a process of its own, deaf to this one's Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, "-m", "fcpts_ref", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def passes_with_two_threads(nodeid: str) -> bool:
    """Whether the test passes in a process that has two threads, however many cores there are."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", nodeid],
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return result.returncode == 0 and "1 passed" in result.stdout


def one_line(message: str) -> bool:
    return message.count("\n") == 1 and message.startswith("fcpts-ref")
