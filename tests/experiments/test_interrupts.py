"""Ctrl-C: deferred until it is checked for, never lost."""

# ruff: noqa: PT012 - what happens inside the block is the point

from __future__ import annotations

import os
import signal
import threading

import pytest

from fcpts_ref.experiments.interrupts import held_interrupts


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_waits_for_the_check() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_interrupts() as check:
        check()
        press()
        done.append("work")
        check()
        done.append("more work")
    assert done == ["work"]


def test_the_end_of_the_block_is_a_check() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        press()
        done.append("work")
    assert done == ["work"]


def test_the_second_one_raises_at_once() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        press()
        done.append("work")
        press()
        done.append("more work")
    assert done == ["work"]


def test_another_error_takes_precedence_and_the_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), held_interrupts():
        assert signal.getsignal(signal.SIGINT) is not before
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_happens_without_it_and_in_other_threads() -> None:
    with held_interrupts() as check:
        check()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with held_interrupts() as check:
                check()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
