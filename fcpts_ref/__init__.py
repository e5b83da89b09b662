"""Reference implementation of Fast and Controllable Post-training Sparsity (FCPTS).

``fcpts_ref.equations`` is the specification; ``sparsify`` runs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fcpts_ref.errors import InputError

if TYPE_CHECKING:
    from fcpts_ref.methods import Result, sparsify
    from fcpts_ref.networks import Graph, Network, Node
    from fcpts_ref.networks.plain import plain
    from fcpts_ref.networks.resnet import resnet

__version__ = "0.1.0"

__all__ = [
    "Graph",
    "InputError",
    "Network",
    "Node",
    "Result",
    "plain",
    "resnet",
    "sparsify",
]

_HOMES = {
    "fcpts_ref.methods": ("Result", "sparsify"),
    "fcpts_ref.networks": ("Graph", "Network", "Node", "plain", "resnet"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: every pytest run imports this package's plugin."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
