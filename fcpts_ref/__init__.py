"""Reference implementation of Fast and Controllable Post-training Sparsity (FCPTS).

``fcpts_ref.equations`` is the specification; ``sparsify`` runs it.
"""

from fcpts_ref.errors import InputError
from fcpts_ref.methods import Result, sparsify
from fcpts_ref.networks import Graph, Network, Node, plain, resnet

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
