"""Run an external program once, limited in time and output, leaving no process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

MAXIMUM_OUTPUT = 1 << 26  # bytes on standard output, and as many on standard error
BLOCK = 1 << 16
CLOSING = 5.0  # seconds that a process outside the group may keep the output open


@dataclass(frozen=True)
class Answer:
    """The exit status and output of a program; ``too_long``: it was stopped at the limit."""

    status: int
    output: bytes
    errors: bytes
    too_long: bool


def run_program(arguments: Sequence[str], question: bytes, *, timeout: float) -> Answer:
    """Start a program, give it ``question`` on standard input and return its answer.

    The program runs in a process group of its own (where the system has them), which is killed
    at the end, so its children end with it.
    Raises OSError or ValueError if it does not start, subprocess.TimeoutExpired if it has not
    ended within ``timeout`` seconds.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        list(arguments), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    streams = [_Reader(process, process.stdout), _Reader(process, process.stderr)]
    threading.Thread(target=_write, args=(process.stdin, question), daemon=True).start()
    try:
        status = process.wait(timeout)
    finally:
        _kill(process)
        process.wait()
    for stream in streams:
        stream.join(CLOSING)
    output, errors = (b"".join(stream.blocks) for stream in streams)
    return Answer(status, output, errors, any(stream.too_long for stream in streams))


class _Reader(threading.Thread):
    """A thread that reads a stream to its end, or kills the program if it writes too much."""

    def __init__(self, process: subprocess.Popen[bytes], stream: IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        self.blocks: list[bytes] = []
        self.too_long = False
        self._process = process
        self._stream = stream
        self.start()

    def run(self) -> None:
        assert self._stream is not None
        size = 0
        with contextlib.suppress(OSError, ValueError), self._stream:
            while block := os.read(self._stream.fileno(), BLOCK):
                size += len(block)
                if size > MAXIMUM_OUTPUT:
                    self.too_long = True
                    _kill(self._process)
                    return
                self.blocks.append(block)


def _write(stream: IO[bytes] | None, question: bytes) -> None:
    """Write and close; a program need not read its input."""
    assert stream is not None
    with contextlib.suppress(OSError, ValueError), stream:
        stream.write(question)


def _kill(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
