"""Where compiled kernels are kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import numba
import pytest

from fcpts_ref.engines.numba.jit import compilation
from fcpts_ref.errors import InputError


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


def test_a_user_without_a_home_has_no_cache_there(package, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(compilation, "user_cache", lambda: None)
    folder = compilation.cache_folder(package / "kernel.py")
    assert folder.parent == package / "__pycache__"
    compilation.cache_folder.cache_clear()
    (package / "__pycache__").rename(package / "gone")
    (package / "__pycache__").write_text("no folder")
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


USED = (
    "from fcpts_ref.engines.numba.convolution.kept_weights import count_kept as f; "
    "import numpy as np; "
    "assert f(np.ones(3, np.float32)) == 3; print(sum(f.stats.cache_hits.values()))"
)


def hits(tmp_path, limit=""):
    """How often a process finds the kernel in the cache."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    command = ["sh", "-c", f'{limit} exec "$0" -c "$1"', sys.executable, USED]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert run.stderr == ""
    return int(run.stdout)


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[: len(content) // 2],
        lambda content: content[:50] + bytes([content[50] ^ 1]) + content[51:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["empty", "cut early", "cut", "flipped", "flipped at the end"],
)
def test_a_damaged_file_is_replaced(tmp_path, suffix, damage):
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1
    (path,) = tmp_path.rglob(f"*count_kept*.{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1


def test_kernels_for_classes_that_have_moved_are_compiled_again(tmp_path):
    assert hits(tmp_path) == 0
    (path,) = tmp_path.rglob("*count_kept*.nbi")
    version, content = numba.__version__.encode(), path.read_bytes()[32:]
    assert path.read_bytes()[:32] == hashlib.sha256(version + content).digest()
    for gone in (b"cbuiltins\nno_such_class\n.", b"cno_such_module\nname\n."):
        path.write_bytes(hashlib.sha256(version + gone).digest() + gone)
        assert hits(tmp_path) == 0
        assert hits(tmp_path) == 1


@pytest.mark.skipif(os.name != "posix", reason="uses ulimit")
def test_a_full_disk_is_no_obstacle(tmp_path):
    assert hits(tmp_path, "ulimit -f 1;") == 0
    assert hits(tmp_path, "ulimit -f 1;") == 0
    assert not list(tmp_path.rglob("*.tmp.*"))
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1


@pytest.mark.skipif(not numba.config.DISABLE_JIT, reason="needs the compiler to be switched off")
def test_without_the_compiler_the_engine_is_refused():
    with pytest.raises(InputError, match="NUMBA_DISABLE_JIT"):
        compilation.check_compiler()


def test_a_command_without_the_compiler_says_so_in_one_line(tmp_path):
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    for words in (["evaluate"], ["sparsify", "--out", str(tmp_path / "run")]):
        run = subprocess.run(
            [sys.executable, "-m", "fcpts_ref", *words, "--quiet"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 2
        assert run.stderr.count("\n") == 1
        assert 'use the engine "numpy"' in run.stderr
