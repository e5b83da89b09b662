"""The table of tuned constants, and the length of vectors that kernels are compiled for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fcpts_ref.engines.numba as package
from fcpts_ref.engines.numba import tuning
from fcpts_ref.engines.numba.jit import host
from fcpts_ref.errors import InputError

FOLDER = Path(package.__file__).parent
BENCHMARKS = Path(__file__).parents[2] / "bench"
TABLE = tuning.table()


def imported_from_tuning() -> set[str]:
    names: set[str] = set()
    pattern = rf"from {tuning.__name__} import (\([^)]*\)|[^\n]*)"
    for file in FOLDER.rglob("*.py"):
        for found in re.findall(pattern, file.read_text(encoding="utf-8")):
            names |= set(re.findall(r"[A-Z][A-Z0-9_]+", found))
    return names


def test_every_constant_is_used_and_every_one_used_is_in_the_table():
    assert imported_from_tuning() == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_every_constant_has_all_fields(name):
    value, about = TABLE[name]
    assert np.min(value) > 0
    assert value == getattr(tuning, name)
    for field in (about.unit, about.meaning, about.bench, about.processor):
        assert len(field.strip()) > 2
    benchmark = about.bench.removeprefix("python -m bench ")
    assert (BENCHMARKS / f"{benchmark}.py").exists()


@pytest.mark.parametrize("length", [16, 32, 64])
def test_the_length_of_vectors_can_be_chosen(length, monkeypatch):
    monkeypatch.setenv(host.VARIABLE, str(length))
    assert host.find_registers()[0] == length
    monkeypatch.setenv(host.VARIABLE, "")
    assert host.find_registers() == host._host()


@pytest.mark.parametrize("length", ["8", "128", "sixteen", "-16", " 16"])
def test_other_lengths_are_refused(length, monkeypatch):
    monkeypatch.setenv(host.VARIABLE, length)
    with pytest.raises(InputError, match=f"{host.VARIABLE} is '{length}'; expected 16, 32 or 64"):
        host.find_registers()


def test_code_for_other_lengths_is_kept_elsewhere(tmp_path):
    source = (
        "from pathlib import Path; from fcpts_ref.engines.numba.jit import compilation as c; "
        "print(c.cache_folder(Path(c.__file__)))"
    )
    places = set()
    for length in ("16", "32", "64"):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), host.VARIABLE: length}
        done = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        places.add(done.stdout)
    assert len(places) == 3
