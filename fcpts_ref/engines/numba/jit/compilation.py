"""How every kernel is compiled, decided in one place, and where the result is kept.

``fastmath`` stays off: sums keep their order, NaN and infinity stay what they are.  Division by
zero gives infinity as in NumPy.  Machine code is cached on disk under a digest of the source
that went into it and of the vectors' length: Numba alone looks at the file of a function, not at
the primitives that it takes from other files, and would run old code after those have changed.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.extending import typeof_impl

from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.jit.kernel_cache import KernelCache
from fcpts_ref.errors import InputError
from fcpts_ref.storage.user_cache import user_cache

Function = Callable[..., Any]

FOLDER = Path(__file__).parents[1]  # of all kernels
PACKAGE = "fcpts_ref.engines.numba"
OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def check_compiler() -> None:
    """Raise InputError where NUMBA_DISABLE_JIT is set: most kernels are made of instructions that
    plain Python does not have."""
    if numba.config.DISABLE_JIT:
        raise InputError(
            "the compiler is switched off (NUMBA_DISABLE_JIT), and the kernels do not run without "
            'it; unset that variable, or use the engine "numpy"'
        )


def compiled(function: Function) -> Function:
    """Compile a function for Python to call.

    It runs on the calling thread, except for the loops that it hands to ``for_each``.
    """
    return _compile(function, parallel=False)


def compiled_part(function: Function) -> Function:
    """Compile a function that only compiled ones call; it becomes a part of their machine code.

    Skipping the Python wrapper and the cache file halves compile time.
    """
    if numba.config.DISABLE_JIT:
        return function
    return Part(numba.njit(**OPTIONS, parallel=False, no_cpython_wrapper=True)(function))


def compiled_parallel(function: Function) -> Function:
    """Compile a function whose ``prange`` loops share their passes among the threads.

    For the loop of ``for_each`` alone: others give their passes to that.
    """
    return _compile(function, parallel=True)


def _compile(function: Function, *, parallel: bool) -> Function:
    file = Path(function.__code__.co_filename)
    place = cache_folder(file) if FOLDER in file.parents else None  # whose imports are known
    result: Function = numba.njit(**OPTIONS, parallel=parallel)(function)
    if place is not None and not numba.config.DISABLE_JIT:
        _keep_in(place, result)
    return result


def _keep_in(place: Path, kernel: Any) -> None:
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(place)
    try:  # the place is looked up here, once
        with suppress(RuntimeError):  # nothing can be written there after all
            kernel._cache = KernelCache(kernel.py_func)
    finally:
        numba.config.CACHE_DIR = before


class Part:
    """A function for kernels: Numba sees its dispatcher, Python must not call it."""

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher

    def __call__(self, *arguments: Any) -> Any:
        """Raises TypeError."""
        name = self.dispatcher.py_func.__name__
        raise TypeError(f"{name} is a part of kernels; expected a call from a compiled function")


@typeof_impl.register(Part)
def _type_of_part(part: Part, _: Any) -> Any:
    return types.Dispatcher(part.dispatcher)


@cache
def cache_folder(file: Path) -> Path | None:
    """Where machine code made from this file is kept, or None if nothing can be written.

    In NUMBA_CACHE_DIR if that is set, else beside the source, else in the user's cache.
    """
    digest = hashlib.sha256(f"{VECTOR_BYTES}-byte vectors".encode())
    for source in sorted(_sources(file)):
        digest.update(source.read_bytes())
    named = os.environ.get("NUMBA_CACHE_DIR")
    user = user_cache()
    places = [FOLDER / "__pycache__", *([user / "kernels"] if user else [])]
    for above in [Path(named)] if named else places:
        folder = above / digest.hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def _sources(file: Path) -> set[Path]:
    """The file and all modules of the engine that it imports, directly or not."""
    found, waiting = {file}, [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                new = _modules(str(node.module), [alias.name for alias in node.names]) - found
                found |= new
                waiting += new
    return found


def _modules(module: str, names: list[str]) -> set[Path]:
    """The files behind "from module import names": the module, or those of its names that are."""
    place = FOLDER.joinpath(*module.removeprefix(PACKAGE).split(".")[1:])
    if place.is_dir():
        return {place / f"{name}.py" for name in names if (place / f"{name}.py").exists()}
    return {place.with_suffix(".py")}
