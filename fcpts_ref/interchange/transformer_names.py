"""The arrays of transformers as PyTorch's modules hold them.

A class token and a position embedding are bare parameters there, with an axis for the batch in
front, and ``nn.MultiheadAttention`` joins the name of its in-projection by an underscore.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph

Array = NDArray[Any]


def as_torch_arrays(graph: Graph, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return arrays of a network, or masks of them, by the names and in the shapes of PyTorch."""
    bare = {
        f"{node.name}.{short}": (node.name, 3 - len(stored.shape))
        for node in graph.nodes
        for short, stored in node.row.stored(node.attributes).items()
        if stored.role == "embedding"
    }
    result = {}
    for name, array in arrays.items():
        if name in bare:
            node, axes = bare[name]
            result[node] = array.reshape((1,) * axes + array.shape)
        else:
            result[re.sub(r"(self_attention\.in_proj)\.(weight|bias)", r"\1_\2", name)] = array
    return result
