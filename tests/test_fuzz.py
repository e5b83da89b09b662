"""The targets of tools/fuzz: their seeds are valid, and what once failed is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from fcpts_ref.errors import InputError
from tools.fuzz.foreign_seeds import NEEDS
from tools.fuzz.seeds import CORPUS, corpus, seeds
from tools.fuzz.targets import TARGETS

SEEDS = seeds()
INCOMPLETE = {"npz-array", "checkpoint"}  # one array for all; the beginning of an old file


def test_every_target_has_seeds() -> None:
    assert set(SEEDS) == set(TARGETS)
    assert {path.name for path in CORPUS.glob("*") if path.is_dir()} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_read(tmp_path: Path, target: str) -> None:
    if target in NEEDS:
        pytest.importorskip(NEEDS[target])
    read = 0
    for content in SEEDS[target]:
        with contextlib.suppress(InputError):
            TARGETS[target](content, tmp_path)
            read += 1
    assert SEEDS[target]
    assert read == len(SEEDS[target]) or target in INCOMPLETE


@pytest.mark.parametrize("target", TARGETS)
def test_what_once_failed_is_read_or_refused(tmp_path: Path, target: str) -> None:
    if target in NEEDS:
        pytest.importorskip(NEEDS[target])
    for content in corpus(target):
        with contextlib.suppress(InputError):
            TARGETS[target](content, tmp_path)
