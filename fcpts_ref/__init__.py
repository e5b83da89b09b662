"""Reference implementation of Fast and Controllable Post-training Sparsity (FCPTS).

``fcpts_ref.spec.equations`` is the specification; ``sparsify`` runs it on arrays.  ``run`` runs a
``Job`` in a folder, and ``resume`` continues it there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fcpts_ref.errors import InputError

if TYPE_CHECKING:
    from fcpts_ref.architectures.plain import plain
    from fcpts_ref.architectures.resnet import resnet
    from fcpts_ref.engines.predictor import Predictor, load_predictor
    from fcpts_ref.experiments.job import Job
    from fcpts_ref.experiments.run import resume, run
    from fcpts_ref.graphs.builder import GraphBuilder
    from fcpts_ref.graphs.graph import Graph, Node
    from fcpts_ref.graphs.network import Network
    from fcpts_ref.interchange.onnx.exporting import export_onnx
    from fcpts_ref.interchange.onnx.importing import import_onnx
    from fcpts_ref.interchange.weights import load_weights
    from fcpts_ref.pruning.method import Result
    from fcpts_ref.pruning.registry import sparsify

__version__ = "0.1.0"

__all__ = [
    "Graph",
    "GraphBuilder",
    "InputError",
    "Job",
    "Network",
    "Node",
    "Predictor",
    "Result",
    "export_onnx",
    "import_onnx",
    "load_predictor",
    "load_weights",
    "plain",
    "resnet",
    "resume",
    "run",
    "sparsify",
]

_HOMES = {
    "fcpts_ref.architectures.plain": ("plain",),
    "fcpts_ref.architectures.resnet": ("resnet",),
    "fcpts_ref.engines.predictor": ("Predictor", "load_predictor"),
    "fcpts_ref.experiments.job": ("Job",),
    "fcpts_ref.experiments.run": ("resume", "run"),
    "fcpts_ref.graphs.builder": ("GraphBuilder",),
    "fcpts_ref.graphs.graph": ("Graph", "Node"),
    "fcpts_ref.graphs.network": ("Network",),
    "fcpts_ref.interchange.onnx.exporting": ("export_onnx",),
    "fcpts_ref.interchange.onnx.importing": ("import_onnx",),
    "fcpts_ref.interchange.weights": ("load_weights",),
    "fcpts_ref.pruning.method": ("Result",),
    "fcpts_ref.pruning.registry": ("sparsify",),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: every pytest run imports this package for its plugin."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
