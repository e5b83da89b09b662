"""Deferring Ctrl-C to a moment at which it does no harm."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Defer Ctrl-C inside the block.

    The yielded function raises KeyboardInterrupt if one is pending, and so does the end of the
    block.  A second Ctrl-C raises at once.  Outside the main thread nothing is deferred.
    Python can lose a KeyboardInterrupt that arrives in a destructor or a callback, and HDF5 can
    turn one into another error.
    """
    pressed = False

    def check() -> None:
        nonlocal pressed
        if pressed:
            pressed = False
            raise KeyboardInterrupt

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
    check()
