"""Networks as static lists of named nodes, and how they are run."""

from fcpts_ref.networks.architectures import architecture
from fcpts_ref.networks.engine import Engine, NumpyEngine, make_engine
from fcpts_ref.networks.graph import Graph, Node, macs
from fcpts_ref.networks.initialise import initialise
from fcpts_ref.networks.network import Network, global_rate, predict, sparsity_rates
from fcpts_ref.networks.plain import plain
from fcpts_ref.networks.resnet import resnet

__all__ = [
    "Engine",
    "Graph",
    "Network",
    "Node",
    "NumpyEngine",
    "architecture",
    "global_rate",
    "initialise",
    "macs",
    "make_engine",
    "plain",
    "predict",
    "resnet",
    "sparsity_rates",
]
