"""Engines by name."""

from __future__ import annotations

from typing import get_args

from fcpts_ref.engines.base import Engine, EngineName
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph


def make_engine(graph: Graph, engine: str, *, threads: int | None = None) -> Engine:
    """The engine of that name for a graph.

    threads: for Numba; default all cores.  The result does not depend on it, to the last bit.
    Raises InputError for an unknown name.
    """
    if engine == "numpy":
        return NumpyEngine(graph)
    if engine == "numba":
        from fcpts_ref.engines.numba.engine import (
            NumbaEngine,  # compiles on import: only when asked for
        )

        return NumbaEngine(graph, threads=threads)
    raise InputError(
        f"unknown engine {engine!r}; expected one of {', '.join(get_args(EngineName))}"
    )
