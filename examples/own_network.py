"""Prune a network of one's own to 90 %: describe it, load its weights, prune it.

    python examples/own_network.py weights.npz images.npy sparse.h5

Weights are named arrays from anywhere.  For a PyTorch model, its state dict is enough:

    load_weights(my_graph(), model.state_dict(), mean=0.3, std=0.4)
"""

import sys

import numpy as np

from fcpts_ref import Graph, GraphBuilder, load_weights, sparsify
from fcpts_ref.storage.network_files import write_network


def my_graph() -> Graph:
    """Describe the network; a node's name begins those of its arrays, as in conv1.weight."""
    net = GraphBuilder("mine", (1, 8, 8))  # channels, height and width of an image
    x = net.add("normalise", net.images)
    x = net.add("convolution", x, name="conv1", out_channels=16, kernel=3, padding=1)
    x = net.add("relu", net.add("batch_norm", x, name="bn1"))
    y = net.add("convolution", x, name="conv2", out_channels=16, kernel=3, padding=1)
    y = net.add("batch_norm", y, name="bn2")
    x = net.add("relu", net.add("add", x, y))  # a shortcut
    x = net.add("flatten", net.add("max_pool", x, kernel=2))
    return net.graph(net.add("linear", x, name="fc", out_features=10))


def main(weights: str, images: str, out: str) -> None:
    """Prune with calibration images (n, 1, 8, 8), floats from 0 to 1, without labels."""
    network = load_weights(my_graph(), np.load(weights), mean=0.3, std=0.4)
    result = sparsify(network, np.load(images), target=0.9, epochs=2)
    print({name: f"{rate:.1%}" for name, rate in result.rates.items()})
    write_network(out, result.network)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
