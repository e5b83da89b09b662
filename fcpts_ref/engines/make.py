"""Engines by name."""

from __future__ import annotations

from typing import get_args

from fcpts_ref.engines.base import DivisibleEngine, EngineName
from fcpts_ref.engines.blas_threads import check_numba_variables
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph


def make_engine(graph: Graph, engine: str, *, threads: int | None = None) -> DivisibleEngine:
    """Return the engine of that name for a graph.

    threads: by default all cores.  The result of "numba" does not depend on it, to the last bit;
    that of "numpy" may, as BLAS sums in another order.
    Raises InputError for an unknown name, for more threads than are available, and for "numba" if
    its compiler is disabled.
    """
    if engine == "numpy":
        return NumpyEngine(graph, threads=threads)
    if engine == "numba":
        check_numba_variables()
        from fcpts_ref.engines.numba.engine import (
            NumbaEngine,  # compiles on import: only on demand
        )
        from fcpts_ref.engines.numba.jit.compilation import check_compiler

        check_compiler()
        return NumbaEngine(graph, threads=threads)
    raise InputError(
        f"unknown engine {engine!r}; expected one of {', '.join(get_args(EngineName))}"
    )
