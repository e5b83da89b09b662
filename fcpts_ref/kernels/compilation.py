"""How every kernel is compiled, decided in one place, and where the result is kept.

``fastmath`` stays off: sums keep their order, NaN and infinity stay what they are.  Division by
zero gives infinity as in NumPy.  Machine code is cached on disk under a digest of the source
that went into it: Numba alone looks at the file of a function, not at the primitives that it
takes from other files, and would run old code after those have changed.
"""

from __future__ import annotations

import ast
import hashlib
import os
import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

Function = Callable[..., Any]

FOLDER = Path(__file__).parent
PROCESS = secrets.token_hex(4)  # in the names of the files that this process writes


def compiled(function: Function) -> Function:
    """Compile a function that runs on the thread that calls it."""
    return _compile(function, parallel=False)


def compiled_parallel(function: Function) -> Function:
    """Compile a function whose ``prange`` loops share their passes among the threads."""
    return _compile(function, parallel=True)


def _compile(function: Function, *, parallel: bool) -> Function:
    place = cache_folder(Path(function.__code__.co_filename))
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(place or "")
    try:  # the place is looked up here, once
        result: Function = numba.njit(
            cache=place is not None, nogil=True, parallel=parallel, error_model="numpy"
        )(function)
    finally:
        numba.config.CACHE_DIR = before
    if place is not None and not numba.config.DISABLE_JIT:
        _name_apart(result)
    return result


def _name_apart(function: Any) -> None:
    """Let other processes write the machine code of this function to other files.

    Numba numbers the files by what its index knew when it was read.  Two processes that compile
    a function for different arguments at one time would write to one file, and whoever finds it in
    the index would run the code of the other.
    """
    file = function._cache._cache_file
    stem = file._data_name_pattern.removesuffix("{number:d}.nbc")
    file._data_name_pattern = f"{stem}{PROCESS}-{{number:d}}.nbc"


@cache
def cache_folder(file: Path) -> Path | None:
    """Where machine code made from this file is kept, or None if nothing can be written.

    In NUMBA_CACHE_DIR if that is set, else beside the source, else in the user's cache.
    """
    digest = hashlib.sha256()
    for source in sorted(_sources(file)):
        digest.update(source.read_bytes())
    named = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for above in [Path(named)] if named else [FOLDER / "__pycache__", user / "fcpts-ref/kernels"]:
        folder = above / digest.hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def _sources(file: Path) -> set[Path]:
    """The file and everything that it imports from this folder, directly or not."""
    found, waiting = {file}, [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                new = {FOLDER / f"{name}.py" for name in names} - found
                found |= new
                waiting += new
    return found
