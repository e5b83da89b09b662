"""Where compiled kernels are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numba
import pytest

from fcpts_ref.engines.numba.jit import compilation


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder of kernels: two files, of which one uses the other."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "primitives.py").write_text("STEP = 1\n")
    (folder / "kernel.py").write_text(f"from {compilation.PACKAGE}.primitives import STEP\n")
    monkeypatch.setattr(compilation, "FOLDER", folder)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    compilation.cache_folder.cache_clear()
    yield folder
    compilation.cache_folder.cache_clear()


def test_a_changed_primitive_changes_the_place(package):
    """Numba looks at the file of the function alone; its machine code holds the primitives too."""
    first = compilation.cache_folder(package / "kernel.py")
    compilation.cache_folder.cache_clear()
    assert compilation.cache_folder(package / "kernel.py") == first
    (package / "primitives.py").write_text("STEP = 2\n")
    compilation.cache_folder.cache_clear()
    assert compilation.cache_folder(package / "kernel.py") != first


def test_other_files_do_not(package):
    first = compilation.cache_folder(package / "primitives.py")
    (package / "kernel.py").write_text(f"from {compilation.PACKAGE}.primitives import STEP as _\n")
    compilation.cache_folder.cache_clear()
    assert compilation.cache_folder(package / "primitives.py") == first


def test_no_folder_no_cache(package, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert compilation.cache_folder(package / "kernel.py") is None


def test_only_files_of_the_folder_are_kept():
    """Of others it is not known what they import, so old machine code might run."""
    function: Any = compilation.compiled(lambda x: x + 1)
    assert function(1) == 2
    if not numba.config.DISABLE_JIT:
        assert not function.stats.cache_path


def test_kernels_from_disk_find_the_threads(tmp_path):
    """Also one that was compiled when the loop of all kernels came from disk itself."""
    source = (
        "import numpy as np; "
        "from fcpts_ref.engines.numba.pointwise.activation import clamp_planes as f; "
        "x = np.full(32, -1, np.{}); f(x, x, x[0] * 0, x[0] * 0 + 6); assert not x.any()"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    for dtype in ("float32", "float64", "float64"):
        command = [sys.executable, "-c", source.format(dtype)]
        subprocess.run(command, env=environment, check=True)


def test_numbas_own_setting_stays():
    before = numba.config.CACHE_DIR
    assert compilation.compiled(lambda x: x + 1)(1) == 2
    assert before == numba.config.CACHE_DIR


def test_processes_do_not_write_to_one_file(tmp_path):
    """As when the second has read the index before the first wrote it."""
    source = (
        "from fcpts_ref.engines.numba.convolution.kept_weights import count_kept as f; "
        "import numpy as np; "
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    code = []
    for dtype in ("float32", "float64"):
        command = [sys.executable, "-c", f"{source}f(np.ones(3, np.{dtype}))"]
        subprocess.run(command, env=environment, check=True)
        for index in tmp_path.rglob("*.nbi"):
            index.unlink()
        code.append(set(tmp_path.rglob("*count_kept*.nbc")))
    assert len(code[0]) == 1
    assert len(code[1]) == 2
