"""Run an external program, limited in time and output, leaving no process behind."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

MAXIMUM_OUTPUT = 1 << 26  # bytes on standard output, and as many on standard error
BLOCK = 1 << 16
AHEAD = 1  # lines that may wait unread; a program that writes more is cut off
GRACE = 1.0  # seconds that a program which stays may take to end by itself
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


class UnaskedError(Exception):
    """A program wrote a line that no question asked for."""


class Conversation:
    """A program that stays: it reads a question a line and answers each with a line."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Start it.  Raises OSError or ValueError if it does not start."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            list(arguments), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._errors = _Reader(self._process, self._process.stderr)
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, question: bytes, *, timeout: float) -> bytes | None:
        """Return the next line that it writes; None if it ends or writes too much.

        Raises subprocess.TimeoutExpired if there is no line within ``timeout`` seconds, and
        UnaskedError if there is one already: it would be taken for the answer to this question.
        """
        with contextlib.suppress(queue.Empty):
            if self._answers.get_nowait() is not None:
                raise UnaskedError
            return None
        threading.Thread(target=self._write, args=(question,), daemon=True).start()
        try:
            return self._answers.get(timeout=timeout)
        except queue.Empty:
            raise subprocess.TimeoutExpired(self._process.args, timeout) from None

    def close(self) -> tuple[int, bytes]:
        """End it with its children; return its exit status and what it wrote to standard error."""
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        _kill(self._process)
        status = self._process.wait()
        self._errors.join(CLOSING)
        return status, b"".join(self._errors.blocks)

    def _read(self) -> None:
        stream, line = self._process.stdout, b""
        assert stream is not None
        with contextlib.suppress(OSError, ValueError), stream:
            while block := os.read(stream.fileno(), BLOCK):
                *lines, line = (line + block).split(b"\n")
                for one in lines:
                    self._answers.put(one)
                if len(line) > MAXIMUM_OUTPUT or self._answers.qsize() > AHEAD:
                    break
        self._answers.put(None)

    def _write(self, question: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):
            stream.write(question + b"\n")
            stream.flush()
