"""What every command has: --quiet and --verbose, and no abbreviated options."""

from __future__ import annotations

import argparse
import contextlib
import logging
import platform
import sys
import time
from collections.abc import Iterator

from fcpts_ref import __version__

LOG = logging.getLogger("fcpts_ref")


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of commands that run: those without commands of their own."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for child in dict.fromkeys(group.choices.values()):
            yield from leaves(child)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add --quiet, where a command has none of its own, and --verbose."""
    for leaf in leaves(parser):
        if "--quiet" not in leaf._option_string_actions:
            leaf.add_argument("--quiet", action="store_true", help="no progress")
        leaf.add_argument(
            "--verbose",
            action="store_true",
            help="report files, versions, times and the origin of an error on standard error",
        )


@contextlib.contextmanager
def reported(name: str, *, verbose: bool) -> Iterator[None]:
    """Report on standard error what the package logs inside the block, if ``verbose``."""
    if not verbose:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("fcpts-ref: %(message)s"))
    before, begun = LOG.level, time.perf_counter()
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    try:
        LOG.info(
            "version %s, Python %s on %s", __version__, platform.python_version(), sys.platform
        )
        yield
        LOG.info("%s took %.1f s", name, time.perf_counter() - begun)
    except Exception:
        LOG.exception("%s ended by an error", name)
        raise
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before)
