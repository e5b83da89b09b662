"""Python's arguments of ``sparsify``, checked before work begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcpts_ref.checks import whole_number
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network


def check_arguments(network: Any, seed: Any, threads: Any, *texts: tuple[str, Any]) -> None:
    """Raise InputError for a network, seed, number of threads or text of another type.

    texts: names and values.
    """
    if not isinstance(network, Network):
        raise InputError(
            f"network is of type {type(network).__name__}; expected a Network, such as "
            "read_network and import_onnx return"
        )
    whole_number(seed, "seed", least=0)
    if threads is not None:
        whole_number(threads, "threads", least=1)
    for name, value in texts:
        if not isinstance(value, str):
            raise InputError(f"{name} is of type {type(value).__name__}; expected a text")


def check_layers(keep_dense: Any, **rates: Any) -> None:
    """Raise InputError unless these are names of layers, and rates by name or None."""
    if not isinstance(keep_dense, list | tuple | set | frozenset):
        raise InputError(
            f"keep_dense is of type {type(keep_dense).__name__}; expected a tuple of names, such "
            "as ('conv1',)"
        )
    for name, value in rates.items():
        if not isinstance(value, Mapping | None):
            raise InputError(
                f"{name} is of type {type(value).__name__}; expected rates by layer, such as "
                "{'conv1': 0.5}"
            )
